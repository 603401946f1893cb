//! What a client remembers, damaged in every way: the damage is said, union follows, and nothing is deleted anywhere.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Client, Kind, Server, Tree, World, eventually, snapshot};

const FILES: usize = 20;

/// Whether to try everything, or a tenth of it.
fn is_full() -> bool {
    std::env::var_os("FILESYNC_FULL").is_some()
}

/// A world in agreement whose b has an undamaged state: what that is, and what all hold.
struct Scene {
    world: World,
    state: Vec<u8>,
    tree: Tree,
}

impl Scene {
    #[track_caller]
    fn new() -> Scene {
        let world = World::new();
        for number in 0..FILES {
            fs::write(world.b.at(format!("file {number}")), format!("content {number}")).unwrap();
        }
        world.b.once(&[]).expect_code(0);
        let tree = snapshot(&world.server.folder).unwrap();
        assert_eq!(snapshot(&world.b.folder).unwrap(), tree);
        let state = fs::read(state_of(&world.b)).unwrap();
        Scene { world, state, tree }
    }

    /// One pass with this state. Returns what was said.
    #[track_caller]
    fn pass_with(&self, what: &str, state: &[u8]) -> String {
        fs::write(state_of(&self.world.b), state).unwrap();
        let said = self.world.b.once(&[]).expect_code(0).stderr;
        assert_eq!(snapshot(&self.world.server.folder).unwrap(), self.tree, "the box, {what}:\n{said}");
        assert_eq!(snapshot(&self.world.b.folder).unwrap(), self.tree, "the folder, {what}:\n{said}");
        said
    }
}

fn state_of(client: &Client) -> PathBuf {
    client.at(".filesync/state")
}

#[test]
fn a_state_that_was_cut_off() {
    let scene = Scene::new();
    let step = if is_full() { 1 } else { 10 };
    for percent in (0..100).step_by(step) {
        let cut = scene.state.len() * percent / 100;
        let pass = |cut: usize| scene.pass_with(&format!("cut to {cut} bytes"), &scene.state[..cut]);
        // Between two records nobody can tell that there were more.
        let is_said = pass(cut).contains("state") || pass(cut + 1).contains("state");
        assert!(is_said, "{percent} %: nothing is said");
    }
    fs::remove_file(state_of(&scene.world.b)).unwrap();
    scene.world.b.once(&[]).expect_code(0);
    assert_eq!(snapshot(&scene.world.server.folder).unwrap(), scene.tree);
}

#[test]
fn a_state_with_flipped_bits() {
    let scene = Scene::new();
    let step = if is_full() { 97 } else { 1009 };
    for bit in (0..scene.state.len() * 8).step_by(step) {
        let mut state = scene.state.clone();
        state[bit / 8] ^= 1 << (bit % 8);
        let said = scene.pass_with(&format!("bit {bit}"), &state);
        assert!(said.contains("state"), "bit {bit}: nothing is said:\n{said}");
    }
}

#[test]
fn a_state_that_is_none() {
    let scene = Scene::new();
    let noise: Vec<u8> =
        (0_u64..5000).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect();
    let of_another_version = [b"FSFOLD\x00\x7f", &scene.state[8..]].concat();
    let rows: [(&str, &[u8]); 4] = [
        ("noise", &noise),
        ("zeros", &[0; 5000]),
        ("text", b"{\"files\":[]}\n"),
        ("another version", &of_another_version),
    ];
    for (what, state) in rows {
        let said = scene.pass_with(what, state);
        assert!(said.contains("set aside"), "{what}:\n{said}");
        let kept = scene.world.b.at(".filesync/state.damaged");
        assert_eq!(fs::read(kept).unwrap(), state, "{what}: what was set aside");
    }
}

/// The state is an old one, from before some changes on both sides that everybody has seen.
#[test]
fn an_old_state_put_back() {
    let scene = Scene::new();
    let world = &scene.world;
    world.a.once(&[]).expect_code(0);
    fs::write(world.a.at("file 0"), "edited by a").unwrap();
    fs::remove_file(world.a.at("file 1")).unwrap();
    fs::write(world.b.at("file 2"), "edited by b").unwrap();
    fs::remove_file(world.b.at("file 3")).unwrap();
    for client in [&world.a, &world.b, &world.a] {
        client.once(&[]).expect_code(0);
    }
    let tree = snapshot(&world.server.folder).unwrap();
    fs::write(state_of(&world.b), &scene.state).unwrap();
    world.b.once(&[]).expect_code(0);
    assert_eq!(snapshot(&world.server.folder).unwrap(), tree);
    assert_eq!(snapshot(&world.b.folder).unwrap(), tree);
}

/// The state speaks of one box, and the server has another one that holds much of the same. What is missing here is not deleted there,
/// not even if the end of the state, which names the box, is lost.
#[test]
fn a_state_of_another_box() {
    for lost in [0, 60] {
        let scene = Scene::new();
        let directory = scene.world.directory().join("other");
        fs::create_dir(&directory).unwrap();
        let mut other = Server::new(&directory);
        other.start();
        for number in 0..FILES {
            other.put_new(&format!("file%20{number}"), format!("content {number}")).expect(201);
        }
        let client = &scene.world.b;
        fs::remove_file(client.at("file 0")).unwrap();
        fs::write(client.at("file 1"), "edited").unwrap();
        fs::write(state_of(client), &scene.state[..scene.state.len() - lost]).unwrap();
        let mut there = Client::new(Kind::B, "gamma", &other, &directory);
        there.folder.clone_from(&client.folder);
        there.once(&[]).expect_code(0);
        assert_eq!(fs::read(client.at("file 0")).unwrap(), b"content 0", "what the other box has comes back");
        let contents: Vec<_> = snapshot(&client.folder).unwrap().into_keys().collect();
        assert_eq!(contents.len(), FILES + 1, "both versions of file 1: {contents:?}");
        assert_eq!(snapshot(&other.folder).unwrap().len(), FILES + 1);
    }
}

/// A folder is copied with all that its client remembers, and both go on: two clients, of which each sees what the other does.
#[test]
fn a_copied_folder_is_a_client_of_its_own() {
    let mut world = World::live_with(|folder| {
        for number in 0..FILES {
            fs::write(folder.join(format!("file {number}")), format!("content {number}")).unwrap();
        }
    });
    world.stop_clients();
    fs::remove_dir_all(&world.b.folder).unwrap();
    let copied = Command::new("cp").arg("-a").arg(&world.a.folder).arg(&world.b.folder).status();
    assert!(copied.is_ok_and(|status| status.success()), "`cp` is part of coreutils");
    world.start_clients();
    world.settle();
    fs::remove_file(world.a.at("file 0")).unwrap();
    world.b.wait_for_absence("file 0");
    fs::remove_file(world.b.at("file 1")).unwrap();
    world.a.wait_for_absence("file 1");
    fs::write(world.b.at("file 2"), "edited").unwrap();
    world.a.wait_for_content("file 2", b"edited");
    eventually("the copy to be quiet", || match world.b.status().get("pending").number() {
        0 => Ok(()),
        pending => Err(format!("{pending} pending")),
    });
    assert_eq!(world.settle().len(), FILES - 2);
}
