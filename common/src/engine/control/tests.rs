//! News that crosses, one way at a time: each of these once left two paths waiting for each other, or a version in one place only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use super::bench::{Bench, directory, file, path};
use super::{IDLE_TICK, TICK};
use crate::disk::Observation;
use crate::engine::job::{Failure, FailureKind, Job, Outcome, Placed, Sent, Task, There};
use crate::engine::message::Message;
use crate::engine::state::Base;
use crate::limits::{JOBS_TOGETHER, NEWS_PATIENCE, PROBLEMS_SHOWN};
use crate::protocol::{Cursor, Epoch, Event, RemoteEntry, Synced};
use crate::tree::{Entry, Meta, Mtime, Tag};

// ---- What the server says, and when it said it -------------------------------------------------------------------------------------------

/// The box was changed by hand, and the server had not looked yet when it refused the upload: what it told meanwhile is newer.
#[test]
fn a_refusal_without_a_version_is_older_than_what_was_told_meanwhile() {
    let mut bench = Bench::new();
    bench.write("c", "mine");
    let upload = bench.job("c");
    bench.tell("c", Some(file("theirs", 0o644)));
    bench.remove("c");
    bench.refuse(upload, None);
    let next = bench.job("c").task;
    assert!(
        matches!(next, Task::Download { remote, .. } if remote.entry == file("theirs", 0o644)),
        "{next:?}"
    );
}

#[test]
fn a_refusal_with_an_older_version_than_told_is_no_news() {
    let mut bench = Bench::new();
    bench.write("c", "mine");
    let upload = bench.job("c");
    bench.tell("c", Some(file("old", 0o644)));
    bench.tell("c", Some(file("new", 0o644)));
    bench.turn();
    bench.refuse(upload, Some((file("old", 0o644), 1)));
    let next = bench.job("c").task;
    assert!(matches!(next, Task::SetAside { .. }), "{next:?}");
}

/// A directory was deleted there, and is back when the client connects again; here something else took its place.
#[test]
fn the_answer_to_a_list_is_newer_than_what_an_earlier_connection_told() {
    let mut bench = Bench::new();
    bench.make_directory("d");
    bench.agree("d");
    bench.tell("d", None);
    bench.disconnect();
    bench.remove("d");
    bench.link("d", "elsewhere");
    bench.turn();
    bench.connect();
    bench.hear(Event::Upload { path: path("d"), replacing: Some(Tag::Directory) }, None);
    bench.tell("d/b", Some(file("theirs", 0o644)));
    bench.synced();
    let next = bench.job("d").task;
    assert!(matches!(next, Task::SetAside { .. }), "{next:?}");
}

/// The server had the content already, with metadata of its own, and kept that.
#[test]
fn what_is_told_of_an_upload_stands_if_it_is_not_quite_what_was_sent() {
    let mut bench = Bench::new();
    bench.write("c", "same");
    let upload = bench.job("c");
    let seq = bench.tell("c", Some(file("same", 0o600)));
    bench.accept(upload, seq);
    let next = bench.job("c").task;
    assert!(matches!(next, Task::PullMeta { remote, .. } if remote.entry.meta.mode == 0o600), "{next:?}");
}

/// Somebody else's change of metadata came after ours.
#[test]
fn metadata_that_crosses_ours_and_is_later_is_taken() {
    let mut bench = Bench::new();
    bench.write("c", "same");
    bench.agree("c");
    fs::set_permissions(bench.at("c"), fs::Permissions::from_mode(0o700)).unwrap();
    bench.see("c");
    let push = bench.job("c");
    let Task::PushMeta { entry, print, .. } = push.task else { panic!("{push:?}") };
    let seq = bench.tell("unrelated", None);
    bench.tell("c", Some(file("same", 0o600)));
    let sent = Sent { base: Base { entry, print, seq }, there: There { entry, seq } };
    bench.done(push, Outcome::MetaSent(sent));
    let next = bench.job("c").task;
    assert!(matches!(next, Task::PullMeta { remote, .. } if remote.entry.meta.mode == 0o600), "{next:?}");
}

