//! Rules that say what does not sync: they make paths invisible, and never delete anything.

use std::fs;
use std::path::Path;

use crate::harness::{Client, Finished, World, eventually, program, run, snapshot};

/// Makes files, with the directories above them, each with its own path as content.
fn fill(folder: &Path, paths: &str) {
    for path in paths.split_whitespace() {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, path).unwrap();
    }
}

/// All paths in a folder.
fn paths(folder: &Path) -> String {
    let tree = snapshot(folder).unwrap();
    let paths: Vec<String> = tree.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    paths.join(" ")
}

fn set_rules(client: &Client, rules: &str) {
    fs::write(client.at(".syncignore"), rules).unwrap();
}

/// What happened in this client's folder before is known to this client, and what it made of that is known to the other, when a file made
/// now has arrived there.
#[track_caller]
fn wait_from(client: &Client, other: &Client, name: &str) {
    fs::write(client.at(name), name).unwrap();
    other.wait_for_content(name, name.as_bytes());
    client.wait_for_state("idle");
}

fn check_ignore(client: &Client, options: &[&str], paths: &[&str]) -> Finished {
    run(program(client.kind.program()).arg("check-ignore").args(options).arg(&client.folder).args(paths))
}

#[test]
fn what_is_ignored_is_neither_sent_nor_fetched() {
    let world = World::new();
    set_rules(&world.a, "# made, not written\n*.o\n!keep.o\nbuild/\n/top\n");
    fill(&world.a.folder, "x.o keep.o build/x src/build src/x.o src/keep.o src/top top both.o");
    world.a.once(&[]).expect_code(0);
    assert_eq!(paths(&world.server.folder), "keep.o src src/build src/keep.o src/top");

    fill(&world.b.folder, "y.o lib/build/y lib/y.c");
    fs::write(world.b.at("both.o"), "another").unwrap();
    world.b.once(&[]).expect_code(0);
    let before = paths(&world.a.folder);
    world.a.once(&[]).expect_code(0);
    assert_eq!(paths(&world.a.folder), before.replacen("keep.o src", "keep.o lib lib/y.c src", 1));
    assert_eq!(fs::read_to_string(world.a.at("both.o")).unwrap(), "both.o");
    assert_eq!(fs::read_to_string(world.server.folder.join("both.o")).unwrap(), "another");
    assert_eq!(world.a.once(&[]).expect_code(0).stderr.matches("load").count(), 0);
}

#[test]
fn rules_from_the_command_line_and_the_environment() {
    let world = World::new();
    set_rules(&world.a, "*.o\n");
    fill(&world.a.folder, "x.o x.tmp x.log x.c");
    world.a.once(&["--ignore", "*.tmp", "--ignore=!x.o", "--ignore", "*.log"]).expect_code(0);
    assert_eq!(paths(&world.server.folder), "x.c x.o");
    fill(&world.a.folder, "y.o y.tmp y.log");
    let mut command = world.a.command();
    command.env("FILESYNC_IGNORE", "*.tmp\nx.log\n").arg("--once").arg(&world.a.folder);
    run(&mut command).expect_code(0);
    assert_eq!(paths(&world.server.folder), "x.c x.o y.log");
}

#[test]
fn the_rules_themselves_sync_if_they_say_so() {
    let world = World::new();
    set_rules(&world.a, "*.o\n");
    world.a.once(&[]).expect_code(0);
    assert_eq!(paths(&world.server.folder), "");
    set_rules(&world.a, "*.o\n!/.syncignore\n");
    world.a.once(&[]).expect_code(0);
    assert_eq!(paths(&world.server.folder), ".syncignore");
    // Who has no rules of their own does not get any.
    fill(&world.b.folder, "x.o");
    world.b.once(&[]).expect_code(0);
    assert_eq!(paths(&world.b.folder), "x.o");
    assert_eq!(paths(&world.server.folder), ".syncignore x.o");
}

