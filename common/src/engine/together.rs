//! Light transfers that a worker does together: all requests leave at once, and the answers are read one after the other. So there is no
//! round trip for each file, and the server makes all of the changes in one commit group.
//!
//! ```text
//!     job: still as it was decided on? -> request, with the content of a small file ---+
//!     job: ...                         -> request -------------------------------------+--> one write
//!     answer -> outcome of the first job;  answer -> of the second;  ...
//! ```
//!
//! What is in flight is bounded by [`JOBS_TOGETHER`](crate::limits::JOBS_TOGETHER) requests of at most
//! [`LIGHT_BYTES`](crate::limits::LIGHT_BYTES) of content each, and so are the answers: neither side waits for the other to read. An answer
//! belongs to the oldest request without one, whatever it says. When the connection breaks, those that have none failed.

use std::io::Read;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use super::job::{Failure, FailureKind, Job, Outcome, Task, There};
use super::local::set_meta;
use super::message::Message;
use super::publish::{Ready, Worked};
use super::transfer::{Transfer, Upload, disk, download_fields, network, receive_content, stage_content};
use super::worker::{Crew, perform, transfer};
use crate::disk::Expect;
use crate::net::client::{HttpClient, Response};
use crate::protocol::path_to_wire;
use crate::sync;
use crate::tree::{Content, Entry};
use crate::wire::http::head::Method;
use crate::wire::sha256::Hash;

/// What a request was sent for.
#[derive(Debug)]
enum Asked {
    Upload(Upload),
    Download { remote: There, expect: Expect, kept: Option<u16>, size: u64, hash: Hash },
}

/// How a job begins.
#[derive(Debug)]
enum Begun {
    /// Its request was appended to the others.
    Asked(Asked),
    /// Nothing has to be asked any more.
    Done(Outcome),
    /// It asks nothing, or not like this.
    Apart,
}

/// Does all of these jobs, and tells what came of each, in their order.
pub(super) fn perform_together(
    crew: &Crew,
    http: &mut HttpClient,
    control: &SyncSender<Message>,
    jobs: &[Job],
) -> Vec<Worked> {
    let mut requests = Vec::new();
    let mut begun = Vec::with_capacity(jobs.len());
    for job in jobs {
        let step = match begin(&transfer(crew, http, control, job), job, &mut requests) {
            Ok(Begun::Asked(asked)) => Ok(asked),
            Ok(Begun::Done(outcome)) => Err(Worked::Done(outcome)),
            Ok(Begun::Apart) => Err(perform(crew, http, control, job)),
            Err(failure) => Err(failed(failure)),
        };
        begun.push(step);
    }
    let count = begun.iter().filter(|step| step.is_ok()).count();
    let mut broken = match count {
        0 => None,
        _ => http.send_together(&requests, count).err().map(network("reach the server for")),
    };
    let finish = |(job, step): (&Job, Result<Asked, Worked>)| {
        let asked = match step {
            Ok(asked) => asked,
            Err(worked) => return worked,
        };
        if let Some(failure) = &broken {
            return failed(Failure::new(failure.operation, failure.error.clone(), FailureKind::Network));
        }
        match http.read_response(asked.method()) {
            Ok(response) => conclude(crew, job, asked, response).unwrap_or_else(failed),
            Err(error) => {
                let failure = broken.insert(network("reach the server for")(error));
                failed(Failure::new(failure.operation, failure.error.clone(), FailureKind::Network))
            }
        }
    };
    jobs.iter().zip(begun).map(finish).collect()
}

fn failed(failure: Failure) -> Worked {
    Worked::Done(Outcome::Failed(failure))
}

impl Asked {
    fn method(&self) -> Method {
        match self {
            Asked::Upload(_) => Method::Put,
            Asked::Download { .. } => Method::Get,
        }
    }
}

fn begin(transfer: &Transfer<'_>, job: &Job, requests: &mut Vec<u8>) -> Result<Begun, Failure> {
    match &job.task {
        Task::Upload { entry, print, replacing, before } => {
            let here = match transfer.still_here(&job.path, entry, *print)? {
                Ok(here) => here,
                Err(now) => return Ok(Begun::Done(Outcome::LocalIs(now))),
            };
            let upload = Upload { entry: *entry, print: *print, before: *before, here, offset: 0 };
            append_upload(transfer, job, upload, *replacing, requests)
        }
        Task::Download { remote, expect, kept } => {
            let Content::File { size, hash } = remote.entry.content else { return Ok(Begun::Apart) };
            if transfer.folder.stage.retained().find(&remote.entry.content).is_some() {
                return Ok(Begun::Apart);
            }
            let target = format!("/download/{}", path_to_wire(&job.path));
            let fields = download_fields(remote.entry.content);
            let appended = transfer.http.append_request(requests, Method::Get, &target, &fields, &[]);
            appended.map_err(network("download"))?;
            Ok(Begun::Asked(Asked::Download { remote: *remote, expect: *expect, kept: *kept, size, hash }))
        }
        _ => Ok(Begun::Apart),
    }
}

fn append_upload(
    transfer: &Transfer<'_>,
    job: &Job,
    upload: Upload,
    replacing: Option<sync::Base>,
    requests: &mut Vec<u8>,
) -> Result<Begun, Failure> {
    let root = &transfer.folder.root;
    let content = match upload.entry.content {
        Content::Directory => Vec::new(),
        Content::Symlink { .. } => root.read_link(&job.path).map_err(disk("read"))?,
        Content::File { size, .. } => {
            let mut content = Vec::with_capacity(size as usize + 1);
            let file = root.open_file(&job.path).map_err(disk("open"))?;
            file.take(size + 1).read_to_end(&mut content).map_err(disk("read"))?;
            content
        }
    };
    if content.len() as u64 != upload.entry.content.size() {
        let now = root.stat(&job.path).map_err(disk("look at"))?;
        return Ok(Begun::Done(Outcome::LocalIs(now)));
    }
    let target = format!("/upload/{}", path_to_wire(&job.path));
    let fields = transfer.upload_fields(&upload.entry, replacing, upload.before, 0);
    let appended = transfer.http.append_request(requests, Method::Put, &target, &fields, &content);
    appended.map_err(network("upload"))?;
    transfer.progress.sent.fetch_add(content.len() as u64, Ordering::Relaxed);
    Ok(Begun::Asked(Asked::Upload(upload)))
}

/// What comes of a job, by the answer to its request.
fn conclude(crew: &Crew, job: &Job, asked: Asked, response: Response<'_>) -> Result<Worked, Failure> {
    match asked {
        Asked::Upload(upload) => upload.outcome(&crew.folder, &job.path, response).map(Worked::Done),
        Asked::Download { remote, expect, kept, size, hash } => {
            let Entry { content, meta } = remote.entry_here(kept);
            let (staged, file) = stage_content(&crew.folder, |out| {
                receive_content(response, &crew.progress, content, size, hash, out)
            })?;
            set_meta(&file, &meta).map_err(disk("set metadata of"))?;
            Ok(Worked::Staged(Ready { staged, expect, remote, kept, from: None }, file))
        }
    }
}
