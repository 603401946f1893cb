//! Proxies that can't pass a request and its answer on at the same time: nothing hangs, however long a list is, and what the server refuses
//! is heard.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Gateway, Manner, World, run};

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
