//! Transfers that are cut, by a lost connection or by the end of either program, and what comes of what had been transferred.
//!
//! Each of these sends one file through a [`Relay`] that holds it up in the middle. Then something happens, everything goes on, and what
//! matters is how many bytes go over the wire after that, and that the result is what it should be.

use std::fs::{self, File, FileTimes};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::harness::{
    Client, Connection, Content, DEADLINE, Relay, Request, Response, Way, World, eventually, is_full,
    repr_digest, write_file,
};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
/// Size of the file, and how much of it goes before it is held up.
const SIZE: u64 = 40 * MIB;
const HELD_AT: u64 = 30 * MIB;
/// What is durable by then at least: two marks.
const DURABLE: u64 = 16 * MIB;
/// What goes over the wire besides the file: heads, lists, heartbeats.
const BESIDES: u64 = MIB;

/// Where a box or folder keeps what was cut.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join(".filesync/partial")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The file among them that has the content.
#[track_caller]
fn kept_content(folder: &Path) -> PathBuf {
    let is_content = |path: &PathBuf| path.extension().is_none();
    kept(folder).into_iter().find(is_content).expect("something is kept")
}

/// Waits until so many bytes are said to be durable.
#[track_caller]
fn wait_for_mark(folder: &Path, offset: u64) {
    eventually("a mark of what is durable", || {
        let last = last_mark(folder);
        if last.is_some_and(|last| offset <= last) {
            Ok(())
        } else {
            Err(format!("the last one is {last:?}"))
        }
    });
}

/// How many bytes are said to be durable.
fn last_mark(folder: &Path) -> Option<u64> {
    let marks = kept(folder).into_iter().find(|path| path.extension().is_some())?;
    let text = fs::read_to_string(&marks).ok()?;
    // The first line is no mark.
    text.lines().skip(1).last()?.split(' ').next()?.parse().ok()
}

#[track_caller]
fn wait_until_nothing_is_kept(folder: &Path) {
    eventually("nothing to be kept", || {
        let kept = kept(folder);
        if kept.is_empty() { Ok(()) } else { Err(format!("{kept:?}")) }
    });
}

#[track_caller]
fn flip_a_byte(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).unwrap();
    file.write_all_at(&[!byte[0]], 100).unwrap();
}

/// A world in which one of the clients is behind a relay, and a file is on its way from a's folder or to b's.
struct Cut {
    world: World,
    relay: Relay,
    way: Way,
    /// What had gone that way when it was held up.
    before: u64,
}

impl Cut {
    /// The upload of `file` by a is held up.
    #[track_caller]
    fn up(size: u64, held_at: u64) -> Cut {
        let mut world = World::new();
        let relay = Relay::new(&world.server.address);
        world.a.url = relay.url();
        write_file(&world.a.at("file"), 1, size);
        relay.hold_after(Way::Up, held_at);
        world.a.start();
        Cut::hold(world, relay, Way::Up)
    }

    /// The download of `file` by b is held up.
    #[track_caller]
    fn down(size: u64, held_at: u64) -> Cut {
        let mut world = World::new();
        let relay = Relay::new(&world.server.address);
        world.b.url = relay.url();
        write_file(&world.a.at("file"), 1, size);
        world.a.start();
        world.settle_within(DEADLINE * 30);
        relay.hold_after(Way::Down, held_at);
        world.b.start();
        Cut::hold(world, relay, Way::Down)
    }

    #[track_caller]
    fn hold(world: World, relay: Relay, way: Way) -> Cut {
        relay.wait_until_held(way);
        let cut = Cut { world, relay, way, before: 0 };
        wait_for_mark(&cut.receiver(), DURABLE);
        Cut { before: cut.relay.passed(way), ..cut }
    }

    /// The box or folder that the file is on its way to.
    fn receiver(&self) -> PathBuf {
        match self.way {
            Way::Up => self.world.server.folder.clone(),
            Way::Down => self.world.b.folder.clone(),
        }
    }

    fn client(&mut self) -> &mut Client {
        match self.way {
            Way::Up => &mut self.world.a,
            Way::Down => &mut self.world.b,
        }
    }

