//! What hostile or broken bytes do to the codecs: each target gets its hand-written inputs, and then thousands that were made of them by
//! changes at random. `fuzz/` runs the same targets under libFuzzer, which looks where it gets; this needs no tool and takes seconds.
//!
//! ```sh
//! cargo test -p common --test mutations                                                # as always
//! MUTATIONS_SEED=7 MUTATIONS_ROUNDS=100000 cargo test -p common --test mutations       # other inputs, and more of them
//! MUTATIONS_TARGET=json cargo test -p common --test mutations                          # of one target
//! ```
//!
//! A failure says target, seed and round, and shows the input; the same seed makes the same inputs again. An input that found something
//! becomes a seed.

mod mutator;
mod targets;

use std::env;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use mutator::{Random, mutate};
use targets::{TARGETS, Target};

/// Inputs that are made for a target that takes no longer than others, if nothing else is said.
const ROUNDS: u64 = 2000;

/// What is made of an input at most, in bytes, to be shown.
const SHOWN: usize = 512;

#[test]
fn no_input_breaks_a_codec() {
    let seed = number("MUTATIONS_SEED").unwrap_or(1);
    let rounds = number("MUTATIONS_ROUNDS").unwrap_or(ROUNDS);
    let wanted = env::var("MUTATIONS_TARGET").ok();
    let mut targets =
        TARGETS.iter().filter(|target| wanted.as_deref().is_none_or(|name| name == target.name)).peekable();
    assert!(targets.peek().is_some(), "no target is named {wanted:?}");
    for target in targets {
        let seeds = seeds(target);
        for input in &seeds {
            check(target, input, "a seed");
        }
        for round in 0..rounds / cost(target) {
            let mut random = Random::new(seed ^ round << 20);
            check(target, &mutate(&mut random, &seeds), &format!("MUTATIONS_SEED={seed}, round {round}"));
        }
    }
}

/// How much longer than others a target takes.
fn cost(target: &Target) -> u64 {
    match target.name {
        // It waits for the disk.
        "journal" => 30,
        _ => 1,
    }
}

fn number<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not {text:?}")))
}

/// The hand-written inputs of a target, in the order of their names.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target.name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it was listed").path()).collect();
    assert!(!files.is_empty(), "{}: no seeds", directory.display());
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a seed can be read")).collect()
}

fn check(target: &Target, input: &[u8], origin: &str) {
    if catch_unwind(|| (target.check)(input)).is_err() {
        let shown = &input[..input.len().min(SHOWN)];
        panic!("{}, {origin}: {} bytes, that begin with\n{}", target.name, input.len(), shown.escape_ascii());
    }
}
