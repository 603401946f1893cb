//! Whether a change may be made, and what it then comes to. Pure: the index and the change in, a verdict out.
//!
//! | the path holds                | wanted: put            | delete                | new metadata       |
//! |-------------------------------|------------------------|-----------------------|--------------------|
//! | what is required              | publish it             | remove it             | label it           |
//! | exactly what is wanted        | nothing to do: success | (a tombstone) success | nothing to do      |
//! | that, with other metadata     | label it, or leave it  |                       |                    |
//! | anything else                 | refused                | refused               | refused            |
//!
//! The second row makes a repeated request succeed whose first answer was lost, whatever it requires: what the client wants is so.
//! Metadata that differs is only changed for who knew what is there.
//!
//! A move wants what is required at the old path, and nothing at the new one. It was made before if the tombstone at the old path and what
//! is at the new one are of the same change.

use std::io;

use common::disk::{Expect, Fingerprint};
use common::tree::{Content, Entry, Kind, Meta, Path, Tag};

use super::change::{Action, Label, Refused, Require};
use super::index::{Index, Record, State};

/// What is to be done about a change that may be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing: the path is as it should be.
    Settled,
    /// Nothing but to remember what the file looks like.
    Seen(Fingerprint),
    /// The staged thing takes the place of what is expected there, and is this entry then.
    Publish(Entry, Expect),
    /// What is there gets other metadata, and is this entry then.
    Label(Entry),
    /// What is expected there is removed.
    Remove(Expect),
    /// What is there gets another name.
    Move,
    /// The index follows the box: this was made or changed by hand.
    Note(Entry, Fingerprint),
    /// The index follows the box: this directory was given another name by hand.
    NoteMove,
    /// The index follows the box: this was deleted by hand.
    Forget,
}

/// Judges a change.
///
/// # Errors
/// It may not be made.
pub(crate) fn judge(index: &Index, path: &Path, action: &Action) -> Result<Verdict, Refused> {
    match action {
        Action::Put { content, label, require, .. } => judge_put(index, path, *content, *label, require),
        Action::Delete { require } => judge_delete(index, path, require),
        Action::Move { to, require } => judge_move(index, path, to, require),
        Action::SetMeta { mtime, mode, require } => {
            require_met(index, path, require)?;
            let entry = index.live_entry(path).ok_or(Refused::NotFound)?;
            let Meta { mtime: old_mtime, mode: old_mode } = entry.meta;
            let meta = Meta { mtime: mtime.unwrap_or(old_mtime), mode: mode.unwrap_or(old_mode) };
            Ok(judge_meta(entry, &Entry { meta, ..*entry }))
        }
        Action::Found { entry, print } => judge_found(index, path, entry, *print),
        Action::Renamed { to } => {
            require_met(index, path, &Require::OneOf(vec![Tag::Directory]))?;
            require_met(index, to, &Require::Nothing)?;
            if index.has_parent(to) { Ok(Verdict::NoteMove) } else { Err(Refused::ParentMissing) }
        }
        Action::Lost => match index.live_entry(path) {
            None => Ok(Verdict::Settled),
            Some(_) if index.has_below(path) => Err(Refused::NotEmpty),
            Some(_) => Ok(Verdict::Forget),
        },
    }
}

/// What is replaced now is what the permission bits come from if none are wanted: nobody who sets some meanwhile is overruled.
fn judge_put(
    index: &Index,
    path: &Path,
    content: Content,
    label: Label,
    require: &Require,
) -> Result<Verdict, Refused> {
    let known = index.live_entry(path);
    let entry = Entry { content, meta: label.over(known, content.kind()) };
    if let Some(known) = known.filter(|known| known.content == content) {
        // Who did not know what is there did not mean to change its metadata.
        let is_met = require.is_met(index, path);
        return Ok(if is_met { judge_meta(known, &entry) } else { Verdict::Settled });
    }
    require_met(index, path, require)?;
    if !index.has_parent(path) {
        return Err(Refused::ParentMissing);
    }
    if index.has_below(path) {
        return Err(Refused::NotEmpty);
    }
    Ok(Verdict::Publish(entry, expected(index.get(path))?))
}

