//! Many who connect and mean no good: they say nothing, drip, or hardly read. Whoever comes with a request is answered all the same, in
//! time, from another address and from theirs; the server stays small, and when they have gone it is as it was.
//!
//! `scripts/floods` lets twenty thousand of them in for each kind of flood; here it is some hundreds, against a server that has few
//! descriptors, so that they are too many just as well.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{
    Process, Server, World, connect_from, eventually, eventually_within, example, is_full, pass,
    with_descriptors,
};

/// The content that is asked for all the time.
const SMALL: &str = "small";
/// Length of what slow readers ask for, in bytes: more than the kernel takes off a server's hands.
const LARGE: u64 = 64 << 20;
/// How long twenty thousand connections may take to be made.
const RISEN: Duration = Duration::from_secs(120);
/// After so long nobody tries again.
const LAST_TRY: Duration = Duration::from_secs(20);
/// Pause between two requests of one who is no part of the flood.
const PAUSE: Duration = Duration::from_millis(50);

/// How hard it comes.
struct Scale {
    /// Connections that are held open against the server.
    sockets: usize,
    /// How long, once all are there.
    time: Duration,
    /// The longest that a request may take meanwhile.
    answer: Duration,
}

impl Scale {
    /// In scripts/test other tests run at the same time, and what is asked is not how fast this machine is.
    fn new() -> Scale {
        match is_full() {
            true => Scale { sockets: 20_000, time: Duration::from_secs(30), answer: Duration::from_secs(1) },
            false => Scale { sockets: 500, time: Duration::from_secs(2), answer: Duration::from_secs(10) },
        }
    }
}

/// What is sent on each connection of a flood, and what happens then.
struct Flood {
    name: &'static str,
    opening: String,
    manner: &'static str,
    /// Whether they have a right to be there, so that only their number is against them.
    is_known: bool,
}

/// Tells the witnesses to stop, also when the test fails.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the witnesses saw.
#[derive(Debug, Default)]
struct Seen {
    answers: usize,
    /// How often one was sent away and came again.
    again: usize,
    longest: Duration,
}

/// Asks for a small file again and again from an address, each time over a new connection. Who comes from where the flood does is one of
/// many there, and may be sent away before he is heard; then he comes again, as any client does, and all of it counts as one answer.
fn witness(server: &Server, from: Ipv4Addr, done: &AtomicBool) -> Result<Seen, String> {
    let to: SocketAddrV4 = server.address.parse().expect("it listens on IPv4");
    let request = server.request("GET", "/download/small").field("Connection", "close").encode();
    let mut seen = Seen::default();
    while !done.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = loop {
            match ask(from, to, &request) {
                Ok(answer) if !answer.is_empty() => break answer,
                answer if from == ELSEWHERE || LAST_TRY < begun.elapsed() => {
                    return Err(format!("no answer to {from} after {:?}: {answer:?}", begun.elapsed()));
                }
                _ => seen.again += 1,
            }
        };
        if !(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(SMALL)) {
            return Err(format!("answer {} to {from} is {answer:?}", seen.answers + 1));
        }
        seen.answers += 1;
        seen.longest = seen.longest.max(begun.elapsed());
        pass(PAUSE);
    }
    Ok(seen)
}

fn ask(from: Ipv4Addr, to: SocketAddrV4, request: &[u8]) -> io::Result<String> {
    let mut connection = connect_from(from, to)?;
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
    connection.write_all(request)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The processes of a flood, each with an address of its own, gone when it is dropped.
struct Rising {
    processes: Vec<Process>,
}

/// One process may not have as many descriptors as a flood has connections.
const EACH: usize = 5000;

impl Rising {
    fn launch(flood: &Flood, directory: &Path, server: &Server, sockets: usize) -> Rising {
        let opening = directory.join("opening");
        fs::write(&opening, &flood.opening).expect("write what is sent");
        let processes = sockets.div_ceil(EACH).max(2);
        let launch = |number: usize| {
            let mut command = Command::new(example("flood"));
            command.arg(&server.address).arg(address(number).to_string());
            command.arg((sockets / processes).to_string()).arg(flood.manner);
            command.stdin(Stdio::from(File::open(&opening).expect("read what is sent")));
            Process::spawn(&format!("flood-{number}"), directory, &mut command)
        };
        Rising { processes: (0..processes).map(launch).collect() }
    }

    /// Connections there are, and how many were lost so far; of each process that has all of its own.
    fn standing(&self) -> Vec<(usize, usize)> {
        let last = |process: &Process| {
            let output = process.output();
            let line = output.lines().last()?;
            let (open, lost) = line.split_once(' ')?;
            Some((open.parse().ok()?, lost.parse().ok()?))
        };
        self.processes.iter().filter_map(last).collect()
    }

    fn is_risen(&self) -> Result<(), String> {
        let standing = self.standing();
        if standing.len() == self.processes.len() { Ok(()) } else { Err(format!("{standing:?}")) }
    }
}

/// Where a process of a flood comes from.
fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 10 + number as u8)
}

