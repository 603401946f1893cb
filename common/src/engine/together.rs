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
//! [`LIGHT_BYTES`](crate::limits::LIGHT_BYTES) of content each, or as many answers: neither side waits for the other to read. An answer
//! belongs to the oldest request without one, whatever it says.
//!
//! When the connection ends before all answers came, each of the rest is done by itself, on another one. Some may have been done already;
//! that shows then, as after any answer that was lost. A trouble that lies on the line fails the rest without asking for them.

use std::io::Read;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use super::job::{Failure, FailureKind, Job, Outcome, Task, There};
use super::message::Message;
use super::publish::{Ready, Worked};
use super::transfer::{Transfer, Upload, disk, download_fields, network, receive_content, stage_content};
use super::worker::{Crew, perform, transfer};
use crate::disk::{Expect, Fingerprint, Stat};
use crate::net::client::{HttpClient, Response};
use crate::protocol::path_to_wire;
use crate::sync;
use crate::tree::{Content, Entry, Kind, Path};
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
    /// It is done.
    Done(Worked),
}

/// What becomes of jobs that are not done yet.
#[derive(Debug)]
enum Way {
    /// They are done together.
    Open,
    /// Each is done by itself.
    Apart,
    /// Those that ask the server fail like the one before them.
    Barred(Failure),
}

/// A worker with several jobs.
#[derive(Debug)]
struct Handful<'a> {
    crew: &'a Crew,
    http: &'a mut HttpClient,
    control: &'a SyncSender<Message>,
    way: Way,
}

/// Does all of these jobs, and tells what came of each, in their order.
pub(super) fn perform_together(
    crew: &Crew,
    http: &mut HttpClient,
    control: &SyncSender<Message>,
    jobs: &[Job],
) -> Vec<Worked> {
    let way = if http.keeps_open() { Way::Open } else { Way::Apart };
    let mut handful = Handful { crew, http, control, way };
    let mut requests = Vec::new();
    let begun: Vec<_> = jobs.iter().map(|job| handful.begin(job, &mut requests)).collect();
    handful.send(&requests, begun.iter().filter(|begun| matches!(begun, Begun::Asked(_))).count());
    let finish = |(job, begun): (&Job, Begun)| match begun {
        Begun::Asked(asked) => handful.hear(job, asked),
        Begun::Done(worked) => worked,
    };
    jobs.iter().zip(begun).map(finish).collect()
}

fn failed(failure: Failure) -> Worked {
    Worked::Done(Outcome::Failed(failure))
}

impl Handful<'_> {
    /// Appends the request of a job to the others, or does the job.
    fn begin(&mut self, job: &Job, requests: &mut Vec<u8>) -> Begun {
        let begun = match self.way {
            Way::Open => begin(&transfer(self.crew, self.http, self.control, job), job, requests),
            Way::Apart | Way::Barred(_) => Ok(None),
        };
        match begun {
            Ok(Some(begun)) => begun,
            Ok(None) => Begun::Done(self.perform(job)),
            Err(failure) => Begun::Done(failed(failure)),
        }
    }

    fn send(&mut self, requests: &[u8], count: usize) {
        if count == 0 || !matches!(self.way, Way::Open) {
            return;
        }
        match self.http.send_together(requests, count) {
            Ok(()) => {}
            Err(error) if error.is_hanging_up() => self.way = Way::Apart,
            Err(error) => self.way = Way::Barred(network("reach the server for")(error)),
        }
    }

    /// Reads the answer to a job's request, or does the job by itself if there will be none.
    fn hear(&mut self, job: &Job, asked: Asked) -> Worked {
        if !matches!(self.way, Way::Open) {
            return self.perform(job);
        }
        let worked = match self.http.read_response(asked.method()) {
            Ok(response) => conclude(self.crew, job, asked, response).unwrap_or_else(failed),
            Err(error) if error.is_hanging_up() => {
                self.way = Way::Apart;
                return self.perform(job);
            }
            Err(error) => failed(network("reach the server for")(error)),
        };
        if !self.http.awaits_answer() {
            self.way = Way::Apart;
            self.note(&worked);
        }
        worked
    }

    /// Does a job by itself.
    fn perform(&mut self, job: &Job) -> Worked {
        match &self.way {
            Way::Barred(failure) if job.task.needs_server() => failed(failure.clone()),
            _ => {
                let worked = perform(self.crew, self.http, self.control, job);
                self.note(&worked);
                worked
            }
        }
    }

    fn note(&mut self, worked: &Worked) {
        if let Worked::Done(Outcome::Failed(failure)) = worked
            && matches!(failure.kind, FailureKind::Network | FailureKind::NotAuthorised)
        {
            self.way = Way::Barred(failure.clone());
        }
    }
}

