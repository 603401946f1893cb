//! What control keeps in mind, hands out and waits for has bounds: here they are reached.

use super::bench::{Bench, path};
use crate::engine::message::ListPiece;
use crate::engine::track::Track;
use crate::limits::{
    GIVE_BACK_PATHS, LIST_PIECE_BYTES, LIST_PIECE_PATHS, SOURCES_TRIED, TIMESTAMP_TICK, TRACKS_MAX,
};
use crate::tree::{Mtime, Path};

/// Names in the order of paths.
fn name(number: usize) -> Path {
    path(&format!("{number:06}"))
}

/// So many paths with the same base, of a file that is there once.
fn with_bases(count: usize) -> Bench {
    let mut bench = Bench::new();
    bench.write("file", "content");
    let base = bench.agree("file");
    (0..count).for_each(|number| bench.control.state.remember(&name(number), base));
    bench
}

#[test]
fn a_list_goes_out_in_pieces() {
    let count = LIST_PIECE_BYTES / 50;
    let bench = with_bases(count);
    let (mut listed, mut pieces, mut after) = (0, 0, None);
    loop {
        let ListPiece { bytes, last } = bench.control.list_piece(after.as_ref(), true);
        listed += bytes.windows(8).filter(|text| text == b"{\"path\":").count();
        pieces += 1;
        match last {
            // The last item may go beyond it.
            Some(_) => assert!((LIST_PIECE_BYTES..LIST_PIECE_BYTES + 1024).contains(&bytes.len())),
            None => break,
        }
        after = last;
    }
    assert_eq!(listed, count + 1);
    assert!(2 < pieces, "{pieces}");
}

#[test]
fn paths_that_are_not_listed_are_passed_over_in_pieces() {
    let mut bench = Bench::new();
    (0..=LIST_PIECE_PATHS)
        .for_each(|number| drop(bench.control.inner.tracks.insert(name(number), Track::new())));
    let first = bench.control.list_piece(None, false);
    assert_eq!((first.bytes.len(), &first.last), (0, &Some(name(LIST_PIECE_PATHS - 1))));
    let second = bench.control.list_piece(first.last.as_ref(), false);
    assert_eq!((second.bytes.len(), second.last), (0, None));
}

#[test]
fn of_many_files_with_one_content_some_are_tried() {
    let bench = with_bases(2 * SOURCES_TRIED);
    let content = bench.base("file").unwrap().entry.content;
    assert_eq!(bench.control.candidates(&path("new"), &content).count(), SOURCES_TRIED);
}

#[test]
fn memory_is_given_back_after_many_paths() {
    let mut bench = Bench::new();
    bench.turn();
    for (heard, left) in [(GIVE_BACK_PATHS - 1, GIVE_BACK_PATHS - 1), (GIVE_BACK_PATHS, 0)] {
        bench.control.inner.heard = heard;
        bench.control.show_now();
        assert_eq!(bench.control.inner.heard, left);
    }
}

/// What happens when there are as many is tested with fewer.
#[test]
fn so_many_paths_may_be_out_of_agreement() {
    assert_eq!(Bench::new().control.inner.most_tracks, TRACKS_MAX);
}

#[test]
fn a_listing_that_may_be_older_than_a_file_is_no_evidence() {
    let mut bench = Bench::new();
    bench.write("file", "x");
    let Mtime(changed) = bench.agree("file").print.ctime;
    let tick = i64::try_from(TIMESTAMP_TICK.as_nanos()).unwrap();
    let is_younger = |began: i64| bench.control.is_younger(&path("file"), Mtime(began));
    assert!(is_younger(changed - 1) && is_younger(changed + tick));
    assert!(!is_younger(changed + tick + 1));
}
