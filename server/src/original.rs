//! The dialect of the original's clients, which work against this server unchanged. Nothing else depends on this file.
//!
//! ```text
//!     POST /sync      {"files":[{"path":"a/b.txt","lastUpdate":1700000000}]}
//!                     -> {"Path":"a/b.txt","Action":1}                 a line, in a chunk of its own; the answer stays open
//!     POST /upload    File-Path: a/b.txt, and the content as the body  -> 200
//!     GET /download/a%2Fb.txt                                          as everybody else
//! ```
//!
//! They are known by `Authorization: KEY` without a scheme. They know files only, plain names, and times in whole seconds, by which they
//! decide; names of their fields come in any case. What such a client would replace it may never have seen, so it is kept as a version.
//!
//! Deviations: names that are not UTF-8 can't be told to them and are left out; names that are not ASCII they can't upload, for header
//! fields hold nothing else here.
//!
//! The sender of an upload is told to download it, like everybody else. An upload does not say who it is from, and nothing around it
//! does: its connection is not the one of the list, and the address it comes from may be that of two clients on one machine, or of a
//! whole office behind a proxy. To tell the sender what it knows costs one needless download; to keep it from the wrong client would
//! leave that one without the file.

use std::collections::HashSet;
use std::io;

use common::limits::{INDEX_BATCH, STREAM_LOOK, UPLOADS_AT_ONCE};
use common::protocol::{CURSOR_FIELD, ProblemKind, RemoteEntry};
use common::tree::{Content as Version, Entry, Kind, Path};
use common::wire::http::fields::Fields;
use common::wire::json::{JsonError, JsonErrorKind, Reader, Value, Writer};

use crate::answer::{Answer, Content, Refusal, Reply};
use crate::auth::Denied;
use crate::hub::{News, Next, Subscription};
use crate::outlet::Outlet;
use crate::request::Request;
use crate::store::{Action, Label, Replaced, Require, Step};
use crate::upload::{check_room, claim, receive_file, refused};
use crate::view::{IndexView, View};
use crate::vigil::Vigil;

const PATH_FIELD: &str = "File-Path";

/// What the client is to do. The numbers are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToDo {
    Download = 1,
    Upload = 2,
}

/// One item of the client's list: a path and when it was last changed, in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    path: Path,
    changed: i64,
}

// ---- The list ------------------------------------------------------------------------------------------------------------------------

/// `POST /sync`. The list is read before it is answered: it comes in no order, so what is missing from it is known at its end only.
pub(crate) fn list<'a>(view: &View<'a>, body: &mut dyn Content) -> Result<Reply<'a>, Refusal> {
    let (subscription, begun) = {
        let index = view.index();
        let seq = index.cursor().seq;
        (view.subscribe("", "", seq), seq)
    };
    let mut listed = Listed::default();
    read_items(&mut Reader::new(body), |item| listed.take(&view.index(), item))?;
    let view = view.clone();
    let stream = move |out: &mut Outlet| {
        answer(&view, listed, out)?;
        tell_live(&view, &subscription, begun, out)
    };
    let fields = Fields::new().with("content-type", "application/json").with("cache-control", "no-store");
    Ok(Reply::Stream(fields, Box::new(stream)))
}

/// A body that can't be read is not a body that is wrong.
fn refuse_json(error: JsonError) -> Refusal {
    match error.kind {
        JsonErrorKind::Io(error) => Refusal::Body(error),
        _ => Refusal::bad(error.to_string()),
    }
}

/// What of a list matters for the answer.
#[derive(Debug, Default)]
struct Listed {
    /// Files that the box has as well: not more than there are.
    known: HashSet<Path>,
    /// What is to be uploaded.
    upload: Vec<Path>,
}