impl Asked {
    fn method(&self) -> Method {
        match self {
            Asked::Upload(_) => Method::Put,
            Asked::Download { .. } => Method::Get,
        }
    }
}

/// `None`: the job asks nothing of the server, or not like this.
fn begin(transfer: &Transfer<'_>, job: &Job, requests: &mut Vec<u8>) -> Result<Option<Begun>, Failure> {
    match &job.task {
        Task::Upload { entry, print, replacing, before } => {
            let (content, here) = match read_here(transfer, &job.path, entry, *print)? {
                Ok(seen) => seen,
                Err(now) => return Ok(Some(Begun::Done(Worked::Done(Outcome::LocalIs(now))))),
            };
            let upload = Upload { entry: *entry, print: *print, before: *before, here, offset: 0 };
            append_upload(transfer, job, upload, *replacing, &content, requests).map(Some)
        }
        Task::Download { remote, expect, kept } => {
            let Content::File { size, hash } = remote.entry.content else { return Ok(None) };
            if transfer.folder.stage.retained().find(&remote.entry.content).is_some() {
                return Ok(None);
            }
            let target = format!("/download/{}", path_to_wire(&job.path));
            let fields = download_fields(remote.entry.content);
            let appended = transfer.http.append_request(requests, Method::Get, &target, &fields, &[]);
            appended.map_err(network("download"))?;
            let asked = Asked::Download { remote: *remote, expect: *expect, kept: *kept, size, hash };
            Ok(Some(Begun::Asked(asked)))
        }
        _ => Ok(None),
    }
}

/// The content of something, and what it looks like.
type Seen = (Vec<u8>, Stat);

/// The local version; if it is there no more, what is there instead.
///
/// Of a file that has grown since, no more is read: that much is what was hashed, or the server finds that it is not.
fn read_here(
    transfer: &Transfer<'_>,
    path: &Path,
    entry: &Entry,
    print: Fingerprint,
) -> Result<Result<Seen, Option<Stat>>, Failure> {
    let root = &transfer.folder.root;
    let size = entry.content.size();
    let (content, here) = if entry.content.kind() == Kind::File {
        let (file, here) = match root.open_seen(path, print).map_err(disk("open"))? {
            Ok(seen) => seen,
            Err(now) => return Ok(Err(now)),
        };
        let mut content = Vec::with_capacity(size as usize);
        file.take(size).read_to_end(&mut content).map_err(disk("read"))?;
        (content, here)
    } else {
        let here = match transfer.still_here(path, entry, print)? {
            Ok(here) => here,
            Err(now) => return Ok(Err(now)),
        };
        let content = match entry.content.kind() {
            Kind::Symlink => root.read_link(path).map_err(disk("read"))?,
            Kind::Directory | Kind::File => Vec::new(),
        };
        (content, here)
    };
    if content.len() as u64 != size {
        return root.stat(path).map(Err).map_err(disk("look at"));
    }
    Ok(Ok((content, here)))
}