/// An address that is not part of it.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// A world with something to download, small and large, and a server that may have so many descriptors.
fn world(descriptors: Option<usize>) -> World {
    let mut world = World::new();
    world.server.put_new("small", SMALL).expect(201);
    world.server.stop();
    File::create(world.server.folder.join("large"))
        .and_then(|file| file.set_len(LARGE))
        .expect("make a file");
    world.server.start_as(|command| match descriptors {
        Some(most) => with_descriptors(&command, most),
        None => command,
    });
    world
}

/// All kinds. What is sent with a key is sent by somebody who has one, or has stolen it.
fn floods(server: &Server) -> Vec<Flood> {
    let (key, length) =
        (format!("Authorization: Bearer {}\r\n", server.key()), "Content-Length: 1000000\r\n");
    let beginning = format!("{}-0", server.status().get("epoch").text());
    let put = |number: &str| format!("PUT /upload/{number} HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n");
    let flood = |name, opening: String, manner, is_known| Flood { name, opening, manner, is_known };
    vec![
        flood("silent", String::new(), "silent", false),
        flood("slow heads", "GET / HTTP/1.1\r\nHost: a\r\nX: ".into(), "drip", false),
        flood("slow bodies of strangers", format!("{}{length}\r\n", put("x")), "drip", false),
        flood("slow lists", format!("POST /sync HTTP/1.1\r\nHost: a\r\n{key}{length}\r\n"), "drip", true),
        flood("slow bodies", format!("{}{key}{length}\r\n", put("x")), "drip", true),
        flood("slow readers", format!("GET /download/large HTTP/1.1\r\nHost: a\r\n{key}\r\n"), "sip", true),
        flood(
            "slow readers of events",
            format!("GET /sync?cursor={beginning} HTTP/1.1\r\nHost: a\r\n{key}\r\n"),
            "sip",
            true,
        ),
    ]
}

/// What a flood may cost the server, in KiB: so much for each place that its connections can have, however many there are, and a little for
/// what is in between.
fn most_memory(flood: &Flood, descriptors: Option<usize>) -> u64 {
    let places = match (descriptors, flood.is_known) {
        (Some(_), _) => 12,
        (None, false) => 1024,
        (None, true) => 8192,
    };
    places * 32 + 8 * 1024
}

/// Lets one flood rise and fall.
fn weather(flood: &Flood, world: &mut World, scale: &Scale, descriptors: Option<usize>) {
    let directory = world.directory().to_owned();
    let before = world.server.process().figures();
    let before_peak = world.server.process().peak_memory();
    let done = AtomicBool::new(false);
    let (seen, standing) = thread::scope(|scope| {
        let (server, done) = (&world.server, &done);
        // Where there are a handful of places for strangers, whoever comes from where the flood does is one of it; and of those who have
        // shown a key an address may only have so many.
        let is_apart = descriptors.is_some() || flood.is_known;
        let addresses = if is_apart { vec![ELSEWHERE] } else { vec![ELSEWHERE, address(0)] };
        let watch = |from| scope.spawn(move || witness(server, from, done));
        let witnesses: Vec<_> = addresses.into_iter().map(watch).collect();
        let end = AtEnd(done);
        let rising = Rising::launch(flood, &directory, server, scale.sockets);
        eventually_within(RISEN, "the flood to rise", || rising.is_risen());
        pass(scale.time);
        let standing = rising.standing();
        drop(end);
        let tell = |one: thread::ScopedJoinHandle<'_, _>| one.join().expect("a witness tells what it saw");
        (witnesses.into_iter().map(tell).collect::<Vec<_>>(), standing)
    });
    let peak = world.server.process().peak_memory();
    println!(
        "{}: {} sockets, {:?}: {seen:?}, {standing:?}, peak {} -> {} KiB",
        flood.name,
        scale.sockets,
        descriptors,
        before_peak / 1024,
        peak / 1024
    );
    let grown = (peak - before_peak) / 1024;
    assert!(grown < most_memory(flood, descriptors), "{}: {grown} KiB more", flood.name);
    for seen in &seen {
        let seen = seen.as_ref().unwrap_or_else(|error| panic!("{}: {error}", flood.name));
        assert!(0 < seen.answers && seen.longest < scale.answer, "{}: {seen:?}", flood.name);
    }
    eventually("the server to be as it was", || match world.server.process().figures() {
        // The last connection of before may have been there still.
        now if now.threads <= before.threads && now.descriptors <= before.descriptors => Ok(()),
        now => Err(format!("{now:?} instead of {before:?}")),
    });
}

#[test]
fn twenty_thousand() {
    if !is_full() {
        return;
    }
    let mut world = world(None);
    for flood in floods(&world.server) {
        weather(&flood, &mut world, &Scale::new(), None);
    }
}

#[test]
fn with_few_descriptors() {
    let mut world = world(Some(64));
    for flood in floods(&world.server) {
        weather(&flood, &mut world, &Scale::new(), Some(64));
    }
}