impl Listed {
    fn take(&mut self, index: &IndexView<'_>, item: Item) -> Result<(), Refusal> {
        let file = index.live_entry(&item.path).filter(|entry| is_file(entry));
        if to_do(Some(item.changed), file.map(seconds)) == Some(ToDo::Upload) {
            if UPLOADS_AT_ONCE <= self.upload.len() {
                return Err(Refusal::new(ProblemKind::TooLarge, "the list names too many new files"));
            }
            self.upload.push(item.path.clone());
        }
        if file.is_some() {
            self.known.insert(item.path);
        }
        Ok(())
    }
}

/// The rule of the original: times decide, and an older file of the client's is left alone.
fn to_do(listed: Option<i64>, in_box: Option<i64>) -> Option<ToDo> {
    match (listed, in_box) {
        (Some(_), None) => Some(ToDo::Upload),
        (Some(listed), Some(in_box)) if in_box < listed => Some(ToDo::Upload),
        (Some(_), Some(_)) => None,
        (None, Some(_)) => Some(ToDo::Download),
        (None, None) => None,
    }
}

fn read_items<R: io::Read>(
    json: &mut Reader<R>,
    mut take: impl FnMut(Item) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    json.begin_object().map_err(refuse_json)?;
    while let Some(key) = json.next_key().map_err(refuse_json)? {
        if !key.eq_ignore_ascii_case("files") {
            json.skip().map_err(refuse_json)?;
            continue;
        }
        json.begin_array().map_err(refuse_json)?;
        while json.next_item().map_err(refuse_json)? {
            take(read_item(&json.value().map_err(refuse_json)?)?)?;
        }
    }
    json.end().map_err(refuse_json)
}

fn read_item(value: &Value) -> Result<Item, Refusal> {
    let member = |wanted: &str| {
        let members = value.as_object().unwrap_or_default();
        members.iter().find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value))
    };
    let name = member("path").and_then(Value::as_str);
    let name = name.ok_or_else(|| Refusal::bad("an item has a path, which is a text"))?;
    let path = Path::new(name.as_bytes()).map_err(|error| Refusal::bad(format!("{name:?}: {error}")))?;
    let changed = member("lastUpdate").and_then(Value::as_i64);
    let changed = changed.ok_or_else(|| Refusal::bad("an item has lastUpdate, a whole number of seconds"))?;
    Ok(Item { path, changed })
}

// ---- The answer ----------------------------------------------------------------------------------------------------------------------

fn answer(view: &View<'_>, listed: Listed, out: &mut Outlet<'_>) -> io::Result<()> {
    for path in &listed.upload {
        say(path, ToDo::Upload, out)?;
    }
    let mut last = None;
    loop {
        let (missing, next) = missing_batch(&view.index(), last.as_ref(), &listed.known);
        for path in &missing {
            say(path, ToDo::Download, out)?;
        }
        match next {
            Some(next) => last = Some(next),
            None => return Ok(()),
        }
    }
}

fn missing_batch(
    index: &IndexView<'_>,
    after: Option<&Path>,
    known: &HashSet<Path>,
) -> (Vec<Path>, Option<Path>) {
    let mut missing = Vec::new();
    for (number, (path, record)) in index.after(after).enumerate() {
        let is_there = record.entry().is_some_and(is_file);
        if is_there && !known.contains(&path) {
            missing.push(path.clone());
        }
        if number + 1 == INDEX_BATCH {
            return (missing, Some(path));
        }
    }
    (missing, None)
}

/// Tells what is stored from now on. There is no heartbeat in this dialect, so a client that left is noticed by looking.
fn tell_live(
    view: &View<'_>,
    subscription: &Subscription,
    mut told: u64,
    out: &mut Outlet<'_>,
) -> io::Result<()> {
    let mut vigil = Vigil::begin();
    loop {
        if vigil.look(view).is_err() {
            return Ok(());
        }
        match subscription.next(STREAM_LOOK) {
            Next::Frame(frame) => match &frame.news {
                News::Whole(encoded) => {
                    told = told.max(frame.seq);
                    subscription.told(told);
                    if let Some(change) = view.see(&encoded.change) {
                        tell(&change, out)?;
                    }
                }
                News::Many => told = catch_up(view, told, out)?,
            },
            Next::Lagged => told = catch_up(view, told, out)?,
            Next::Quiet if out.is_deserted() => return Ok(()),
            Next::Quiet => {}
            Next::Stopped => return Ok(()),
        }
    }
}