/// The server knew nothing there when it was asked to delete it; what others put there since was told before that answer came.
#[test]
fn what_was_told_meanwhile_is_newer_than_the_answer_that_nothing_is_there_to_delete() {
    let mut bench = Bench::new();
    bench.write("a", "mine");
    bench.agree("a");
    bench.remove("a");
    let delete = bench.job("a");
    bench.tell("a", Some(directory(0o755)));
    bench.done(delete, Outcome::DeletedRemote { seq: None });
    let next = bench.job("a").task;
    assert!(matches!(next, Task::Download { remote, .. } if remote.entry == directory(0o755)), "{next:?}");
}

/// Whatever the reason may be that a directory was not heard of in which something was: the server is asked.
#[test]
fn what_is_known_below_keeps_nothing_waiting_for_a_directory_that_was_not_heard_of() {
    let mut bench = Bench::new();
    bench.write("a", "mine");
    bench.tell("a/d", Some(directory(0o755)));
    bench.tell("a/d/c", Some(file("theirs", 0o644)));
    let upload = bench.job("a");
    assert!(matches!(upload.task, Task::Upload { replacing: None, .. }), "{upload:?}");
    bench.refuse(upload, Some((directory(0o755), 7)));
    let next = bench.job("a").task;
    assert!(matches!(next, Task::SetAside { .. }), "{next:?}");
}

// ---- What was gone, and is back ----------------------------------------------------------------------------------------------------------

/// Moved away and back, so that it is the very same file. The answer was lost; that the delete was our own proves nothing against the file.
#[test]
fn what_is_back_after_its_delete_was_sent_is_new() {
    let mut bench = Bench::new();
    bench.write("c", "kept");
    bench.agree("c");
    let away = bench.at(".filesync/away");
    fs::rename(bench.at("c"), &away).unwrap();
    bench.see("c");
    let delete = bench.job("c");
    assert!(matches!(delete.task, Task::DeleteRemote { .. }), "{delete:?}");
    fs::rename(&away, bench.at("c")).unwrap();
    bench.see("c");
    bench.tell_own("c", None);
    bench.lose(delete);
    let next = bench.job("c").task;
    assert!(matches!(next, Task::Upload { replacing: None, .. }), "{next:?}");
}

/// The answer was lost, and the server tells of the delete as if it were anybody's.
#[test]
fn what_is_back_after_it_was_seen_absent_is_new() {
    let mut bench = Bench::new();
    bench.write("c", "kept");
    bench.agree("c");
    bench.remove("c");
    let delete = bench.job("c");
    bench.lose(delete);
    bench.write("c", "kept");
    bench.tell("c", None);
    let next = bench.job("c").task;
    assert!(matches!(next, Task::Upload { replacing: None, .. }), "{next:?}");
}

#[test]
fn that_something_was_absent_is_durable_before_its_delete_is_sent() {
    let mut bench = Bench::new();
    bench.write("c", "gone");
    bench.agree("c");
    // As long as there is other work the state is flushed only now and then.
    bench.write("large", "takes its time");
    bench.job("large");
    bench.control.inner.flushed_at = Instant::now();
    bench.remove("c");
    let delete = bench.job("c");
    assert!(matches!(delete.task, Task::DeleteRemote { .. }), "{delete:?}");
    assert!(bench.control.state.was_absent(&path("c")) && !bench.control.state.is_dirty());
}

/// Nobody can be sure that it was never gone on the server. A server that still has it says so, and keeps its own metadata.
#[test]
fn what_is_back_and_still_on_the_server_is_agreed_on_again() {
    let mut bench = Bench::new();
    bench.write("c", "same");
    let known = bench.agree("c");
    bench.remove("c");
    bench.turn();
    bench.write("c", "same");
    let upload = bench.job("c");
    assert!(matches!(upload.task, Task::Upload { replacing: None, .. }), "{upload:?}");
    // It kept its own metadata, and says so.
    let Task::Upload { entry, print, .. } = upload.task else { panic!("{upload:?}") };
    let there = There { entry: known.entry, seq: known.seq };
    bench.done(upload, Outcome::Uploaded(Sent { base: Base { entry, print, seq: known.seq }, there }));
    // Only its time is another one.
    let next = bench.job("c").task;
    assert!(matches!(next, Task::PullMeta { remote, .. } if remote.entry == known.entry), "{next:?}");
    assert!(!bench.control.state.was_absent(&path("c")));
}

#[test]
fn what_goes_while_it_is_sent_for_the_first_time_is_deleted_there() {
    let mut bench = Bench::new();
    bench.write("c", "short-lived");
    let upload = bench.job("c");
    bench.remove("c");
    bench.accept(upload, 1);
    let next = bench.job("c").task;
    assert!(matches!(next, Task::DeleteRemote { .. }), "{next:?}");
}