#[test]
fn a_rule_added_deletes_nothing_on_either_side() {
    let mut world = World::live_with(|folder| fill(folder, "x.o d/y.o d/z.o gone.c out/deep/file"));
    set_rules(&world.a, "*.o\nout/\n");
    wait_from(&world.a, &world.b, "rules are read");
    // Nothing that happens on one side reaches the other.
    fs::remove_file(world.a.at("x.o")).unwrap();
    fs::remove_dir_all(world.a.at("out")).unwrap();
    fs::write(world.a.at("d/y.o"), "edited by a").unwrap();
    fs::remove_file(world.a.at("gone.c")).unwrap();
    world.b.wait_for_absence("gone.c");
    wait_from(&world.a, &world.b, "a has spoken");
    fs::remove_file(world.b.at("d/z.o")).unwrap();
    fill(&world.b.folder, "new.o");
    world.b.wait_for_state("idle");
    wait_from(&world.b, &world.a, "b has spoken");

    let common = "a has spoken b has spoken d d/y.o";
    let other = "rules are read";
    eventually("the box to have no z.o", || {
        let now = paths(&world.server.folder);
        let wanted = format!("{common} new.o out out/deep out/deep/file {other} x.o");
        if now == wanted { Ok(()) } else { Err(now) }
    });
    assert_eq!(paths(&world.a.folder), format!(".syncignore {common} d/z.o {other}"));
    assert_eq!(fs::read_to_string(world.server.folder.join("d/y.o")).unwrap(), "d/y.o");
    assert_eq!(fs::read_to_string(world.a.at("d/y.o")).unwrap(), "edited by a");
    // Nor after a restart.
    world.a.stop();
    world.a.once(&[]).expect_code(0);
    assert_eq!(paths(&world.a.folder), format!(".syncignore {common} d/z.o {other}"));
    assert!(world.server.folder.join("x.o").exists() && world.server.folder.join("out/deep/file").exists());
}

#[test]
fn a_rule_added_while_the_client_is_down_deletes_nothing() {
    let world = World::new();
    fill(&world.a.folder, "x.o y.o d/z.o keep.c");
    world.a.once(&[]).expect_code(0);
    world.b.once(&[]).expect_code(0);
    set_rules(&world.a, "*.o\n");
    fs::remove_file(world.a.at("x.o")).unwrap();
    fs::remove_file(world.b.at("y.o")).unwrap();
    world.b.once(&[]).expect_code(0);
    world.a.once(&[]).expect_code(0);
    assert_eq!(paths(&world.a.folder), ".syncignore d d/z.o keep.c y.o");
    assert_eq!(paths(&world.server.folder), "d d/z.o keep.c x.o");
}

#[test]
fn a_rule_removed_makes_a_union() {
    let world = World::new();
    fill(&world.a.folder, "same.o was.o");
    world.a.once(&[]).expect_code(0);
    world.b.once(&[]).expect_code(0);
    set_rules(&world.a, "*.o\n");
    world.a.once(&[]).expect_code(0);
    // While they are ignored: one is deleted here, one there, each side makes its own, and both make one of the same name.
    fs::remove_file(world.a.at("was.o")).unwrap();
    fill(&world.a.folder, "a.o");
    fs::write(world.a.at("both.o"), "by a").unwrap();
    world.a.once(&[]).expect_code(0);
    fs::remove_file(world.b.at("same.o")).unwrap();
    fill(&world.b.folder, "b.o");
    fs::write(world.b.at("both.o"), "by b").unwrap();
    world.b.once(&[]).expect_code(0);
    world.a.once(&[]).expect_code(0);

    set_rules(&world.a, "# none\n");
    world.a.once(&[]).expect_code(0);
    world.b.once(&[]).expect_code(0);
    let tree = snapshot(&world.server.folder).unwrap();
    assert_eq!(snapshot(&world.b.folder).unwrap(), tree);
    for path in ["same.o", "was.o", "a.o", "b.o"] {
        assert_eq!(fs::read_to_string(world.a.at(path)).unwrap(), path);
        assert_eq!(fs::read_to_string(world.b.at(path)).unwrap(), path);
    }
    assert_eq!(fs::read_to_string(world.a.at("both.o")).unwrap(), "by b");
    let copy =
        tree.keys().find(|path| path.starts_with(b"both (conflict alpha")).expect("a copy of a's version");
    let copy = String::from_utf8(copy.clone()).unwrap();
    assert_eq!(fs::read_to_string(world.b.at(copy)).unwrap(), "by a");
}

