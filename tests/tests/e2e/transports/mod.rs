//! All ways that lead to a server, each with real programs: files go up and down, nothing is left behind, and what is wrong is told.

use std::fs;
use std::path::Path;

use crate::harness::{World, write_file};

/// Commands that carry connections.
mod command;
/// `https://`, by the `openssl` of this machine.
mod tls;
/// Sockets in the file system.
mod unix;

/// Files that would not survive a carrier that looks at what it carries: letters that mean something to `openssl` at the beginning of a
/// line, all bytes, and more than any buffer.
fn fill(folder: &Path) {
    fs::create_dir(folder.join("dir")).unwrap();
    for (index, letter) in ["Q", "R", "B", "k", "K", "q", "~.", "\u{4}"].iter().enumerate() {
        fs::write(folder.join(format!("dir/{index}")), format!("{letter}\n").repeat(3000)).unwrap();
    }
    fs::write(folder.join("bytes"), (0..=255).collect::<Vec<u8>>()).unwrap();
    write_file(&folder.join("large"), 1, 3_000_000);
}

/// Whether everything that there is goes from a to the box by one way, and from the box to b by the same, and changes do so live.
#[track_caller]
fn check_both_ways(world: &mut World) {
    fill(&world.a.folder);
    world.start_clients();
    assert_eq!(world.settle().len(), 11);
    fs::write(world.b.at("answer"), "from b").unwrap();
    world.a.wait_for_content("answer", b"from b");
    fs::write(world.a.at("answer"), "from a").unwrap();
    world.b.wait_for_content("answer", b"from a");
    world.settle();
}