fn judge_delete(index: &Index, path: &Path, require: &Require) -> Result<Verdict, Refused> {
    match index.get(path).map(|record| (record, record.entry())) {
        None => Err(Refused::NotFound),
        Some((_, None)) => match require {
            Require::OneOf(_) | Require::HeldSince(..) | Require::Anything => Ok(Verdict::Settled),
            Require::Nothing | Require::Something => Err(Refused::NotFound),
        },
        Some((record, Some(_))) => {
            require_met(index, path, require)?;
            if index.has_below(path) {
                return Err(Refused::NotEmpty);
            }
            Ok(Verdict::Remove(expected(Some(record))?))
        }
    }
}

fn judge_move(index: &Index, from: &Path, to: &Path, require: &Require) -> Result<Verdict, Refused> {
    if to == from || to.is_below(from) {
        return Err(Refused::IntoItself);
    }
    let (old, new) = (index.get(from), index.get(to));
    if old.and_then(Record::entry).is_none() {
        // At the new path the version is as old as the move.
        let is_done = old.zip(new).is_some_and(|(old, new)| old.step.seq == new.step.seq)
            && require.is_met_by(index.live_entry(to));
        return if is_done { Ok(Verdict::Settled) } else { Err(Refused::NotFound) };
    }
    require_met(index, from, require)?;
    require_met(index, to, &Require::Nothing)?;
    if !index.has_parent(to) {
        return Err(Refused::ParentMissing);
    }
    // What the server could not read yet may be another version than the one required.
    expected(old).map(|_| Verdict::Move)
}

fn judge_meta(known: &Entry, wanted: &Entry) -> Verdict {
    if known.same_meta(wanted) { Verdict::Settled } else { Verdict::Label(*wanted) }
}

fn judge_found(index: &Index, path: &Path, entry: &Entry, print: Fingerprint) -> Result<Verdict, Refused> {
    if !index.has_parent(path) {
        return Err(Refused::ParentMissing);
    }
    if entry.content.kind() != Kind::Directory && index.has_below(path) {
        return Err(Refused::NotEmpty);
    }
    let agrees = index.live_entry(path).is_some_and(|known| known.agrees(entry));
    Ok(if agrees { Verdict::Seen(print) } else { Verdict::Note(*entry, print) })
}

fn require_met(index: &Index, path: &Path, require: &Require) -> Result<(), Refused> {
    match require.is_met(index, path) {
        true => Ok(()),
        false => Err(Refused::Precondition(index.describe(path))),
    }
}

/// What the disk must hold if the index is right.
fn expected(record: Option<&Record>) -> Result<Expect, Refused> {
    match record.map(|record| record.state) {
        None | Some(State::Tombstone) => Ok(Expect::Absent),
        Some(State::Live(entry, _)) if entry.content.kind() == Kind::Directory => Ok(Expect::EmptyDirectory),
        Some(State::Live(_, Some(print))) => Ok(Expect::Print(print)),
        Some(State::Live(_, None)) => {
            Err(Refused::Disk(io::Error::other("the server could not read what is at this path in its box")))
        }
    }
}

#[cfg(test)]
mod tests {
    use common::protocol::{Cursor, Epoch};
    use common::tree::Mtime;
    use common::wire::sha256::Hash;

    use super::super::index::{Origin, Step};
    use super::*;

    const PRINT: Fingerprint = Fingerprint { ino: 1, size: 1, mtime: Mtime(1), ctime: Mtime(1) };

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    fn file(number: u8) -> Entry {
        entry(Content::File { size: 1, hash: Hash([number; 32]) })
    }

    fn entry(content: Content) -> Entry {
        Entry { content, meta: Meta { mtime: Mtime(7), mode: 0o644 } }
    }