// ---- Directories and what takes their place ------------------------------------------------------------------------------------------------

/// The copy is on its way; looking at the conflict again makes no second one.
#[test]
fn one_conflict_makes_one_copy() {
    let mut bench = Bench::new();
    bench.make_directory("d");
    bench.tell("d", Some(file("theirs", 0o644)));
    let aside = bench.job("d");
    assert!(matches!(aside.task, Task::FetchAside { .. }), "{aside:?}");
    fs::write(bench.at("copy"), "theirs").unwrap();
    let (copy, print) = (path("copy"), bench.print("copy"));
    bench.done(aside, Outcome::FetchedAside { copy, entry: file("theirs", 0o644), print });
    let upload = bench.job("copy");
    bench.see("d");
    bench.control.queue_all();
    bench.turn();
    assert!(bench.control.inner.working.total() == 1, "only the copy is being sent");
    bench.accept(upload, 2);
    let next = bench.job("d").task;
    assert!(matches!(next, Task::Upload { replacing: Some(_), .. }), "{next:?}");
}

#[test]
fn a_file_in_the_place_of_a_directory_gives_way_to_what_others_put_into_it() {
    let mut bench = Bench::new();
    bench.make_directory("d");
    bench.agree("d");
    bench.remove("d");
    bench.write("d", "mine");
    bench.tell("d/x", Some(file("theirs", 0o644)));
    let next = bench.job("d").task;
    assert!(matches!(next, Task::SetAside { .. }), "{next:?}");
}

/// The other way round: what was put into it here is in the way of the server's file.
#[test]
fn a_directory_that_something_unseen_is_in_keeps_its_name() {
    let mut bench = Bench::new();
    bench.make_directory("d");
    bench.agree("d");
    bench.write("d/x", "mine");
    bench.tell("d", Some(file("theirs", 0o644)));
    let next = bench.job("d").task;
    assert!(matches!(next, Task::FetchAside { .. }), "{next:?}");
}

// ---- Moves -------------------------------------------------------------------------------------------------------------------------------

/// A directory with a file in it, agreed on, and renamed; the request to move it is out.
fn renamed_directory(bench: &mut Bench) -> Job {
    bench.make_directory("old");
    bench.agree("old");
    for name in ["old/a", "old/b"] {
        bench.write(name, name);
        bench.agree(name);
    }
    fs::rename(bench.at("old"), bench.at("new")).unwrap();
    bench.see("new");
    bench.turn();
    assert!(
        bench.control.inner.tracks.get(&path("new")).is_some_and(|track| track.retry_at.is_some()),
        "the other half is waited for"
    );
    bench.see("old");
    bench.job("new")
}

fn relocated(job: &Job, seq: u64) -> Outcome {
    let Task::Relocate { entry, print, from, .. } = &job.task else { panic!("{job:?}") };
    let (base, there) = (Base { entry: *entry, print: *print, seq }, There { entry: *entry, seq });
    Outcome::Relocated { from: from.clone(), sent: Sent { base, there } }
}

#[test]
fn the_other_half_of_a_directorys_rename_is_waited_for() {
    let mut bench = Bench::new();
    let moving = renamed_directory(&mut bench);
    assert!(matches!(&moving.task, Task::Relocate { from, .. } if from.moves && from.path == path("old")));
}

/// Somebody took a file out of it just before. The answer to the move is faster than the news of that.
#[test]
fn what_did_not_come_along_with_a_move_has_no_base() {
    let mut bench = Bench::new();
    let moving = renamed_directory(&mut bench);
    let outcome = relocated(&moving, 5);
    bench.done(moving, outcome);
    bench.turn();
    assert_eq!(bench.base("new/a"), None, "nothing is told yet");
    bench.tell("old/b", None);
    let (b, a) = (file("old/a", 0o644), directory(0o755));
    for (name, entry) in [("new", Some(a)), ("new/a", Some(b)), ("old/a", None), ("old", None)] {
        let origin = Some(bench.control.state.client_id().to_owned());
        let remote = RemoteEntry { path: path(name), entry, seq: 5, since: 5, origin };
        let last = (name == "old").then(|| bench.cursor(5)).flatten();
        bench.hear(Event::Stored(remote), last);
    }
    assert!(bench.base("new/a").is_some() && bench.base("new/b").is_none() && bench.base("old/b").is_none());
    bench.see("new/a");
    bench.see("new/b");
    let next = bench.job("new/b").task;
    assert!(matches!(next, Task::Upload { replacing: None, .. }), "{next:?}");
}