    /// Waits until all agree; `file` is what a has then. Returns how many bytes went over the wire for that.
    #[track_caller]
    fn settle(&mut self) -> u64 {
        self.relay.open();
        self.world.settle_within(DEADLINE * 30);
        wait_until_nothing_is_kept(&self.receiver());
        let staging = fs::read_dir(self.receiver().join(".filesync/staging")).unwrap().count();
        assert_eq!(staging, 0, "something is left in staging");
        self.relay.passed(self.way) - self.before
    }

    #[track_caller]
    fn goes_on(mut self) {
        let sent = self.settle();
        assert!(sent < SIZE - DURABLE + BESIDES, "{sent} bytes went over the wire after it was cut");
        let log = self.client().process().log();
        assert!(log.contains("load of file goes on at byte "), "{log}");
    }

    #[track_caller]
    fn starts_over(mut self) {
        let sent = self.settle();
        assert!(SIZE <= sent, "only {sent} bytes went over the wire");
    }

    fn kill_client(&mut self) {
        self.client().kill();
        self.relay.cut();
    }

    fn kill_both(&mut self) {
        self.kill_client();
        self.world.server.kill();
    }

    fn start_both(&mut self) {
        self.world.server.start();
        self.client().start();
    }
}

// ---- Up ---------------------------------------------------------------------------------------------------------------------------------

#[test]
fn an_upload_goes_on_after_the_connection_was_lost() {
    let cut = Cut::up(SIZE, HELD_AT);
    cut.relay.cut();
    cut.goes_on();
}

#[test]
fn an_upload_goes_on_after_the_server_was_killed() {
    let mut cut = Cut::up(SIZE, HELD_AT);
    cut.world.server.kill();
    cut.relay.cut();
    cut.world.server.start();
    cut.goes_on();
}

#[test]
fn an_upload_goes_on_after_the_client_was_killed() {
    let mut cut = Cut::up(SIZE, HELD_AT);
    cut.kill_client();
    cut.client().start();
    cut.goes_on();
}

#[test]
fn an_upload_goes_on_after_both_were_killed() {
    let mut cut = Cut::up(SIZE, HELD_AT);
    cut.kill_both();
    cut.start_both();
    cut.goes_on();
}

#[test]
fn an_upload_goes_on_after_both_were_stopped() {
    let mut cut = Cut::up(SIZE, HELD_AT);
    cut.client().stop();
    cut.relay.cut();
    cut.world.server.stop();
    cut.start_both();
    cut.goes_on();
}

/// The content has the same length, so nothing but the hash tells the two apart.
#[test]
fn an_upload_of_what_was_edited_meanwhile_starts_over() {
    let mut cut = Cut::up(SIZE, HELD_AT);
    cut.kill_both();
    flip_a_byte(&cut.world.a.at("file"));
    cut.start_both();
    cut.starts_over();
}

#[test]
fn an_upload_of_what_is_edited_while_it_is_cut_starts_over() {
    let cut = Cut::up(SIZE, HELD_AT);
    flip_a_byte(&cut.world.a.at("file"));
    cut.relay.cut();
    cut.starts_over();
}

#[test]
fn an_upload_whose_first_bytes_were_damaged_starts_over() {
    let mut cut = Cut::up(SIZE, HELD_AT);
    cut.kill_both();
    flip_a_byte(&kept_content(&cut.world.server.folder));
    cut.start_both();
    cut.starts_over();
}

#[test]
fn an_upload_whose_first_bytes_are_damaged_while_the_server_runs_starts_over() {
    let mut cut = Cut::up(SIZE, HELD_AT);
    let client = cut.world.server.status().get("clients").list()[0].get("id").text().to_owned();
    let digest = repr_digest(&fs::read(cut.world.a.at("file")).unwrap());
    cut.kill_client();
    // Until the server has noticed it answers with 503.
    eventually("the server to let go of the upload", || {
        let request = cut.world.server.request("HEAD", "/upload/file");
        let found = head(&cut.world, &request.field("Repr-Digest", &digest).field("Sync-Client", &client));
        if found.status == 204 { Ok(()) } else { Err(format!("{found:?}")) }
    });
    flip_a_byte(&kept_content(&cut.world.server.folder));
    cut.client().start();
    cut.starts_over();
}