    /// `f` is a file, `d` a directory with `d/f` in it, `e` an empty one, `t` a tombstone, `u` a file nobody looked at.
    fn index() -> Index {
        let mut index = Index::new(Epoch(1));
        let directory = entry(Content::Directory);
        for (seq, name, state) in [
            (1, "f", State::Live(file(1), Some(PRINT))),
            (2, "d", State::Live(directory, None)),
            (3, "d/f", State::Live(file(1), Some(PRINT))),
            (4, "e", State::Live(directory, None)),
            (5, "t", State::Tombstone),
            (6, "u", State::Live(file(1), None)),
        ] {
            index.apply(path(name), Record::new(Step { seq, part: 0 }, Origin::BOX, state));
        }
        index
    }

    fn one_of(number: u8) -> Require {
        Require::OneOf(vec![Tag::from(file(9).content), Tag::from(file(number).content)])
    }

    fn word(result: Result<Verdict, Refused>) -> String {
        match result {
            Ok(Verdict::Settled) => "settled".into(),
            Ok(Verdict::Seen(_)) => "seen".into(),
            Ok(Verdict::Publish(_, Expect::Absent)) => "publish as new".into(),
            Ok(Verdict::Publish(_, Expect::EmptyDirectory)) => "publish over directory".into(),
            Ok(Verdict::Publish(_, Expect::Print(_))) => "publish over file".into(),
            Ok(Verdict::Label(_)) => "label".into(),
            Ok(Verdict::Remove(Expect::EmptyDirectory)) => "remove directory".into(),
            Ok(Verdict::Remove(_)) => "remove file".into(),
            Ok(Verdict::Move) => "move".into(),
            Ok(Verdict::NoteMove) => "note move".into(),
            Ok(Verdict::Note(..)) => "note".into(),
            Ok(Verdict::Forget) => "forget".into(),
            Err(Refused::Precondition(current)) => {
                format!("412 {}", current.map_or("nothing".into(), |current| format!("at {}", current.seq)))
            }
            Err(Refused::ParentMissing) => "no parent".into(),
            Err(Refused::NotEmpty) => "not empty".into(),
            Err(Refused::NotFound) => "not found".into(),
            Err(Refused::IntoItself) => "into itself".into(),
            Err(Refused::BadName(_)) => "bad name".into(),
            Err(Refused::Quota(_)) => "quota".into(),
            Err(Refused::Disk(_)) => "disk".into(),
            Err(Refused::Stopping) => "stopping".into(),
        }
    }

    #[test]
    fn puts() {
        use Require::{Anything, Nothing, Something};
        let labelled = Entry { meta: Meta { mtime: Mtime(8), mode: 0o600 }, ..file(1) };
        for (name, new, require, verdict) in [
            ("n", file(1), Nothing, "publish as new"),
            ("n", file(1), Anything, "publish as new"),
            ("n", file(1), Something, "412 nothing"),
            ("n", file(1), one_of(1), "412 nothing"),
            ("t", file(1), Nothing, "publish as new"),
            ("t", file(1), one_of(1), "412 at 5"),
            ("f", file(2), Nothing, "412 at 1"),
            ("f", file(2), one_of(1), "publish over file"),
            ("f", file(2), one_of(2), "412 at 1"),
            ("f", file(2), Something, "publish over file"),
            ("f", file(2), Anything, "publish over file"),
            // Repeated after a lost answer: what is wanted is so.
            ("f", file(1), Nothing, "settled"),
            ("f", file(1), one_of(3), "settled"),
            ("f", labelled, Nothing, "settled"),
            ("f", labelled, one_of(1), "label"),
            ("u", file(2), one_of(1), "disk"),
            ("f", entry(Content::Directory), one_of(1), "publish over file"),
            ("e", entry(Content::Directory), Nothing, "settled"),
            ("e", file(1), Something, "publish over directory"),
            ("d", file(1), Something, "not empty"),
            ("n/f", file(1), Nothing, "no parent"),
            ("f/f", file(1), Nothing, "no parent"),
            ("t/f", file(1), Nothing, "no parent"),
            ("d/n", file(1), Nothing, "publish as new"),
        ] {
            let judged = judge_put(&index(), &path(name), new.content, Label::from(new.meta), &require);
            assert_eq!(word(judged), verdict, "{name} {new:?} {require:?}");
        }
    }