#[test]
fn rules_that_change_while_the_client_runs() {
    let mut world = World::live();
    set_rules(&world.a, "*.o\n");
    wait_from(&world.a, &world.b, "read");
    fill(&world.a.folder, "a.o sub/a.o");
    fill(&world.b.folder, "b.o");
    wait_from(&world.a, &world.b, "first");
    wait_from(&world.b, &world.a, "second");
    // A new directory is looked at a little later than a file that was closed.
    eventually("the box to have what is not ignored", || match paths(&world.server.folder).as_str() {
        "b.o first read second sub" => Ok(()),
        other => Err(other.to_owned()),
    });
    fs::remove_file(world.a.at(".syncignore")).unwrap();
    assert_eq!(world.settle().len(), 7);
    world.b.wait_for_content("sub/a.o", b"sub/a.o");
    world.a.wait_for_content("b.o", b"b.o");
}

#[test]
fn a_directory_deleted_there_stays_for_what_is_ignored_in_it() {
    let world = World::new();
    set_rules(&world.a, "*.o\n");
    fill(&world.a.folder, "d/x.o d/f d/sub/deep/y.o d/sub/f d/empty/f");
    world.a.once(&[]).expect_code(0);
    world.b.once(&[]).expect_code(0);
    fs::remove_dir_all(world.b.at("d")).unwrap();
    world.b.once(&["--force"]).expect_code(0);
    for _ in 0..3 {
        world.a.once(&["--force"]).expect_code(0);
        assert_eq!(paths(&world.a.folder), ".syncignore d d/sub d/sub/deep d/sub/deep/y.o d/x.o");
        assert_eq!(paths(&world.server.folder), "");
    }
    // Something that syncs brings back what it needs.
    fill(&world.a.folder, "d/sub/new");
    world.a.once(&[]).expect_code(0);
    assert_eq!(paths(&world.server.folder), "d d/sub d/sub/new");
    world.b.once(&[]).expect_code(0);
    assert_eq!(paths(&world.b.folder), "d d/sub d/sub/new");
}

#[test]
fn a_directory_deleted_here_stays_there_for_what_is_ignored_in_it() {
    let world = World::new();
    fill(&world.b.folder, "d/x.o d/f e/f");
    world.b.once(&[]).expect_code(0);
    set_rules(&world.a, "*.o\n");
    world.a.once(&[]).expect_code(0);
    fs::remove_dir_all(world.a.at("d")).unwrap();
    for _ in 0..2 {
        world.a.once(&[]).expect_code(0);
        assert_eq!(paths(&world.a.folder), ".syncignore e e/f");
        assert_eq!(paths(&world.server.folder), "d d/x.o e e/f");
    }
}

/// A rule that means directories only, or all but them, while one side has a directory and the other a file of that name. What is below
/// the directory is not ignored by itself, and waits for nothing.
const ON_ONE_SIDE: &[(&str, &str, &str)] = &[
    ("build/", "build/x", "build"),
    ("build/", "build", "build/x"),
    ("build\n!build/", "build/x", "build"),
    ("build\n!build/", "build", "build/x"),
    ("build\n!build/", "build/deep/x build/y", "build"),
    ("build\n!build/", "build", "build/deep/x build/y"),
    ("d/*\n!d/*/", "d/build/x", "d/build"),
    ("d/*\n!d/*/", "d/build", "d/build/x"),
];

#[test]
fn what_is_ignored_on_one_side_only_is_said_and_left() {
    for &(rules, here, there) in ON_ONE_SIDE {
        let world = World::new();
        fill(&world.b.folder, there);
        world.b.once(&[]).expect_code(0);
        set_rules(&world.a, rules);
        fill(&world.a.folder, here);
        for other in ["one", "two"] {
            fill(&world.a.folder, other);
            world.a.once(&[]).expect_code(1).expect_words(&["build", "a rule ignores"]);
            let in_box = |path: &str| fs::read_to_string(world.server.folder.join(path)).unwrap();
            here.split(' ').for_each(|path| assert_eq!(fs::read_to_string(world.a.at(path)).unwrap(), path));
            there.split(' ').for_each(|path| assert_eq!(in_box(path), path));
            assert_eq!(in_box(other), other);
        }
    }
}