#[test]
fn what_was_uploaded_and_not_continued_expires() {
    let mut cut = Cut::up(SIZE, HELD_AT);
    cut.kill_both();
    let content = kept_content(&cut.world.server.folder);
    let long_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    let file = File::options().write(true).open(content).unwrap();
    file.set_times(FileTimes::new().set_modified(long_ago)).unwrap();
    cut.world.server.start();
    assert_eq!(kept(&cut.world.server.folder), [] as [PathBuf; 0]);
    cut.client().start();
    cut.starts_over();
}

// ---- Down -------------------------------------------------------------------------------------------------------------------------------

#[test]
fn a_download_goes_on_after_the_connection_was_lost() {
    let cut = Cut::down(SIZE, HELD_AT);
    cut.relay.cut();
    cut.goes_on();
}

#[test]
fn a_download_goes_on_after_the_server_was_killed() {
    let mut cut = Cut::down(SIZE, HELD_AT);
    cut.world.server.kill();
    cut.relay.cut();
    cut.world.server.start();
    cut.goes_on();
}

#[test]
fn a_download_goes_on_after_the_client_was_killed() {
    let mut cut = Cut::down(SIZE, HELD_AT);
    cut.kill_client();
    cut.client().start();
    cut.goes_on();
}

#[test]
fn a_download_goes_on_after_both_were_killed() {
    let mut cut = Cut::down(SIZE, HELD_AT);
    cut.kill_both();
    cut.start_both();
    cut.goes_on();
}

#[test]
fn a_download_of_what_was_edited_meanwhile_starts_over() {
    let mut cut = Cut::down(SIZE, HELD_AT);
    cut.kill_client();
    flip_a_byte(&cut.world.a.at("file"));
    cut.world.settle();
    cut.client().start();
    cut.starts_over();
}

#[test]
fn a_download_whose_first_bytes_were_damaged_starts_over() {
    let mut cut = Cut::down(SIZE, HELD_AT);
    cut.kill_client();
    flip_a_byte(&kept_content(&cut.world.b.folder));
    cut.client().start();
    cut.starts_over();
}

#[test]
fn what_was_downloaded_and_is_not_wanted_any_more_goes() {
    let mut cut = Cut::down(SIZE, HELD_AT);
    cut.kill_client();
    assert_eq!(kept(&cut.world.b.folder).len(), 2);
    fs::remove_file(cut.world.a.at("file")).unwrap();
    cut.world.settle();
    cut.client().start();
    cut.settle();
}

// ---- By hand ----------------------------------------------------------------------------------------------------------------------------

/// The answer to a `HEAD`, which has no body, whatever its length.
#[track_caller]
fn head(world: &World, request: &Request) -> Response {
    let mut connection = world.server.connect();
    connection.send(request.encode());
    connection.head()
}

/// A `PUT` of `content` of which the server gets the first `sent`, over a connection that is still there.
#[track_caller]
fn send_by_hand(world: &World, path: &str, content: &[u8], sent: usize) -> Connection {
    let mut connection = world.server.connect();
    let request = world
        .server
        .request("PUT", &format!("/upload/{path}"))
        .field("If-None-Match", "*")
        .field("Repr-Digest", &repr_digest(content))
        .field("Content-Length", &content.len().to_string());
    connection.send(request.encode());
    connection.send(&content[..sent]);
    connection
}