/// Neither end stays held when the server could not do it.
#[test]
fn both_ends_of_a_move_are_let_go_if_it_came_to_nothing() {
    let mut bench = Bench::new();
    let moving = renamed_directory(&mut bench);
    bench.done(moving, Outcome::NoSource);
    let next = bench.job("new").task;
    assert!(matches!(next, Task::Upload { replacing: None, .. }), "{next:?}");
    let next = bench.job("old/a").task;
    assert!(matches!(next, Task::DeleteRemote { .. }), "{next:?}");
}

/// What the server made and does not tell of keeps nothing waiting for ever: the stream is opened again.
#[test]
fn a_stream_that_does_not_tell_of_a_move_is_opened_again() {
    let mut bench = Bench::new();
    let moving = renamed_directory(&mut bench);
    let long_ago = || Instant::now().checked_sub(2 * NEWS_PATIENCE).unwrap();
    bench.control.inner.told_at = long_ago();
    bench.control.doubt_stream();
    let outcome = relocated(&moving, 5);
    bench.done(moving, outcome);
    bench.turn();
    bench.control.doubt_stream();
    assert!(bench.control.stream.is_connected(), "what is told next may be it");
    bench.control.inner.told_at = long_ago();
    bench.tell("other", None);
    bench.control.doubt_stream();
    assert!(bench.control.stream.is_connected(), "something is told");
    bench.control.inner.told_at = long_ago();
    bench.control.doubt_stream();
    assert!(!bench.control.stream.is_connected());
    bench.disconnect();
    assert!(bench.control.inner.moving.is_empty() && bench.control.inner.ahead.is_empty());
}

/// Deletes wait for moves, but not for ever; and what is being moved is not deleted.
#[test]
fn deletes_do_not_wait_for_moves_without_end() {
    let mut bench = Bench::new();
    bench.write("file", "x");
    bench.agree("file");
    let moving = renamed_directory(&mut bench);
    bench.see("old/a");
    bench.remove("file");
    bench.turn();
    let waiting = |bench: &Bench| bench.control.inner.deletes.len();
    let before = waiting(&bench);
    bench.control.inner.guard.grow_old();
    bench.turn();
    assert_eq!(waiting(&bench), before - 1);
    assert!(matches!(bench.job("file").task, Task::DeleteRemote { .. }));
    bench.done(moving, Outcome::NoSource);
    let next = bench.job("old/a").task;
    assert!(matches!(next, Task::DeleteRemote { .. }), "{next:?}");
}

// ---- A history that begins anew, and names without end -----------------------------------------------------------------------------------

const ANEW: Epoch = Epoch(8);

/// The file that the box of the new history holds.
fn held_anew(seq: u64) -> RemoteEntry {
    RemoteEntry { path: path("file"), entry: Some(file("x", 0o644)), seq, since: seq, origin: None }
}

fn connect_anew(bench: &mut Bench) {
    bench.hear(Event::Hello(Cursor { epoch: ANEW, seq: 3 }), None);
}

fn synced_anew(bench: &mut Bench) {
    bench.hear(Event::Synced(Synced::default()), Some(Cursor { epoch: ANEW, seq: 3 }));
}

/// Of a file that was just deleted, a request to delete it is on its way while the history begins anew.
fn deleting_while_it_begins_anew() -> (Bench, Job) {
    let mut bench = Bench::new();
    bench.write("file", "x");
    bench.agree("file");
    bench.remove("file");
    let job = bench.job("file");
    assert!(matches!(job.task, Task::DeleteRemote { .. }), "{job:?}");
    connect_anew(&mut bench);
    (bench, job)
}

/// The stream was opened again with a complete list, and the answer to it names the file.
#[track_caller]
fn check_it_is_wanted(mut bench: Bench) {
    bench.control.inner.relisting = false;
    connect_anew(&mut bench);
    bench.hear(Event::Download(held_anew(2)), None);
    synced_anew(&mut bench);
    bench.control.keep_state();
    assert_eq!(bench.control.state.cursor(), Some(Cursor { epoch: ANEW, seq: 1 }));
    let next = bench.job("file").task;
    assert!(matches!(next, Task::Download { remote, .. } if remote.seq == 2), "{next:?}");
}