fn append_upload(
    transfer: &Transfer<'_>,
    job: &Job,
    upload: Upload,
    replacing: Option<sync::Base>,
    content: &[u8],
    requests: &mut Vec<u8>,
) -> Result<Begun, Failure> {
    let target = format!("/upload/{}", path_to_wire(&job.path));
    let fields = transfer.upload_fields(&upload.entry, replacing, upload.before, 0);
    let appended = transfer.http.append_request(requests, Method::Put, &target, &fields, content);
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
            let (mut staged, file) = stage_content(&crew.folder, |out| {
                receive_content(response, &crew.progress, content, size, hash, out)
            })?;
            staged.label(&file, meta).map_err(disk("set metadata of"))?;
            Ok(Worked::Staged(Ready { staged, expect, remote, kept, from: None }, file))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::disk::Partials;
    use crate::disk::scratch::Scratch;
    use crate::engine::folder::Folder;
    use crate::engine::local;
    use crate::engine::progress::Progress;
    use crate::net::body::{Body, Pace};
    use crate::net::conn::Conn;
    use crate::net::deadline::Deadline;
    use crate::protocol::{Problem, ProblemKind};
    use crate::wire::http::digest::repr_digest;
    use crate::wire::http::framing::request_framing;
    use crate::wire::http::head::{RequestHead, parse_request};

    /// What a server does with one request.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        /// It takes the upload.
        Take,
        /// The same, and closes without having looked at what comes behind.
        TakeAndClose,
        /// It closes without a word.
        Cut,
        /// It says why not.
        Refuse(ProblemKind),
        /// Somebody on the way says this, and closes.
        Page(&'static str),
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    /// What is done on which connection, what comes of four jobs, and what was asked for.
    type Row<'a> = (&'a [&'a [Act]], [&'static str; 4], &'static str);

    use Act::{Cut, Page, Refuse, Take, TakeAndClose};

    fn answer(head: &RequestHead, act: Act) -> Vec<u8> {
        let taken = |closing: &str| {
            let field = |name| head.fields.get(name).unwrap();
            let hash = Hash(repr_digest(&head.fields).unwrap().unwrap());
            let (tag, mtime, mode) =
                (Content::File { size: 0, hash }.etag(), field("file-mtime"), field("file-mode"));
            let fields = format!(
                "sync-cursor: 0000000000000001-7\r\netag: {tag}\r\nfile-mtime: {mtime}\r\nfile-mode: {mode}\r\n"
            );
            format!("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n{closing}{fields}\r\n").into_bytes()
        };
        match act {
            Take => taken(""),
            TakeAndClose => taken("connection: close\r\n"),
            Cut => Vec::new(),
            Refuse(kind) => {
                let document = Problem::new(kind, "no").encode();
                let head =
                    format!("HTTP/1.1 {} No\r\ncontent-length: {}\r\n\r\n", kind.status(), document.len());
                [head.as_bytes(), &document].concat()
            }
            Page(status) => {
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").into_bytes()
            }
        }
    }

    /// Does this on one connection after the other, and tells for which paths it was asked; with a mark where more came in vain.
    fn serve(listener: &TcpListener, connections: &[&[Act]]) -> String {
        let mut asked = String::new();
        for acts in connections {
            let mut conn = Conn::new(listener.accept().unwrap().0).unwrap();
            for act in *acts {
                let head = conn.read_head(parse_request, soon()).unwrap().expect("a request");
                let framing = request_framing(&head).unwrap();
                Body::new(&mut conn, framing, Pace::Minimum).read_to_end(&mut Vec::new()).unwrap();
                asked.push_str(head.target.rsplit('/').next().unwrap());
                conn.write_all(&answer(&head, *act)).unwrap();
            }
            conn.shutdown_write().unwrap();
            let mut is_more = !conn.buffered().is_empty();
            while conn.fill(soon()).unwrap() != 0 {
                is_more = true;
                conn.consume(conn.buffered().len());
            }
            asked.push_str(if is_more { "!" } else { "" });
        }
        asked
    }

    /// Sends files of these names, so many at a time, to a server that does this; tells what came of each, and what was asked for.
    fn send(names: &[&str], at_once: usize, connections: &[&[Act]]) -> (Vec<String>, String) {
        let scratch = Scratch::new();
        let folder = Arc::new(Folder::open(scratch.path()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let crew = Crew {
            endpoint: format!("http://{}", listener.local_addr().unwrap()).parse().unwrap(),
            token: None,
            client_id: "me".into(),
            client_name: "me".into(),
            durable: false,
            partials: Partials::open(&folder.private, folder.stage.clone(), false).unwrap(),
            progress: Arc::new(Progress::default()),
            folder,
        };
        let upload = |name: &&str| {
            fs::write(scratch.path().join(name), name).unwrap();
            let path = Path::new(name.as_bytes()).unwrap();
            let stat = crew.folder.root.stat(&path).unwrap().unwrap();
            let hashed = local::hash(&crew.folder.root, &path, &stat).unwrap();
            let Outcome::Hashed(entry, print) = hashed else { panic!("{hashed:?}") };
            let task = Task::Upload { entry, print, replacing: None, before: None };
            Job { path, task, epoch: None, here: None, above: Vec::new() }
        };
        let jobs: Vec<Job> = names.iter().map(upload).collect();
        let (control, _messages) = sync_channel(1);
        thread::scope(|scope| {
            let server = scope.spawn(|| serve(&listener, connections));
            let mut http = HttpClient::new(crew.endpoint.clone(), "test", None);
            let worked =
                jobs.chunks(at_once).flat_map(|jobs| perform_together(&crew, &mut http, &control, jobs));
            let told = |worked| match worked {
                Worked::Done(Outcome::Uploaded(sent)) => format!("{}", sent.there.seq),
                Worked::Done(Outcome::Failed(failure)) => format!("{:?}", failure.kind),
                other => panic!("{other:?}"),
            };
            let told = worked.map(told).collect();
            drop(http);
            (told, server.join().unwrap())
        })
    }

    /// However it ends with the connection: what was not answered is asked again, one by one, unless the line is in trouble; and each job
    /// gets the answer that is its own.
    #[test]
    fn whatever_becomes_of_the_connection() {
        let network = "Network";
        let rows: [Row<'_>; 10] = [
            (&[&[Take; 4]], ["7"; 4], "abcd"),
            (&[&[Take, TakeAndClose], &[Take; 2]], ["7"; 4], "ab!cd"),
            (&[&[TakeAndClose][..]; 4], ["7"; 4], "a!bcd"),
            // What was in flight may have been taken or not.
            (&[&[Take, Cut], &[Take; 3]], ["7"; 4], "ab!bcd"),
            (&[&[Cut], &[Take; 4]], ["7"; 4], "a!abcd"),
            (&[&[Take, Cut], &[Cut]], ["7", network, network, network], "ab!b"),
            (&[&[Take, Page("503 Busy")]], ["7", network, network, network], "ab!"),
            (&[&[TakeAndClose], &[Page("429 Slow Down")]], ["7", network, network, network], "a!b"),
            (
                &[&[Take, Refuse(ProblemKind::Busy), Refuse(ProblemKind::QuotaExceeded), Take]],
                ["7", "Moment", "NoSpace", "7"],
                "abcd",
            ),
            (
                &[&[Take, Refuse(ProblemKind::Unauthorized), Refuse(ProblemKind::TooManyAttempts), Take]],
                ["7", "NotAuthorised", network, "7"],
                "abcd",
            ),
        ];
        for (connections, outcomes, asked) in rows {
            let (told, heard) = send(&["a", "b", "c", "d"], 4, connections);
            assert_eq!((told, &*heard), (outcomes.map(str::to_owned).to_vec(), asked), "{connections:?}");
        }
    }

    #[test]
    fn who_closes_after_each_answer_is_asked_one_by_one() {
        let connections: [&[Act]; 4] = [&[TakeAndClose], &[TakeAndClose], &[TakeAndClose], &[Take; 3]];
        let (told, asked) = send(&["a", "b", "c", "d", "e", "f"], 2, &connections);
        assert_eq!((told, &*asked), (vec!["7".to_owned(); 6], "a!bcdef"));
    }
}