    #[test]
    fn a_put_without_a_mode_leaves_the_one_that_is_there() {
        let mut index = index();
        for (seq, name, content) in [(7, "f", file(1).content), (8, "e", Content::Directory)] {
            let private = Entry { content, meta: Meta { mtime: Mtime(7), mode: 0o700 } };
            let state = State::Live(private, Some(PRINT));
            index.apply(path(name), Record::new(Step { seq, part: 0 }, Origin::BOX, state));
        }
        for (name, content, asked, mode) in [
            ("f", file(2).content, None, 0o700),
            ("f", file(2).content, Some(0o600), 0o600),
            ("f", file(1).content, None, 0o700),
            ("f", Content::Directory, None, 0o755),
            ("e", file(2).content, None, 0o644),
            ("n", file(2).content, None, 0o644),
            ("t", Content::Directory, None, 0o755),
            ("t", Content::Directory, Some(0o711), 0o711),
        ] {
            let label = Label { mtime: Mtime(9), mode: asked };
            let judged = judge_put(&index, &path(name), content, label, &Require::Anything);
            let (Ok(Verdict::Publish(entry, _)) | Ok(Verdict::Label(entry))) = judged else {
                panic!("{name} {content:?}: {judged:?}")
            };
            assert_eq!(entry.meta, Meta { mtime: Mtime(9), mode }, "{name} {content:?} {asked:?}");
        }
    }

    #[test]
    fn deletes() {
        use Require::{Anything, Nothing, Something};
        for (name, require, verdict) in [
            ("f", one_of(1), "remove file"),
            ("f", Something, "remove file"),
            ("f", one_of(2), "412 at 1"),
            ("f", Nothing, "412 at 1"),
            ("t", one_of(2), "settled"),
            ("t", Anything, "settled"),
            ("t", Something, "not found"),
            ("n", one_of(1), "not found"),
            ("e", Require::OneOf(vec![Tag::Directory]), "remove directory"),
            ("d", Require::OneOf(vec![Tag::Directory]), "not empty"),
        ] {
            let action = Action::Delete { require };
            assert_eq!(word(judge(&index(), &path(name), &action)), verdict, "{name} {action:?}");
        }
    }

    /// `f` was deleted and is back as it was, with seq 8; then its metadata was changed.
    fn index_with_f_back() -> Index {
        let mut index = index();
        let labelled = Entry { meta: Meta { mtime: Mtime(8), mode: 0o600 }, ..file(1) };
        let back = State::Live(file(1), Some(PRINT));
        for (seq, state) in [(7, State::Tombstone), (8, back), (9, State::Live(labelled, Some(PRINT)))] {
            index.apply(path("f"), Record::new(Step { seq, part: 0 }, Origin::BOX, state));
        }
        index
    }

    #[test]
    fn what_was_away_in_between_is_not_what_was_seen() {
        let index = index_with_f_back();
        let seen = |epoch, seq| {
            Require::HeldSince(vec![Tag::from(file(1).content)], Cursor { epoch: Epoch(epoch), seq })
        };
        for (require, wanted) in [
            (seen(1, 1), [false; 3]),
            (seen(1, 7), [false; 3]),
            (seen(1, 8), [true; 3]),
            (seen(1, 9), [true; 3]),
            (seen(2, 9), [false; 3]),
            (one_of(1), [true; 3]),
        ] {
            let deleted = judge(&index, &path("f"), &Action::Delete { require: require.clone() });
            let Entry { content, meta } = file(2);
            let replaced = judge_put(&index, &path("f"), content, meta.into(), &require);
            let to = path("n");
            let moved = judge(&index, &path("f"), &Action::Move { to, require: require.clone() });
            let made = [deleted.is_ok(), replaced.is_ok(), moved.is_ok()];
            assert_eq!(made, wanted, "{require:?}");
        }
        // Whatever it says was seen: what is wanted is so.
        let Entry { content, meta } = *index.live_entry(&path("f")).unwrap();
        assert_eq!(word(judge_put(&index, &path("f"), content, meta.into(), &seen(2, 1))), "settled");
        let again = Action::Delete { require: seen(1, 1) };
        assert_eq!(word(judge(&index, &path("t"), &again)), "settled");
    }