/// The client does not wait for what can't come, and goes on as soon as it can.
#[test]
fn what_is_ignored_on_one_side_only_is_left_until_it_is_gone() {
    for gone in ["the file", "the rule"] {
        let mut world = World::new();
        set_rules(&world.a, "build\n!build/\n");
        fill(&world.a.folder, "build");
        fill(&world.b.folder, "build/deep/x build/y");
        world.start_clients();
        for (from, name) in [(&world.a, "of a"), (&world.b, "of b")] {
            fs::write(from.at(name), name).unwrap();
        }
        world.a.wait_for_content("of b", b"of b");
        world.b.wait_for_content("of a", b"of a");
        eventually("the client to be at rest", || {
            let status = world.a.status();
            let is_said = format!("{:?}", status.get("problems")).contains("a rule ignores");
            let is_at_rest = status.get("state").text() == "idle" && status.get("pending").number() == 0;
            if is_said && is_at_rest { Ok(()) } else { Err(format!("{status:?}")) }
        });
        match gone {
            "the file" => fs::remove_file(world.a.at("build")).unwrap(),
            _ => set_rules(&world.a, "# none\n"),
        }
        world.a.wait_for_content("build/deep/x", b"build/deep/x");
        world.a.wait_for_content("build/y", b"build/y");
        world.a.wait_for_state("idle");
    }
}

#[test]
fn a_file_that_wants_the_name_of_a_directory_with_ignored_files() {
    let world = World::new();
    set_rules(&world.a, "*.o\n");
    fill(&world.a.folder, "d/f d/x.o");
    world.a.once(&[]).expect_code(0);
    world.b.once(&[]).expect_code(0);
    fs::remove_dir_all(world.b.at("d")).unwrap();
    fs::write(world.b.at("d"), "a file").unwrap();
    world.b.once(&[]).expect_code(0);
    world.a.once(&[]).expect_code(1).expect_words(&["d:", "move it away"]);
    assert_eq!(fs::read_to_string(world.a.at("d/x.o")).unwrap(), "d/x.o");
    fs::remove_dir_all(world.a.at("d")).unwrap();
    world.a.once(&[]).expect_code(0);
    assert_eq!(fs::read_to_string(world.a.at("d")).unwrap(), "a file");
}

#[test]
fn rules_that_cannot_be_read_are_not_no_rules() {
    let mut world = World::new();
    fill(&world.a.folder, "secret");
    fs::create_dir(world.a.at(".syncignore")).unwrap();
    world.a.once(&[]).expect_code(1).expect_words(&[".syncignore", "regular file"]);
    fs::remove_dir(world.a.at(".syncignore")).unwrap();
    set_rules(&world.a, &"a/".repeat(100));
    world.a.once(&[]).expect_code(1).expect_words(&[".syncignore:1:", "names"]);
    assert_eq!(paths(&world.server.folder), "");
    // While it runs, the rules there were still hold.
    set_rules(&world.a, "secret\n");
    world.start_clients();
    wait_from(&world.a, &world.b, "first");
    set_rules(&world.a, &"a/".repeat(100));
    eventually("the problem to be shown", || {
        let status = format!("{:?}", world.a.status());
        if status.contains(".syncignore:1:") { Ok(()) } else { Err(status) }
    });
    wait_from(&world.a, &world.b, "second");
    assert_eq!(paths(&world.server.folder), "first second");
}

