//! Going on after a long time: with a history that does not reach back so far any more, or with very much that happened on both sides.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::harness::{DEADLINE, Process, Request, World, is_full};

const MIB: u64 = 1 << 20;

/// So many tombstones are more than a server keeps.
const TOMBSTONES: usize = 200_000;

/// While b is offline more is deleted than the server remembers. It cannot tell b what is gone; so nothing of b's goes, and everything is
/// compared. A move of a directory leaves a tombstone for all that is in it, and is one request.
#[test]
fn a_cursor_older_than_the_tombstones() {
    const FILES: usize = 2_000;
    let mut world = World::live_with(|folder| {
        fs::create_dir(folder.join("d0")).unwrap();
        for number in 0..FILES {
            fs::write(folder.join(format!("d0/{number}")), number.to_string()).unwrap();
        }
        fs::write(folder.join("deleted by b"), "x").unwrap();
        fs::write(folder.join("edited by b"), "before").unwrap();
        fs::write(folder.join("deleted by hand"), "kept by b").unwrap();
    });
    world.stop_clients();
    fs::remove_file(world.b.at("deleted by b")).unwrap();
    fs::write(world.b.at("edited by b"), "after").unwrap();
    fs::write(world.b.at("new by b"), "new").unwrap();
    let delete = world.server.request("DELETE", "/upload/deleted%20by%20hand").field("If-Match", "*");
    world.server.ask(&delete).expect(204);
    let mut connection = world.server.connect();
    let moves = TOMBSTONES / FILES + 1;
    for number in 0..moves {
        let request: Request =
            world.server.request("MOVE", &format!("/upload/d{number}")).field("If-Match", "\"dir\"");
        connection.send(request.field("Destination", &format!("/upload/d{}", number + 1)).encode());
        connection.response().expect(201);
    }
    world.b.start();
    world.b.wait_for_content(format!("d{moves}/0"), b"0");
    let tree = world.settle();
    assert!(world.b.log().contains("everything is compared anew"), "{}", world.b.log());
    let holds = |name: &str| tree.contains_key(name.as_bytes());
    // What the server has forgotten about comes back; what b did itself stays done.
    for name in ["d0/0", "d0/999", "new by b", "edited by b", "deleted by hand"] {
        assert!(holds(name), "{name} is gone");
    }
    assert!(!holds("deleted by b"), "b's own delete has its base");
    assert_eq!(tree.len(), 2 * (FILES + 1) + 3);
    assert_eq!(fs::read_to_string(world.server.folder.join("edited by b")).unwrap(), "after");
    // And a, whose cursor is as old.
    world.a.start();
    world.a.wait_for_content("new by b", b"new");
    assert_eq!(world.settle().len(), tree.len());
}

/// A week offline: on each side a third of the changes are new files, a third edits, a third deletes, renames of directories and conflicts
/// among them.
#[test]
fn an_offline_week() {
    let changes = if is_full() { 10_000 } else { 2_000 };
    // So many deletes are no mass of so many files.
    let files = 4 * changes;
    let mut world = World::new();
    for number in 0..files {
        let directory = world.a.at(format!("d{}", number % 100));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(number.to_string()), format!("{number}")).unwrap();
    }
    let start = Instant::now();
    world.start_clients();
    let before = world.settle_within(DEADLINE * 20);
    println!("{} paths, {:.1} s to the box and to b", before.len(), start.elapsed().as_secs_f64());
    world.b.stop();
    // The box and a agree on a's week before b comes back with its own.
    let start = Instant::now();
    let kept_by_a = a_week(&world.a.folder, "a", changes, 0);
    world.settle_within(DEADLINE * 20);
    println!("a's {changes} changes, live: {:.1} s", start.elapsed().as_secs_f64());
    // Half of what b changes a has changed, too.
    let kept_by_b = a_week(&world.b.folder, "b", changes, changes / 2);
    let start = Instant::now();
    world.b.start();
    world.b.wait_until(format!("d0/new by a {}", 0), "to arrive", Path::exists);
    let tree = world.settle_within(DEADLINE * 20);
    println!("b's {changes} changes after a's: {} paths, {:.1} s", tree.len(), start.elapsed().as_secs_f64());
    for (name, process) in processes(&mut world) {
        let peak = process.peak_memory();
        println!("peak memory of {name}: {:.1} MiB", peak as f64 / MIB as f64);
        assert!(peak < 64 * MIB + tree.len() as u64 * 4096, "{name} needed {} MiB", peak / MIB);
    }
    for content in kept_by_a.iter().chain(&kept_by_b) {
        assert!(tree.contains_key(content.as_bytes()), "{content} is gone");
    }
}

fn processes(world: &mut World) -> [(&'static str, &mut Process); 3] {
    [("server", world.server.process()), ("client_a", world.a.process()), ("client_b", world.b.process())]
}

/// So many changes, beginning at file `from`; gives the paths that nobody may delete, because only this side changed them.
fn a_week(folder: &Path, name: &str, changes: usize, from: usize) -> Vec<String> {
    let mut kept = Vec::new();
    for number in from..from + changes {
        let path = format!("d{}/{number}", number % 100);
        match number % 3 {
            0 => {
                let new = format!("d{}/new by {name} {number}", number % 100);
                fs::write(folder.join(&new), format!("new by {name}")).unwrap();
                kept.push(new);
            }
            1 => {
                fs::write(folder.join(&path), format!("edited by {name}, {number}")).unwrap();
                kept.push(path);
            }
            _ => fs::remove_file(folder.join(&path)).unwrap(),
        }
    }
    kept
}
