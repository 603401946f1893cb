//! Exit codes, and what is said when something is wrong from the start.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::harness::{Kind, Process, World, eventually, program, run, write_secret};

const PROGRAMS: [&str; 3] = ["server", "client_a", "client_b"];
const CLIENTS: [Kind; 2] = [Kind::A, Kind::B];

/// An address at which nobody listens.
fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// One pass of a client of this kind against `server`, with a key that nobody knows.
fn once(kind: Kind, server: &str, directory: &str) -> Command {
    let mut command = program(kind.program());
    command.args(["--server", server, "--once", directory]).env("FILESYNC_TOKEN", "a-token-nobody-knows");
    command
}

#[test]
fn help_and_version() {
    for name in PROGRAMS {
        for option in ["--help", "-h"] {
            let finished = run(program(name).arg(option)).expect_code(0);
            assert!(finished.stdout.contains(name) && finished.stderr.is_empty(), "{finished:?}");
        }
        for option in ["--version", "-V"] {
            let finished = run(program(name).arg(option)).expect_code(0);
            assert!(finished.stdout.contains("0.") && finished.stdout.lines().count() == 1, "{finished:?}");
        }
    }
    let help = run(program("client_b").arg("--help")).stdout;
    for option in ["--server", "--token-file", "--name", "--once", "--json", "--force"] {
        assert!(help.contains(option), "{option} is not in the help:\n{help}");
    }
}

#[test]
fn what_cannot_be_understood() {
    for name in PROGRAMS {
        run(program(name).arg("--no-such-option"))
            .expect_code(2)
            .expect_words(&["--no-such-option", "--help"]);
    }
    for kind in CLIENTS {
        run(program(kind.program()).args(["--servre", "http://127.0.0.1:1", "."]))
            .expect_code(2)
            .expect_words(&["--server"]);
        run(&mut program(kind.program())).expect_code(2);
        run(program(kind.program()).args(["one", "two"])).expect_code(2);
        run(&mut once(kind, "ftp://127.0.0.1:1", "/")).expect_code(2).expect_words(&["ftp"]);
        run(program(kind.program()).args([".", "--name"])).expect_code(2).expect_words(&["--name"]);
    }
    run(program("server").args(["--listen", "nowhere"])).expect_code(2).expect_words(&["nowhere"]);
    run(program("server").args(["--lisen", "127.0.0.1:0"])).expect_code(2).expect_words(&["--listen"]);
}