/// Deletions can't be told in this dialect, so it does no harm if those before the horizon are forgotten.
fn catch_up(view: &View<'_>, told: u64, out: &mut Outlet<'_>) -> io::Result<u64> {
    let mut after = Step::end_of(told);
    loop {
        let batch: Vec<(Step, Option<RemoteEntry>)> =
            view.index().changes_after(after).take(INDEX_BATCH).collect();
        let Some((last, _)) = batch.last() else { return Ok(after.seq) };
        after = *last;
        for change in batch.iter().filter_map(|(_, change)| change.as_ref()) {
            tell(change, out)?;
        }
    }
}

fn tell(change: &RemoteEntry, out: &mut Outlet<'_>) -> io::Result<()> {
    match &change.entry {
        Some(entry) if is_file(entry) => say(&change.path, ToDo::Download, out),
        _ => Ok(()),
    }
}

/// One line, in a chunk of its own: these clients parse chunks, not lines.
fn say(path: &Path, to_do: ToDo, out: &mut Outlet<'_>) -> io::Result<()> {
    match line(path, to_do) {
        Some(line) => {
            out.push(&line)?;
            out.flush()
        }
        None => Ok(()),
    }
}

fn line(path: &Path, to_do: ToDo) -> Option<Vec<u8>> {
    let name = std::str::from_utf8(path.as_bytes()).ok()?;
    let mut json = Writer::new();
    json.begin_object().field_str("Path", name).field_u64("Action", to_do as u64).end_object();
    let mut line = json.finish();
    line.push(b'\n');
    Some(line)
}

fn is_file(entry: &Entry) -> bool {
    entry.content.kind() == Kind::File
}

fn seconds(entry: &Entry) -> i64 {
    entry.meta.mtime.parts().0
}

// ---- The upload ----------------------------------------------------------------------------------------------------------------------

/// `POST /upload`. Directories above are made as needed, since this dialect has no word for them.
pub(crate) fn upload(
    view: &View<'_>,
    request: &Request<'_>,
    body: &mut dyn Content,
) -> Result<Answer, Refusal> {
    let name = request.field(PATH_FIELD)?.ok_or_else(|| Refusal::bad("File-Path names the file"))?;
    let path = Path::new(name.as_bytes()).map_err(|error| Refusal::bad(format!("File-Path: {error}")))?;
    let mut claim = claim(view, &path, request.length.unwrap_or(0))?;
    check_room(view, request.length)?;
    let received = receive_file(view, &mut claim, &path, body)?;
    if is_in_box(view, &path, received.version) {
        return Ok(Answer::empty(200));
    }
    make_directories_above(view, &path)?;
    // Receiving may have taken hours.
    view.check_again().map_err(Denied::answer)?;
    let action = Action::Put {
        content: received.version,
        label: Label::now(None),
        staged: received.staged,
        file: received.file,
        require: Require::Anything,
        replaced: Replaced::Kept,
    };
    match view.submit(&path, action, None, claim) {
        Ok(committed) => Ok(Answer::empty(200).with(CURSOR_FIELD, committed.cursor.to_string())),
        Err(reason) => Err(refused(reason, &path)),
    }
}

/// Content that is there already is no change: otherwise a client that answers word of a change with an upload would go on for ever.
fn is_in_box(view: &View<'_>, path: &Path, version: Version) -> bool {
    view.index().live_entry(path).is_some_and(|entry| entry.content == version)
}

