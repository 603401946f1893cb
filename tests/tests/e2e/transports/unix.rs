//! Sockets in the file system.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::check_both_ways;
use crate::harness::{Process, World, eventually, program, run};

/// A world whose server listens on a socket, too, and whose clients know no other way.
#[track_caller]
fn world_with_socket() -> (World, PathBuf) {
    let mut world = World::new();
    let socket = world.directory().join("s");
    world.server.stop();
    start_with_socket(&mut world, &socket);
    world.a.url = format!("unix:{}", socket.display());
    world.b.url = world.a.url.clone();
    (world, socket)
}

#[track_caller]
fn start_with_socket(world: &mut World, socket: &Path) {
    world.server.start_as(|mut command| {
        command.arg(format!("--listen=unix:{}", socket.display()));
        command
    });
}

#[test]
fn folders_sync_over_a_socket() {
    let (mut world, socket) = world_with_socket();
    let metadata = fs::symlink_metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    check_both_ways(&mut world);
    // A server that is killed leaves its socket; the next one takes its place, and the clients notice.
    world.server.kill();
    assert!(socket.exists());
    start_with_socket(&mut world, &socket);
    fs::write(world.a.at("later"), "later").unwrap();
    world.b.wait_for_content("later", b"later");
    world.settle();
    world.stop_clients();
    world.server.stop();
    assert!(!socket.exists(), "a server that stops takes its socket along");
}

#[test]
fn a_socket_that_is_taken() {
    let (world, socket) = world_with_socket();
    let another_box = world.directory().join("another");
    let listen = format!("unix:{}", socket.display());
    let mut second = program("server");
    second.arg("--listen").arg(&listen).arg("--box").arg(&another_box);
    run(&mut second).expect_code(1).expect_words(&[&listen, "another program listens there"]);
    world.a.once(&[]).expect_code(0);
    let precious = world.directory().join("precious");
    fs::write(&precious, "precious").unwrap();
    let mut third = program("server");
    third.arg("--listen").arg(format!("unix:{}", precious.display())).arg("--box").arg(&another_box);
    run(&mut third).expect_code(1).expect_words(&["no socket"]);
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
}

/// One socket alone, for its owner's group, and no port at all.
#[test]
fn a_server_without_a_port() {
    let world = World::new();
    let socket = world.directory().join("only");
    let mut command = program("server");
    command.arg("--box").arg(world.directory().join("another")).args(["--socket-mode", "660"]);
    command.arg("--listen").arg(format!("unix:{}", socket.display()));
    let mut server = Process::spawn("only", world.directory(), &mut command);
    eventually("the server to listen", || {
        let said = server.output();
        if said == format!("listening on unix:{}\n", socket.display()) { Ok(()) } else { Err(said) }
    });
    assert_eq!(fs::symlink_metadata(&socket).unwrap().permissions().mode() & 0o7777, 0o660);
    let mut client = world.another_client("gamma");
    client
        .use_server(&format!("unix:{}", socket.display()), &world.directory().join("another/.filesync/key"));
    client.once(&[]).expect_code(0);
    assert_eq!(server.terminate(), 143);
}

#[test]
fn sockets_where_nobody_is() {
    let mut world = World::new();
    let stale = world.directory().join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    for (path, words) in [("missing", "No such file"), ("stale", "Connection refused")] {
        world.a.url = format!("unix:{}", world.directory().join(path).display());
        let url = world.a.url.clone();
        world.a.once(&[]).expect_code(6).expect_words(&[&url, words]);
    }
}