#[test]
fn what_was_said_to_a_job_of_another_history_means_nothing() {
    let outcomes: [fn() -> Outcome; 5] = [
        || Outcome::DeletedRemote { seq: Some(11) },
        || Outcome::DeletedRemote { seq: None },
        || Outcome::RemoteIs(Some(held_anew(7))),
        || Outcome::RemoteIs(None),
        || Outcome::NotEmptyThere,
    ];
    for outcome in outcomes {
        let (mut bench, job) = deleting_while_it_begins_anew();
        bench.done(job, outcome());
        check_it_is_wanted(bench);
    }
}

/// What a download of the old history brought is a file like any other.
#[test]
fn what_a_job_of_another_history_fetched_is_seen() {
    let mut bench = Bench::new();
    let seq = bench.tell("file", Some(file("old", 0o644)));
    let job = bench.job("file");
    connect_anew(&mut bench);
    fs::write(bench.at("file"), "old").unwrap();
    let base = Base { entry: file("old", 0o644), print: bench.print("file"), seq };
    bench.done(job, Outcome::Downloaded(Placed { base, own: None }));
    bench.control.inner.relisting = false;
    connect_anew(&mut bench);
    synced_anew(&mut bench);
    assert_eq!(bench.base("file"), None);
    let next = bench.job("file").task;
    assert!(matches!(next, Task::Upload { replacing: None, .. }), "{next:?}");
}

/// The connection that told of the new history goes on answering the list that was about the old one.
#[test]
fn what_a_stale_connection_says_means_nothing() {
    let (mut bench, job) = deleting_while_it_begins_anew();
    synced_anew(&mut bench);
    bench.done(job, Outcome::RemoteIs(Some(held_anew(2))));
    bench.control.keep_state();
    assert_eq!(bench.control.state.cursor(), Some(Cursor { epoch: ANEW, seq: 0 }), "nothing is applied yet");
    check_it_is_wanted(bench);
}

#[test]
fn names_that_can_not_be_here_are_told_and_keep_nothing_waiting() {
    let mut bench = Bench::new();
    let misnamed = |event: &str, number: usize| {
        let data = format!("{{\"path\":\"../{number}\",\"deleted\":true,\"seq\":4}}");
        Event::parse(event, &data).unwrap().unwrap()
    };
    for number in 0..PROBLEMS_SHOWN + 50 {
        bench.hear(misnamed("download", number), bench.cursor(number as u64 + 1));
    }
    assert_eq!(bench.control.inner.folder_problems.len(), PROBLEMS_SHOWN);
    assert!(bench.control.inner.tracks.is_empty());
    assert_eq!(bench.control.inner.received, bench.cursor(PROBLEMS_SHOWN as u64 + 50));
    bench.hear(misnamed("delete", 0), None);
    assert_eq!(bench.control.inner.folder_problems.len(), PROBLEMS_SHOWN - 1);
}

#[test]
fn names_without_number_are_refused_and_the_cursor_stays() {
    let mut bench = Bench::new();
    bench.control.inner.most_tracks = 3;
    let before = bench.control.inner.received;
    bench.disconnect();
    bench.connect();
    let named = |number: u64| RemoteEntry { path: path(&format!("file {number}")), ..held_anew(number) };
    (1..9).for_each(|number| bench.hear(Event::Download(named(number)), None));
    bench.hear(Event::Synced(Synced::default()), bench.cursor(9));
    assert_eq!(bench.control.inner.tracks.len(), 3);
    assert_eq!(bench.control.inner.received, before);
    assert_eq!(bench.control.inner.folder_problems.len(), 1);
    bench.control.inner.relisting = false;
    bench.connect();
    (10..20).for_each(|number| bench.hear(Event::Upload { path: named(number).path, replacing: None }, None));
    assert_eq!(bench.control.inner.tracks.len(), 3, "what was never listed is not asked for");
    bench.synced();
    assert!(bench.control.inner.folder_problems.is_empty());
}

/// Transfers go on while the stream is opened again; what has to be read comes first.
#[test]
fn a_transfer_keeps_no_stream_waiting() {
    let mut bench = Bench::new();
    bench.write("long", "x");
    let transfer = bench.job("long");
    assert!(matches!(transfer.task, Task::Upload { .. }), "{transfer:?}");
    bench.disconnect();
    assert!(bench.control.is_looked_at());
    bench.write("to-read", "y");
    assert!(!bench.control.is_looked_at());
    bench.turn();
    assert!(bench.control.is_looked_at());
    bench.accept(transfer, 1);
    bench.turn();
    assert!(bench.control.is_looked_at());
}