fn make_directories_above(view: &View<'_>, path: &Path) -> Result<(), Refusal> {
    let mut missing: Vec<Path> = std::iter::successors(path.parent(), Path::parent).collect();
    missing.retain(|directory| !view.index().is_directory(directory));
    while let Some(directory) = missing.pop() {
        // If what is there is no directory, what comes next will say so.
        view.make_directory(&directory).map_err(|reason| refused(reason, &directory))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Grant;
    use crate::realm::Realm;
    use crate::testing::Workshop;
    use common::tree::{Meta, Mtime};

    fn items(text: &str) -> Option<Vec<(String, i64)>> {
        let mut items = Vec::new();
        let read = read_items(&mut Reader::new(text.as_bytes()), |item| {
            items.push((item.path.to_string(), item.changed));
            Ok(())
        });
        read.ok().map(|()| items)
    }

    #[test]
    fn lists_in_any_case() {
        let one = Some(vec![("a/b.txt".to_owned(), 1_700_000_000)]);
        assert_eq!(items("{\"files\":[{\"path\":\"a/b.txt\",\"lastUpdate\":1700000000}]}"), one);
        assert_eq!(items("{\"Files\":[{\"Path\":\"a/b.txt\",\"LastUpdate\":1700000000,\"x\":[]}]}"), one);
        assert_eq!(items("{\"x\":1,\"FILES\":[]}"), Some(vec![]));
        assert_eq!(items("{}"), Some(vec![]));
        for text in [
            "",
            "[]",
            "{\"files\":{}}",
            "{\"files\":[1]}",
            "{\"files\":[{\"path\":\"../a\",\"lastUpdate\":1}]}",
            "{\"files\":[{\"path\":\"/a\",\"lastUpdate\":1}]}",
            "{\"files\":[{\"path\":\".filesync/key\",\"lastUpdate\":1}]}",
            "{\"files\":[{\"path\":\"a\",\"lastUpdate\":\"1\"}]}",
            "{\"files\":[{\"path\":\"a\"}]}",
            "{\"files\":[]}{}",
        ] {
            assert_eq!(items(text), None, "{text}");
        }
    }

    #[test]
    fn times_decide() {
        for (listed, in_box, want) in [
            (Some(5), None, Some(ToDo::Upload)),
            (Some(5), Some(4), Some(ToDo::Upload)),
            (Some(5), Some(5), None),
            (Some(5), Some(6), None),
            (None, Some(5), Some(ToDo::Download)),
            (None, None, None),
        ] {
            assert_eq!(to_do(listed, in_box), want, "{listed:?} {in_box:?}");
        }
    }

    #[test]
    fn lines_are_as_the_original_wrote_them() {
        let text = |name: &[u8], what| {
            line(&Path::new(name).unwrap(), what).map(|line| String::from_utf8(line).unwrap())
        };
        assert_eq!(text(b"a/b.txt", ToDo::Download).unwrap(), "{\"Path\":\"a/b.txt\",\"Action\":1}\n");
        assert_eq!(
            text(b"a\nb \"c\"", ToDo::Upload).unwrap(),
            "{\"Path\":\"a\\nb \\\"c\\\"\",\"Action\":2}\n"
        );
        assert_eq!(text(b"\xff", ToDo::Download), None);
    }

    #[test]
    fn times_are_whole_seconds() {
        let meta = Meta { mtime: Mtime(1_999_999_999), mode: 0o644 };
        assert_eq!(seconds(&Entry { content: Version::Directory, meta }), 1);
    }

    #[test]
    fn one_list_has_so_many_new_files() {
        let workshop = Workshop::new();
        let view = View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0);
        let item = Item { path: Path::new(b"a").unwrap(), changed: 1 };
        let upload = vec![item.path.clone(); UPLOADS_AT_ONCE - 1];
        let mut listed = Listed { upload, ..Listed::default() };
        assert!(listed.take(&view.index(), item.clone()).is_ok());
        let refusal = listed.take(&view.index(), item).unwrap_err();
        assert_eq!(refusal.into_answer().map(|answer| answer.status), Some(413));
    }
}
