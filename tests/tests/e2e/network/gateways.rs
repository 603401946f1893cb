//! Proxies that can't pass a request and its answer on at the same time: nothing hangs, however long a list is, and what the server refuses
//! is heard.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Connection, Gateway, Manner, Request, World, run};

const MANNERS: [Manner; 2] = [Manner::Whole, Manner::Piecewise];

/// A directory as deep as can be, so that few files make a long list.
fn deep() -> PathBuf {
    (0..14).map(|number| format!("{number:0>250}")).collect()
}

/// 4,000 files whose list is some 15 MB long, and as much is answered: more than any socket takes.
#[test]
fn a_list_may_be_longer_than_what_a_proxy_takes() {
    const FILES: usize = 4000;
    let mut world = World::new();
    let deep = world.a.folder.join(deep());
    fs::create_dir_all(&deep).unwrap();
    for number in 0..FILES {
        fs::write(deep.join(number.to_string()), "").unwrap();
    }
    world.server.put_new("theirs", "theirs").expect(201);
    for manner in MANNERS {
        let gateway = Gateway::before(&world.server.address, manner);
        world.a.url = gateway.url();
        let planned = run(world.a.command().arg("--dry-run").arg(&world.a.folder)).expect_code(0);
        let lines = planned.stdout.lines().chain(planned.stderr.lines());
        let count = lines.filter(|line| line.contains("theirs") || line.contains("0/")).count();
        assert!(FILES < count, "{manner:?}: {count} of {FILES} are planned: {}", planned.stderr);
    }
}

/// Content, events and refusals pass, too.
#[test]
fn a_client_is_live_through_a_proxy() {
    for manner in MANNERS {
        let mut world = World::new();
        let gateway = Gateway::before(&world.server.address, manner);
        world.a.url = gateway.url();
        fs::write(world.a.at("large"), vec![b'x'; 3_000_000]).unwrap();
        world.a.start();
        world.settle();
        world.server.put_new("later", "later").expect(201);
        world.a.wait_for_content("later", b"later");
        fs::write(world.a.at("later"), "edited").unwrap();
        world.settle();
    }
}

/// The server answers before it has read the body, and hangs up when it has read a little more. A proxy that is still sending then may see
/// only that its write fails, and make something of its own of it.
#[test]
fn the_refusal_of_a_large_upload_is_heard() {
    let world = World::new();
    let gateway = Gateway::before(&world.server.address, Manner::Piecewise);
    world.server.put_new("there", "there").expect(201);
    let large = vec![b'x'; 24 << 20];
    let put = |path: &str| Request::new("PUT", path).body(&large);
    let key = format!("Bearer {}", world.server.key());
    let with_key = |path: &str| put(path).field("Authorization", &key);
    for (request, status) in [
        (put("/upload/new"), 401),
        (with_key("/upload/new"), 428),
        (with_key("/upload/there").field("If-None-Match", "*"), 412),
        (with_key("/upload/no/such/parent").field("If-None-Match", "*"), 409),
        (with_key("/upload/new").field("If-None-Match", "*").field("Content-Encoding", "gzip"), 415),
        (with_key("/elsewhere"), 404),
    ] {
        for address in [&world.server.address, &gateway.address] {
            let mut connection = Connection::open(address);
            // It is no error of the server's if not all of it is taken.
            let _ = connection.try_send(request.encode());
            let answer = connection.response();
            assert_eq!(answer.status, status, "{address}: {}", String::from_utf8_lossy(&answer.body));
        }
    }
}