// ---- What was retained ------------------------------------------------------------------------------------------------------------------

/// The server was started anew since, and retains nothing. What is known to have been there a moment ago is asked for once, not for as long
/// as it might be retained.
#[test]
fn what_is_not_retained_any_more_is_sent() {
    let mut bench = Bench::new();
    bench.write("old", "content");
    bench.agree("old");
    bench.remove("old");
    let delete = bench.job("old");
    bench.done(delete, Outcome::DeletedRemote { seq: Some(2) });
    assert_eq!(bench.tell_own("old", None), 2);
    bench.write("new", "content");
    let copy = bench.job("new");
    assert!(matches!(&copy.task, Task::Relocate { from, .. } if !from.moves), "{copy:?}");
    bench.done(copy, Outcome::NoSource);
    let next = bench.job("new").task;
    assert!(matches!(next, Task::Upload { .. }), "{next:?}");
}

/// Word of a delete may come before the answer to it, which then finds no base any more.
#[test]
fn what_was_deleted_a_moment_ago_is_retained_whichever_way_that_was_heard() {
    for told_first in [true, false] {
        let mut bench = Bench::new();
        bench.write("old", "content");
        bench.agree("old");
        bench.remove("old");
        let delete = bench.job("old");
        if told_first {
            bench.tell_own("old", None);
        }
        bench.done(delete, Outcome::DeletedRemote { seq: Some(2) });
        if !told_first {
            bench.tell_own("old", None);
        }
        bench.write("new", "content");
        let copy = bench.job("new");
        let is_copied =
            matches!(&copy.task, Task::Relocate { from, .. } if !from.moves && from.path == path("old"));
        assert!(is_copied, "told first: {told_first}: {copy:?}");
    }
}