#[test]
fn check_ignore_names_the_rule() {
    let world = World::new();
    set_rules(&world.a, "# objects\n\n*.o\n!keep.o\nbuild/\n");
    fill(&world.a.folder, "build/out x.o");
    for client in [&world.a, &world.b] {
        set_rules(client, "# objects\n\n*.o\n!keep.o\nbuild/\n");
        let asked =
            ["x.o", "keep.o", "build", "build/keep.o", "dir/build/", "dir/build", "./x.o", ".syncignore"];
        let finished = check_ignore(client, &[], &asked).expect_code(0);
        let build = if client.at("build").exists() { ".syncignore:5: build/\tbuild\n" } else { "" };
        assert_eq!(
            finished.stdout,
            format!(
                ".syncignore:3: *.o\tx.o\n{build}.syncignore:5: build/\tbuild/keep.o\n\
                 .syncignore:5: build/\tdir/build/\n.syncignore:3: *.o\t./x.o\nbuilt in:1: /.syncignore\t.syncignore\n"
            )
        );
        assert_eq!(check_ignore(client, &[], &["a", "keep.o"]).expect_code(1).stdout, "");
        let finished = check_ignore(client, &["--ignore", "a", "--ignore", "b*"], &["a", "bb", "c"]);
        assert_eq!(finished.expect_code(0).stdout, "--ignore:1: a\ta\n--ignore:2: b*\tbb\n");
        check_ignore(client, &[], &["/etc/passwd"]).expect_code(2).expect_words(&["absolute"]);
        check_ignore(client, &[], &["../x"]).expect_code(2);
    }
    run(program("client_a").arg("check-ignore")).expect_code(2).expect_words(&["check-ignore DIR PATH"]);
}

/// How many directories a client watches, by what the kernel says.
fn watched(client: &mut Client) -> usize {
    let fdinfo = format!("/proc/{}/fdinfo", client.process().pid());
    let files = fs::read_dir(fdinfo).unwrap();
    let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    texts.map(|text| text.lines().filter(|line| line.starts_with("inotify ")).count()).sum()
}

#[track_caller]
fn wait_for_watches(client: &mut Client, count: usize) {
    eventually("the directories to be watched, and no others", || match watched(client) {
        found if found == count => Ok(()),
        found => Err(format!("{found} instead of {count}")),
    });
}

/// A large directory that is ignored costs no watches, at the start, when it appears, and when rules change; and rules that come and go
/// delete nothing.
#[test]
fn what_is_ignored_is_not_watched() {
    let mut world = World::new();
    set_rules(&world.a, "node_modules/\n!node_modules/d0/\n");
    for number in 0..100 {
        fill(&world.a.folder, &format!("node_modules/d{number}/file"));
    }
    fill(&world.a.folder, "src/file");
    world.start_clients();
    world.b.wait_for_content("src/file", b"src/file");
    wait_for_watches(&mut world.a, 2);
    for number in 0..100 {
        fill(&world.a.folder, &format!("new/node_modules/d{number}/file"));
    }
    wait_from(&world.a, &world.b, "afterwards");
    wait_for_watches(&mut world.a, 3);
    eventually("the directory", || match world.server.folder.join("new").exists() {
        true => Ok(()),
        false => Err("it is not there yet".into()),
    });
    assert_eq!(paths(&world.server.folder), "afterwards new src src/file");

    set_rules(&world.a, "");
    world.b.wait_for_content("new/node_modules/d99/file", b"new/node_modules/d99/file");
    world.b.wait_for_content("node_modules/d99/file", b"node_modules/d99/file");
    wait_for_watches(&mut world.a, 3 + 2 * 101);
    fs::write(world.a.at("node_modules/d5/file"), "watched").unwrap();
    world.b.wait_for_content("node_modules/d5/file", b"watched");

    let before = paths(&world.server.folder);
    set_rules(&world.a, "node_modules/");
    wait_for_watches(&mut world.a, 3);
    // Neither what happens in it here, nor that it is gone as a whole, is anybody's business.
    fs::remove_dir_all(world.a.at("node_modules")).unwrap();
    fs::remove_dir_all(world.a.at("new/node_modules/d1")).unwrap();
    fs::write(world.b.at("node_modules/d5/file"), "by b").unwrap();
    wait_from(&world.a, &world.b, "at last");
    wait_from(&world.b, &world.a, "at the very last");
    assert!(!world.a.at("node_modules").exists());
    assert_eq!(paths(&world.server.folder), before.replacen("new ", "at last at the very last new ", 1));
    // With the rule gone both sides have it all again.
    set_rules(&world.a, "");
    world.a.wait_for_content("node_modules/d5/file", b"by b");
    world.a.wait_for_content("new/node_modules/d1/file", b"new/node_modules/d1/file");
}