    #[test]
    fn moves() {
        use Require::Something;
        let directory = || Require::OneOf(vec![Tag::Directory]);
        for (name, to, require, verdict) in [
            ("f", "n", one_of(1), "move"),
            ("f", "t", one_of(1), "move"),
            ("f", "d/n", Something, "move"),
            ("d", "n", directory(), "move"),
            ("d", "e/d", directory(), "move"),
            ("f", "n", one_of(2), "412 at 1"),
            ("f", "d", one_of(1), "412 at 2"),
            ("f", "d/f", one_of(1), "412 at 3"),
            ("d/f", "d", one_of(1), "412 at 2"),
            ("f", "n/n", one_of(1), "no parent"),
            ("f", "t/n", one_of(1), "no parent"),
            ("f", "f", one_of(1), "into itself"),
            ("f", "f/n", one_of(1), "into itself"),
            ("d", "d/n/n", directory(), "into itself"),
            ("t", "n", one_of(1), "not found"),
            ("n", "f", one_of(1), "not found"),
            ("u", "n", one_of(1), "disk"),
        ] {
            let action = Action::Move { to: path(to), require };
            assert_eq!(word(judge(&index(), &path(name), &action)), verdict, "{name} {action:?}");
        }
    }

    #[test]
    fn a_move_repeated_after_a_lost_answer() {
        let mut index = index();
        let renamed = index.renamed(&path("d"), &path("e/d")).unwrap();
        index.relocate(&renamed, 7, Origin::BOX);
        let again = |index: &Index, name: &str, to: &str, require: Require| {
            word(judge(index, &path(name), &Action::Move { to: path(to), require }))
        };
        let directory = || Require::OneOf(vec![Tag::Directory]);
        assert_eq!(again(&index, "d", "e/d", directory()), "settled");
        assert_eq!(again(&index, "d", "e/d", one_of(1)), "not found");
        assert_eq!(again(&index, "d", "e", directory()), "not found");
        let state = State::Live(file(2), Some(PRINT));
        index.apply(path("e/d/f"), Record::new(Step { seq: 8, part: 0 }, Origin::BOX, state));
        assert_eq!(again(&index, "d/f", "e/d/f", one_of(2)), "not found");
    }

    #[test]
    fn metadata() {
        for (name, mode, require, verdict) in [
            ("f", 0o600, Require::Something, "label"),
            ("f", 0o644, Require::Something, "settled"),
            ("f", 0o600, one_of(2), "412 at 1"),
            ("t", 0o600, one_of(2), "412 at 5"),
            ("n", 0o600, Require::Anything, "not found"),
        ] {
            let action = Action::SetMeta { mtime: None, mode: Some(mode), require };
            assert_eq!(word(judge(&index(), &path(name), &action)), verdict, "{name} {action:?}");
        }
    }

    #[test]
    fn made_by_hand() {
        let directory = entry(Content::Directory);
        for (name, found, verdict) in [
            ("f", file(1), "seen"),
            ("f", file(2), "note"),
            ("f", directory, "note"),
            ("n", file(1), "note"),
            ("t", file(1), "note"),
            ("d", directory, "seen"),
            ("d", file(1), "not empty"),
            ("n/f", file(1), "no parent"),
        ] {
            let action = Action::Found { entry: found, print: PRINT };
            assert_eq!(word(judge(&index(), &path(name), &action)), verdict, "{name} {found:?}");
        }
        for (name, verdict) in
            [("f", "forget"), ("d", "not empty"), ("e", "forget"), ("t", "settled"), ("n", "settled")]
        {
            assert_eq!(word(judge(&index(), &path(name), &Action::Lost)), verdict, "{name}");
        }
    }
}