/// Where content is taken from, permission bits are just being set: it does not look as it did, and will be to be had in a moment.
#[test]
fn content_is_not_fetched_because_its_source_is_just_being_labelled() {
    let mut bench = Bench::new();
    bench.write("old", "content");
    let base = bench.agree("old");
    let labelled = file("content", 0o600);
    let seq = bench.tell("old", Some(Entry { meta: Meta { mode: 0o600, ..base.entry.meta }, ..labelled }));
    let label = bench.job("old");
    let Task::PullMeta { remote, .. } = label.task else { panic!("{label:?}") };
    bench.tell("new", Some(labelled));
    let copy = bench.job("new");
    assert!(matches!(&copy.task, Task::TakeHere { from, .. } if !from.moves), "{copy:?}");
    fs::set_permissions(bench.at("old"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.done(copy, Outcome::NoSource);
    bench.turn();
    let base = Base { entry: remote.entry, print: bench.print("old"), seq };
    bench.done(label, Outcome::MetaAgrees(base));
    let next = bench.job("new");
    assert!(matches!(&next.task, Task::TakeHere { from, .. } if from.base == base), "{next:?}");
    // It was not that: then it is fetched.
    bench.done(next, Outcome::NoSource);
    let next = bench.job("new").task;
    assert!(matches!(next, Task::Download { .. }), "{next:?}");
}

// ---- A listing that is late --------------------------------------------------------------------------------------------------------------

#[test]
fn a_listing_that_was_begun_before_something_was_put_there_is_no_evidence() {
    let mut bench = Bench::new();
    bench.write("file", "x");
    bench.agree("file");
    let listing = |began| Observation::Listing {
        directory: None,
        entries: Vec::new(),
        unsettled: Vec::new(),
        began: Mtime(began),
    };
    bench.control.hear(Message::Local(listing(0)));
    assert!(!bench.control.state.was_absent(&path("file")), "it is looked at");
    bench.control.hear(Message::Local(listing(i64::MAX)));
    assert!(bench.control.state.was_absent(&path("file")));
}

// ---- Room ----------------------------------------------------------------------------------------------------------------------------------

/// A pass that replaces one tree by another sends while it deletes; what it sends may find room only when the last delete is done.
#[test]
fn what_found_no_room_is_sent_again_when_deletes_have_made_some() {
    let mut bench = Bench::new();
    for name in ["old", "older"] {
        bench.write(name, name);
        bench.agree(name);
    }
    bench.write("new", "new");
    for failures in 1..=3 {
        let upload = bench.job("new");
        let full = Failure::new("upload", "the quota is used up", FailureKind::NoSpace);
        bench.done(upload, Outcome::Failed(full));
        assert_eq!(bench.control.inner.tracks.get(&path("new")).unwrap().failures, failures);
    }
    assert!(bench.control.lacks_room());
    bench.remove("old");
    bench.remove("older");
    let (first, last) = (bench.job("old"), bench.job("older"));
    bench.done(first, Outcome::DeletedRemote { seq: Some(11) });
    bench.done(last, Outcome::DeletedRemote { seq: Some(12) });
    let track = bench.control.inner.tracks.get(&path("new")).unwrap();
    assert!(track.failures == 0 && track.retry_at.is_none() && track.queued, "{track:?}");
    let upload = bench.job("new");
    bench.accept(upload, 13);
    assert!(!bench.control.lacks_room());
}

// ---- The line to the server ----------------------------------------------------------------------------------------------------------

/// When one request has found out that the line does not work, those that nobody has sent yet do not have to.
#[test]
fn what_no_worker_has_begun_is_taken_back_from_a_line_that_fails() {
    let mut bench = Bench::new();
    let names: Vec<String> = (0..JOBS_TOGETHER + 4).map(|number| format!("{number}")).collect();
    for name in &names {
        bench.tell(name, Some(file(name, 0o644)));
    }
    let taken = bench.take();
    assert_eq!((taken.len(), bench.control.inner.working.total()), (JOBS_TOGETHER, names.len()));
    for (lost, job) in taken.into_iter().enumerate() {
        bench.lose(job);
        assert_eq!(bench.control.inner.working.total(), JOBS_TOGETHER - lost - 1);
    }
    assert_eq!(bench.control.inner.transfers, 0);
    // When the line has rested they are given out again.
    for name in &names[JOBS_TOGETHER..] {
        assert!(matches!(bench.job(name).task, Task::Download { .. }));
    }
}

/// An idle client takes no processor worth mentioning.
#[test]
fn the_time_is_looked_at_now_and_then_only_when_there_is_nothing_to_do() {
    let mut bench = Bench::new();
    let patience = |bench: &mut Bench| {
        bench.control.inner.shown = true;
        bench.control.patience()
    };
    bench.write("a", "mine");
    let upload = bench.job("a");
    assert!(patience(&mut bench) <= TICK, "there is an upload");
    bench.lose(upload);
    assert!(patience(&mut bench) <= TICK, "it will be tried again");
    let upload = bench.job("a");
    bench.accept(upload, 1);
    assert!(patience(&mut bench) <= TICK, "what was agreed on is not written down");
    bench.turn();
    assert_eq!(patience(&mut bench), IDLE_TICK);
}

// ---- A token that only lets read ---------------------------------------------------------------------------------------------------------

#[test]
fn a_reader_leaves_alone_what_it_could_not_send_and_takes_what_comes() {
    let mut bench = Bench::new();
    for name in ["theirs", "gone", "edited"] {
        bench.write(name, name);
        bench.agree(name);
    }
    bench.write("mine", "mine");
    let upload = bench.job("mine");
    let refused = Failure::new("upload", "the token only lets read", FailureKind::ReadOnly);
    bench.done(upload, Outcome::Failed(refused));
    bench.write("other", "other");
    bench.write("edited", "edited here");
    bench.remove("gone");
    bench.turn();
    for name in ["mine", "other", "edited", "gone"] {
        let track = bench.control.inner.tracks.get(&path(name)).unwrap();
        assert!(track.left && !track.busy && track.problem.is_some(), "{name}: {track:?}");
    }
    assert!(bench.control.is_settled(), "nothing is tried again");
    // What comes from the box goes on; who meets it with a version of its own keeps that beside it.
    bench.tell("theirs", Some(file("new", 0o644)));
    assert!(matches!(bench.job("theirs").task, Task::Download { .. }));
    bench.tell("edited", Some(file("edited there", 0o644)));
    assert!(matches!(bench.job("edited").task, Task::SetAside { .. }));
    bench.tell("gone", Some(file("back", 0o644)));
    assert!(matches!(bench.job("gone").task, Task::Download { .. }));
}
