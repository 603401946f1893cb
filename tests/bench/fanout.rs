//! How long it takes until an upload is told to many connected clients: from the moment that the request is sent to the moment that each of
//! them has the event. What the server does before it tells anybody, receiving and flushing, is part of it.

use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::access::Access;
use crate::contestant::{Contestant, Ground};
use crate::crowd::Crowd;
use crate::usage::{Usage, quantile};
use crate::workload::Figure;

/// So many uploads are told, one after the other.
const UPLOADS: usize = 20;

/// The size of each, in bytes.
const SIZE: usize = 4 << 10;

/// Between the last client's hearing and the next upload, so that nothing of the one before is still at work.
const PAUSE: Duration = Duration::from_millis(50);

/// Descriptors that are open beside those of the clients.
const DESCRIPTORS: usize = 64;

/// Has so many clients listen: the median and the 99th percentile of the times until each has heard of each upload, and the memory of the
/// server before and after.
pub(crate) fn run(
    contestant: Contestant,
    ground: Ground<'_>,
    clients: usize,
) -> Result<Vec<(Figure, Usage)>> {
    check_descriptors(clients)?;
    let held = ground.held();
    fs::create_dir_all(&held).map_err(|error| format!("{}: {error}", held.display()))?;
    let service = contestant.serve(ground)?.ok_or("nobody is told anything without a server")?;
    let access = Access::new(ground, &service)?;
    let server_start = service.process.resident();
    let mut crowd = Crowd::connect(&access, clients)?;

    let before = service.process.cpu();
    let mut seconds = Vec::with_capacity(UPLOADS * clients);
    for number in 0..UPLOADS {
        thread::sleep(PAUSE);
        let name = format!("told-{number}");
        let content: Vec<u8> = name.bytes().cycle().take(SIZE).collect();
        let request = access.request(
            &format!("PUT /upload/{name}"),
            "Connection: close\r\nIf-None-Match: *\r\nSync-Client: uploader\r\n",
            &content,
        );
        let mut uploader = access.connect()?;
        let sent = Instant::now();
        uploader.write_all(&request)?;
        seconds.extend(crowd.wait_for(format!("\"path\":\"{name}\"").as_bytes(), sent)?);
        let mut answer = String::new();
        uploader.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 201 ") {
            return Err(format!("an upload was answered with {answer}").into());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let usage = Usage {
        server_cpu: service.process.cpu() - before,
        server_start,
        server_rest: service.process.resident(),
        server_peak: service.process.peak(),
        ..Usage::default()
    };
    service.process.stop()?;
    let at = |part| Usage { seconds: quantile(&seconds, part), ..usage };
    Ok(vec![(Figure::Median, at(0.50)), (Figure::Percentile99, at(0.99)), (Figure::Rest, usage)])
}

/// Each client is a descriptor here. The server raises its limit itself; the standard library can't.
fn check_descriptors(clients: usize) -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    match limit {
        Some(limit) if limit < clients + DESCRIPTORS => Err(format!(
            "{clients} clients need {} open files, and {limit} are allowed: see ulimit -n",
            clients + DESCRIPTORS
        )
        .into()),
        _ => Ok(()),
    }
}
