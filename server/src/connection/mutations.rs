//! Requests that were changed at random, over real connections to a whole server: whatever comes, it answers or hangs up, nothing panics,
//! and the next one is served. The hand-written ones are those of `fuzz/seeds/service`. Lists and streams have targets of their own
//! (`common/tests/mutations`).

use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::probe;
use crate::testing::Workshop;
use crate::testing::mutator::{Random, mutate};

/// Requests that are made, if `MUTATIONS_ROUNDS` says nothing else; `MUTATIONS_SEED` makes others.
const ROUNDS: u64 = 400;

#[test]
fn no_request_breaks_the_server() {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let (seed, rounds) =
        (number("MUTATIONS_SEED").unwrap_or(1), number("MUTATIONS_ROUNDS").unwrap_or(ROUNDS));
    let mut seeds = seeds();
    // One after the other over one connection.
    seeds.push(seeds.concat());

    let workshop = Workshop::new();
    for seed in &seeds {
        probe::check(&workshop, seed);
    }
    for round in 0..rounds {
        let input = mutate(&mut Random::new(seed ^ round << 20), &seeds);
        let checked = catch_unwind(AssertUnwindSafe(|| probe::check(&workshop, &input)));
        assert!(checked.is_ok(), "MUTATIONS_SEED={seed}, round {round}: {}", input.escape_ascii());
    }
    let answer =
        probe::exchange(super::dispatch, &workshop, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
}

/// In the order of their names.
fn seeds() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/service");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}
