//! Commands that carry connections.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use super::check_both_ways;
use crate::harness::{Client, World, eventually, example};

/// Makes a client go through the bridge, as to a server that has a name which nobody could look up.
fn through_bridge(client: &mut Client, address: &str) {
    client.url = "http://box.invalid".to_owned();
    go_through(client, &format!("{} {address}", example("bridge").display()));
}

fn go_through(client: &mut Client, command: &str) {
    client.environment.retain(|(name, _)| *name != "FILESYNC_CONNECT");
    client.environment.push(("FILESYNC_CONNECT", OsString::from(command)));
}

/// The children of a process: their states, by number. `Z` is one that ended and was not waited for.
fn children(parent: u32) -> BTreeMap<u32, char> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let stat = |number: u32| {
        let text = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        (fields.next()? == parent.to_string()).then_some((number, state))
    };
    processes.filter_map(stat).collect()
}

#[test]
fn folders_sync_through_a_command() {
    let mut world = World::new();
    let address = world.server.address.clone();
    through_bridge(&mut world.a, &address);
    through_bridge(&mut world.b, &address);
    check_both_ways(&mut world);

    // What carries the connections dies, and others take its place.
    let client = world.a.process().pid();
    let first = children(client);
    assert!(!first.is_empty(), "nothing carries a connection");
    for number in first.keys() {
        crate::harness::shell(world.directory(), &format!("kill -9 {number} || true"));
    }
    fs::write(world.b.at("later"), "later").unwrap();
    world.a.wait_for_content("later", b"later");
    world.settle();
    eventually("all that died to be waited for", || {
        let now = children(client);
        let left = now.iter().any(|(number, state)| first.contains_key(number) || *state == 'Z');
        if left { Err(format!("{now:?}")) } else { Ok(()) }
    });

    // With the client they go, too.
    let carriers = children(client);
    world.a.stop();
    for number in carriers.keys() {
        assert!(!fs::exists(format!("/proc/{number}")).unwrap(), "{number} goes on");
    }
}

#[test]
fn a_command_that_fails_is_heard() {
    let mut world = World::new();
    for (command, words) in [
        (
            "sh -c 'echo >&2 no route to the box; exit 255'",
            &["sh failed", "exit status: 255", "no route to the box"][..],
        ),
        ("false", &["false failed"]),
        ("/no/such/program x", &["can't start /no/such/program"]),
        // It ends well, and was no server.
        ("true", &["without an answer"]),
        ("echo SSH-2.0-OpenSSH", &["makes no sense"]),
    ] {
        go_through(&mut world.a, command);
        world.a.once(&[]).expect_code(6).expect_words(words);
    }
    for command in ["", "'", "ssh \"box", "ssh \\"] {
        world.a.environment.clear();
        world.a.once(&["--connect", command]).expect_code(2).expect_words(&["--connect"]);
    }
    world.a.url = "unix:s".to_owned();
    world.a.once(&["--connect", "cat"]).expect_code(2).expect_words(&["exclude each other"]);
}

/// No shell reads the command, and it is not told the key.
#[test]
fn a_command_is_given_what_stands_there_and_no_more() {
    let mut world = World::new();
    let address = world.server.address.clone();
    let key = world.server.key();
    world.a.token_file = None;
    world.a.environment = vec![("FILESYNC_TOKEN", key.clone().into()), ("API_KEY", key.clone().into())];
    let record = world.directory().join("record");
    let script = world.directory().join("carry it");
    fs::write(
        &script,
        format!(
            "{{ env; for word; do echo \"word $word\"; done; }} > '{}'\nexec '{}' {address}\n",
            record.display(),
            example("bridge").display()
        ),
    )
    .unwrap();
    let command = format!("sh \"{}\" ; 'touch x' $HOME `id` > * ~", script.display());
    go_through(&mut world.a, &command);
    fs::write(world.a.at("file"), "content").unwrap();
    world.a.once(&[]).expect_code(0);
    assert_eq!(fs::read(world.server.folder.join("file")).unwrap(), b"content");
    let record = fs::read_to_string(record).unwrap();
    let words: Vec<&str> = record.lines().filter_map(|line| line.strip_prefix("word ")).collect();
    assert_eq!(words, [";", "touch x", "$HOME", "`id`", ">", "*", "~"]);
    assert!(record.contains("PATH=") && !record.contains(&key), "{record}");
}

/// A command that neither answers nor ends keeps nobody from stopping.
#[test]
fn a_command_that_hangs_can_be_left() {
    let mut world = World::new();
    go_through(&mut world.a, "sh -c 'sleep 1000; true'");
    world.a.start();
    let client = world.a.process().pid();
    let carriers = eventually("a command to be started", || {
        let children = children(client);
        if children.is_empty() { Err("none".into()) } else { Ok(children) }
    });
    // As Ctrl-C would.
    world.a.process().signal("INT");
    assert_eq!(world.a.process().wait(), 130);
    for number in carriers.keys() {
        assert!(!fs::exists(format!("/proc/{number}")).unwrap(), "{number} goes on");
    }
}