#[test]
fn a_folder_that_is_missing_or_no_folder() {
    let world = World::new();
    let (missing, file) = (world.directory().join("missing"), world.directory().join("file"));
    fs::write(&file, "not a directory").unwrap();
    for client in [&world.a, &world.b] {
        let finished = run(client.command().arg("--once").arg(&missing)).expect_words(&["missing"]);
        assert!([1, 2].contains(&finished.code), "{finished:?}");
        assert!(!missing.exists(), "a folder is not made by mistake: it may be a disk that is not mounted");
        let finished = run(client.command().arg("--once").arg(&file)).expect_words(&["file"]);
        assert!([1, 2].contains(&finished.code), "{finished:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "not a directory");
    }
}

#[test]
fn a_folder_in_use() {
    let mut world = World::new();
    world.b.start();
    world.settle();
    for kind in CLIENTS {
        let mut command = program(kind.program());
        command
            .args(["--server", &world.server.url(), "--once"])
            .arg("--token-file")
            .arg(world.server.key_file());
        let holder = format!("process {} ({})", world.b.process().pid(), world.b.kind.program());
        run(command.arg(&world.b.folder)).expect_code(8).expect_words(&["beta", &holder]);
    }
    // Whoever is killed leaves nothing behind that would keep the next one out.
    world.b.kill();
    world.b.once(&[]).expect_code(0);
}

#[test]
fn no_server() {
    let world = World::new();
    for kind in CLIENTS {
        let url = format!("http://{}", dead_address());
        let folder = world.directory().join("lonely");
        fs::create_dir_all(&folder).unwrap();
        run(&mut once(kind, &url, folder.to_str().unwrap())).expect_code(6).expect_words(&[&url]);
    }
}

/// Without `--once` a client keeps trying, and is there when the server comes.
#[test]
fn a_live_client_waits_for_the_server() {
    let mut world = World::new();
    world.server.stop();
    fs::write(world.a.at("early.txt"), "early").unwrap();
    world.start_clients();
    world.a.wait_for_state("offline");
    world.server.start();
    world.b.wait_for_content("early.txt", b"early");
    world.settle();
}

/// Whoever can read a key may do all that it opens; it may be known already.
#[test]
fn a_key_that_others_can_read() {
    let world = World::new();
    let key = world.directory().join("copied");
    write_secret(&key, &world.server.key());
    for client in [&world.a, &world.b] {
        fs::write(client.at("mine"), "mine").unwrap();
        let once = || {
            let mut command = program(client.kind.program());
            command.args(["--server", &world.server.url(), "--once", "--token-file"]).arg(&key);
            run(command.arg(&client.folder))
        };
        for mode in [0o644, 0o640, 0o606] {
            fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
            once().expect_code(5).expect_words(&["copied", &format!("mode {mode:o}"), "chmod 600"]);
            assert!(!world.server.folder.join("mine").exists());
        }
        fs::set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
        once().expect_code(0);
        fs::remove_file(client.at("mine")).unwrap();
        once().expect_code(0);
    }
}

#[test]
fn a_key_that_is_wrong_or_missing() {
    let world = World::new();
    let wrong = world.directory().join("wrong");
    write_secret(&wrong, "wrong-key-wrong-key-wrong-key");
    for client in [&world.a, &world.b] {
        fs::write(client.at("mine"), "mine").unwrap();
        let name = client.kind.program();
        for once in [true, false] {
            let mut command = program(name);
            command
                .args(["--server", &world.server.url()])
                .arg("--token-file")
                .arg(&wrong)
                .arg(&client.folder);
            if once {
                command.arg("--once");
            }
            run(&mut command).expect_code(5).expect_words(&["key"]);
        }
        assert_eq!(fs::read_to_string(client.at("mine")).unwrap(), "mine", "a 401 deletes nothing");

        let missing = world.directory().join("no such file");
        let mut command = program(name);
        command.args(["--server", &world.server.url(), "--once"]).arg("--token-file").arg(&missing);
        let finished = run(command.arg(&client.folder)).expect_words(&["no such file"]);
        assert!([1, 2, 5].contains(&finished.code), "{finished:?}");

        run(program(name).args(["--server", &world.server.url(), "--once"]).arg(&client.folder))
            .expect_words(&["--token-file", "FILESYNC_TOKEN"]);
    }
}

#[test]
fn the_key_of_the_environment() {
    for variable in ["API_KEY", "FILESYNC_TOKEN"] {
        let world = World::new();
        let mut command = program("client_b");
        command.args(["--server", &world.server.url(), "--once"]).env(variable, world.server.key());
        run(command.arg(&world.b.folder)).expect_code(0);
    }
}

#[test]
fn the_server_with_a_key_of_its_own() {
    let world = World::new();
    let folder = world.directory().join("box with a key");
    let mut command = program("server");
    command.args(["--listen", "127.0.0.1:0", "--box"]).arg(&folder).env("API_KEY", "k");
    let process = Process::spawn("keyed", world.directory(), &mut command);
    let url = eventually("the server to listen", || {
        let output = process.output();
        output.strip_prefix("listening on ").map(|url| url.trim_end().to_owned()).ok_or(output.clone())
    });
    assert!(!folder.join(".filesync/key").exists(), "no key is made where one is given");
    for (key, code) in [("k", 0), ("x", 5), ("kk", 5)] {
        let mut command = program("client_b");
        command.args(["--server", &url, "--once"]).env("API_KEY", key).arg(&world.b.folder);
        run(&mut command).expect_code(code);
    }
}

#[test]
fn a_weak_key_is_for_loopback_only() {
    let world = World::new();
    let mut command = program("server");
    command
        .args(["--listen", "0.0.0.0:0", "--box"])
        .arg(world.directory().join("open box"))
        .env("API_KEY", "short");
    let finished = run(&mut command).expect_words(&["API_KEY", "16"]);
    assert!([1, 2].contains(&finished.code), "{finished:?}");
}

#[test]
fn a_box_in_use() {
    let mut world = World::new();
    let mut second = program("server");
    second.args(["--listen", "127.0.0.1:0", "--box"]).arg(&world.server.folder);
    let holder = format!("process {} (server)", world.server.process().pid());
    run(&mut second).expect_code(8).expect_words(&["box", &holder]);
    run(program("server").arg("verify").arg("--box").arg(&world.server.folder))
        .expect_code(8)
        .expect_words(&[&holder]);
    world.server.kill();
    world.server.start();
}

#[test]
fn a_port_in_use() {
    let world = World::new();
    let mut second = program("server");
    second.args(["--listen", &world.server.address, "--box"]).arg(world.directory().join("second box"));
    run(&mut second).expect_code(1).expect_words(&[&world.server.address]);
}

/// Signals end every program in good order, with the exit code that shells expect.
#[test]
fn signals() {
    let mut world = World::live();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for process in [world.a.process(), world.b.process(), world.server.process()] {
            process.signal(signal);
            assert_eq!(process.wait(), code);
        }
        world.server.start();
        world.start_clients();
        world.settle();
    }
}

#[test]
fn status_for_people_and_programs() {
    let mut world = World::live();
    for client in [&world.a, &world.b] {
        let line =
            run(program(client.kind.program()).arg("status").arg(&client.folder)).expect_code(0).stdout;
        assert!(line.lines().count() == 1 && line.contains("idle"), "{line}");
        assert_eq!(client.status().get("pending").number(), 0);
        assert_eq!(client.status().get("conflicts").number(), 0);
        assert!(client.status().get("problems").list().is_empty());
    }
    world.stop_clients();
    assert_eq!(world.a.status().get("state").text(), "stopped");
    world.b.start();
    world.b.wait_for_state("idle");
    world.b.kill();
    assert_eq!(world.b.status().get("state").text(), "stopped", "even a client that was killed");
    fs::write(world.b.at(".filesync/status"), "").unwrap();
    assert_eq!(
        world.b.status().get("state").text(),
        "stopped",
        "even after a power cut, which leaves nothing"
    );
}

#[test]
fn json_lines_of_client_b() {
    let world = World::new();
    fs::write(world.b.at("file.txt"), "file").unwrap();
    let finished = world.b.once(&["--json"]).expect_code(0);
    assert!(!finished.stdout.is_empty());
    for line in finished.stdout.lines() {
        crate::harness::Json::parse(line).unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(finished.stdout.contains("file.txt"), "{}", finished.stdout);
}