/// The same over one that is cut then.
#[track_caller]
fn begin_by_hand(world: &World, path: &str, content: &[u8], sent: usize) {
    let mut connection = send_by_hand(world, path, content, sent);
    connection.finish_sending();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

fn content_by_hand(seed: u64) -> Vec<u8> {
    let mut content = Vec::new();
    Content::new(seed, 17 * MIB).read_to_end(&mut content).unwrap();
    content
}

#[test]
fn an_upload_by_hand() {
    let world = World::new();
    let (content, other) = (content_by_hand(1), content_by_hand(2));
    let length = content.len();
    let half = length / 2;
    let ask = |method: &str, path: &str, content: &[u8]| {
        world.server.request(method, &format!("/upload/{path}")).field("Repr-Digest", &repr_digest(content))
    };
    let rest = |offset: usize| {
        ask("PATCH", "a", &content)
            .field("Content-Type", "application/partial-upload")
            .field("Upload-Complete", "?1")
            .field("Upload-Offset", &offset.to_string())
    };
    // Whoever waits to be asked for the content hears a refusal instead, so that the rest needs not be sent.
    let refused = |request: Request, length: usize, status| {
        let request = request.field("Content-Length", &length.to_string()).field("Expect", "100-continue");
        world.server.ask(&request).expect(status)
    };
    assert_eq!(head(&world, &ask("HEAD", "a", &content)).status, 404);
    begin_by_hand(&world, "a", &content, half);
    let found = head(&world, &ask("HEAD", "a", &content));
    assert_eq!((found.status, found.field("Upload-Offset")), (204, Some(half.to_string().as_str())));
    assert_eq!(found.field("Upload-Length"), Some(length.to_string().as_str()));
    assert_eq!(found.field("Upload-Complete"), Some("?0"));
    assert!(found.field("Upload-Limit").is_some_and(|limit| limit.contains("max-age=")));
    // It is somebody else's, another path's or another content's.
    assert_eq!(head(&world, &ask("HEAD", "a", &content).field("Sync-Client", "c")).status, 404);
    assert_eq!(head(&world, &ask("HEAD", "b", &content)).status, 404);
    assert_eq!(head(&world, &ask("HEAD", "a", &other)).status, 404);
    assert_eq!(head(&world, &world.server.request("HEAD", "/upload/a")).status, 400);
    // What can't be continued like that.
    refused(rest(half), length - half, 428);
    let create = |offset: usize| rest(offset).field("If-None-Match", "*");
    let answer = refused(create(half - 1), length - half + 1, 409);
    assert_eq!(answer.field("Upload-Offset"), Some(half.to_string().as_str()));
    assert!(String::from_utf8_lossy(&answer.body).contains("/problems/offset-mismatch"));
    refused(create(half), length - half - 1, 400);
    refused(create(half).field("Upload-Length", "5"), length - half, 400);
    refused(rest(half).field("If-Match", "\"dir\""), length - half, 412);
    refused(
        ask("PUT", "a", &content).field("If-None-Match", "*").field("Upload-Complete", "?0"),
        length,
        400,
    );
    // What can.
    let answer = world.server.ask(&create(half).body(&content[half..])).expect(201);
    assert_eq!(answer.field("Upload-Complete"), Some("?1"));
    assert!(fs::read(world.server.folder.join("a")).unwrap() == content);
    // Said again because the answer was lost.
    refused(create(half), length - half, 204);
    assert_eq!(kept(&world.server.folder), [] as [PathBuf; 0]);
}

#[test]
fn nothing_is_spliced_by_hand() {
    let world = World::new();
    let (content, other) = (content_by_hand(1), content_by_hand(2));
    let half = content.len() / 2;
    begin_by_hand(&world, "a", &content, half);
    let rest = world
        .server
        .request("PATCH", "/upload/a")
        .field("If-None-Match", "*")
        .field("Content-Type", "application/partial-upload")
        .field("Upload-Complete", "?1")
        .field("Upload-Offset", &half.to_string());
    // The rest of something else, under either digest.
    let of = |content: &[u8]| rest.clone().field("Repr-Digest", &repr_digest(content));
    let length = (content.len() - half).to_string();
    let announced =
        |request: Request| request.field("Content-Length", &length).field("Expect", "100-continue");
    world.server.ask(&announced(of(&other))).expect(404);
    world.server.ask(&of(&content).body(&other[half..])).expect(422);
    assert_eq!(kept(&world.server.folder), [] as [PathBuf; 0], "what came is not what was announced");
    world.server.get("/download/a").expect(404);
    // The box has changed since it was begun.
    begin_by_hand(&world, "a", &content, half);
    world.server.put_new("a", "something else").expect(201);
    world.server.ask(&announced(of(&content))).expect(412);
    assert_eq!(world.server.get("/download/a").expect(200).body, b"something else");
    // Small ones are not kept.
    begin_by_hand(&world, "small", &content[..1000], 500);
    assert_eq!(kept(&world.server.folder).len(), 2);
}

/// As when a client goes on with another version over a new connection before the server can know that the old one is dead.
#[test]
fn what_another_upload_has_overtaken_is_not_kept() {
    let world = World::new();
    let (content, other) = (content_by_hand(1), content_by_hand(2));
    let dead = send_by_hand(&world, "a", &content, content.len() / 2);
    eventually("the server to be at the upload", || match kept(&world.server.folder).len() {
        2 => Ok(()),
        count => Err(format!("{count} files")),
    });
    let upload = world.server.request("PUT", "/upload/a").field("If-None-Match", "*");
    world.server.ask(&upload.field("Repr-Digest", &repr_digest(&other)).body(&*other)).expect(201);
    assert_eq!(kept(&world.server.folder).len(), 2, "it is still at the first");
    drop(dead);
    wait_until_nothing_is_kept(&world.server.folder);
}

// ---- Large ------------------------------------------------------------------------------------------------------------------------------

/// What happens to a transfer on its way.
type Mishap = fn(&mut Cut);

/// One after the other.
const MISHAPS: [(&str, Mishap); 4] = [
    ("the connection was lost", |cut| cut.relay.cut()),
    ("the server was killed", |cut| {
        cut.world.server.kill();
        cut.relay.cut();
        cut.world.server.start();
    }),
    ("the client was killed", |cut| {
        cut.kill_client();
        cut.client().start();
    }),
    ("both were killed", |cut| {
        cut.kill_both();
        cut.start_both();
    }),
];

/// Cut four times each way, it goes on from the last byte that is durable. With `FILESYNC_FULL=1` a file of 5 GiB, and the figures are worth
/// reading.
#[test]
fn a_large_file_there_and_back() {
    let size = if is_full() { 5 * GIB } else { 120 * MIB };
    let leg = size / 5;
    for (word, begin) in [("up", Cut::up as fn(u64, u64) -> Cut), ("down", Cut::down)] {
        let mut start = Instant::now();
        let mut cut = begin(size, leg);
        let mut marks = Vec::new();
        for (what, happens) in MISHAPS {
            let took = start.elapsed().as_secs_f64();
            let marked = last_mark(&cut.receiver()).expect("something is durable");
            println!("{word}: {} MiB are durable, {took:.1} s; then {what}", marked / MIB);
            assert!(marks.last().is_none_or(|last| *last <= marked), "{marks:?}, and then {marked}");
            marks.push(marked);
            start = Instant::now();
            happens(&mut cut);
            cut.before = cut.relay.passed(cut.way);
            if marks.len() < MISHAPS.len() {
                cut.relay.hold_after(cut.way, leg);
                cut.relay.wait_until_held(cut.way);
            }
        }
        let sent = cut.settle();
        let took = start.elapsed().as_secs_f64();
        println!("{word}: {} MiB more of {} went after that, {took:.1} s", sent / MIB, size / MIB);
        let log = cut.client().process().log();
        let goes_on = log.lines().filter_map(|line| line.split_once(" goes on at byte ")?.1.split_once(':'));
        let goes_on: Vec<u64> = goes_on.map(|(byte, _)| byte.parse().expect("a number of bytes")).collect();
        println!("{word}: went on at {goes_on:?}, and durable was {marks:?}");
        assert_eq!(goes_on.len(), marks.len(), "{log}");
        assert!(
            goes_on.iter().zip(&marks).all(|(at, mark)| mark <= at),
            "{goes_on:?}, and durable was {marks:?}"
        );
        let last = marks[marks.len() - 1];
        assert!(sent < size - last + BESIDES, "{sent} bytes went over the wire, and {last} were there");
    }
}
