//! The events of the stream that `/sync` answers with: their names, their JSON, and which of them move the cursor.
//!
//! ```text
//!     id: 5f0c1b22a9d04e67-1042
//!     event: download
//!     data: {"path":"a/b.txt","kind":"file","size":5,"hash":"2cf2...","mtime":1700000000000000000,"mode":"644","seq":1042,"origin":"9c..."}
//! ```
//!
//! Events that answer the list carry no id: only `synced`, when all of them are out, moves the cursor.

use super::cursor::Cursor;
use super::fields::{
    entry_from, entry_members, parse_precondition, path, path_from_wire, path_to_wire, precondition_text,
    seq, text,
};
use super::{ProtocolError, broken};
use crate::tree::{Entry, Path, Tag};
use crate::wire::json::{self, Value, Writer};
use crate::wire::sse;

/// What the server holds at a path, with where it stands in its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEntry {
    /// Where.
    pub path: Path,
    /// What; `None` is a tombstone.
    pub entry: Option<Entry>,
    /// The change that made it so.
    pub seq: u64,
    /// The change since which it holds this version, or nothing, without interruption: not later than `seq`, and earlier if only metadata
    /// was changed since.
    pub since: u64,
    /// The client that made that change, if the server still knows.
    pub origin: Option<String>,
}

/// What the answer to a list came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Items in the list.
    pub listed: u64,
    /// `download` events in the answer.
    pub download: u64,
    /// `upload` events in the answer.
    pub upload: u64,
    /// `delete` events in the answer.
    pub delete: u64,
    /// `conflict` events in the answer.
    pub conflict: u64,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream begins; the box stands here.
    Hello(Cursor),
    /// The server holds this and the client does not, or not this version.
    Download(RemoteEntry),
    /// The client holds what the server does not: to be sent with this precondition.
    Upload {
        /// What to send.
        path: Path,
        /// The version it replaces; `None` creates.
        replacing: Option<Tag>,
    },
    /// The path was deleted on the server.
    Delete(RemoteEntry),
    /// Both sides changed differently; this is the server's version.
    Conflict(RemoteEntry),
    /// The server holds what the client holds, or the client's own change is in: nothing to do.
    Stored(RemoteEntry),
    /// The answer to the list is complete.
    Synced(Synced),
    /// What happened up to here is none of the client's: its cursor moves, and nothing is to be done.
    Passed,
    /// The cursor can't be continued: send a complete list.
    Reset,
    /// Something is told of a name that can't be a path here. Whether that is harm or a later version's custom: it can't be done, and
    /// says nothing about any other path. Only ever read.
    Misnamed {
        /// What was told of it.
        told: &'static str,
        /// The name, as it came.
        name: String,
        /// What is wrong with it.
        error: ProtocolError,
    },
}

impl Event {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Hello(_) => "hello",
            Event::Download(_) => "download",
            Event::Upload { .. } => "upload",
            Event::Delete(_) => "delete",
            Event::Conflict(_) => "conflict",
            Event::Stored(_) => "stored",
            Event::Synced(_) => "synced",
            Event::Passed => "passed",
            Event::Reset => "reset",
            Event::Misnamed { told, .. } => told,
        }
    }

    /// The event as bytes of the stream; `cursor` is its id, if it moves the cursor.
    pub fn encode(&self, cursor: Option<Cursor>) -> Vec<u8> {
        let id = cursor.map(|cursor| cursor.to_string());
        let data = String::from_utf8(self.data()).expect("the JSON writer writes UTF-8");
        sse::encode_event(id.as_deref(), self.name(), &data)
            .expect("ids and names of ours hold no line break")
    }

    fn data(&self) -> Vec<u8> {
        let mut json = Writer::new();
        json.begin_object();
        match self {
            Event::Hello(cursor) => {
                json.field_str("epoch", &cursor.epoch.to_string()).field_u64("seq", cursor.seq);
            }
            Event::Download(remote)
            | Event::Delete(remote)
            | Event::Conflict(remote)
            | Event::Stored(remote) => {
                remote_members(&mut json, remote);
            }
            Event::Upload { path, replacing } => {
                json.field_str("path", &path_to_wire(path))
                    .field_str("precondition", &precondition_text(*replacing));
            }
            Event::Synced(counts) => {
                json.field_u64("listed", counts.listed)
                    .field_u64("download", counts.download)
                    .field_u64("upload", counts.upload)
                    .field_u64("delete", counts.delete)
                    .field_u64("conflict", counts.conflict);
            }
            Event::Misnamed { name, .. } => {
                json.field_str("path", name);
            }
            Event::Passed | Event::Reset => {}
        }
        json.end_object();
        json.finish()
    }

    /// Reads an event from its name and data. `Ok(None)`: a name that this version does not know, to be passed over.
    ///
    /// # Errors
    /// Data that is not what the name promises.
    pub fn parse(name: &str, data: &str) -> Result<Option<Event>, ProtocolError> {
        let object = json::parse(data.as_bytes()).map_err(|error| ProtocolError(error.to_string()))?;
        if object.as_object().is_none() {
            return broken("the data of an event is an object");
        }
        if let Some(told) =
            ["download", "upload", "delete", "conflict", "stored"].into_iter().find(|told| *told == name)
            && let Err(error) = path_from_wire(text(&object, "path")?)
        {
            return Ok(Some(Event::Misnamed { told, name: text(&object, "path")?.to_owned(), error }));
        }
        let event = match name {
            "hello" => Event::Hello(hello(&object)?),
            "download" => Event::Download(remote(&object)?),
            "upload" => Event::Upload {
                path: path(&object, "path")?,
                replacing: parse_precondition(text(&object, "precondition")?)?,
            },
            "delete" => Event::Delete(remote(&object)?),
            "conflict" => Event::Conflict(remote(&object)?),
            "stored" => Event::Stored(remote(&object)?),
            "synced" => Event::Synced(synced(&object)),
            "passed" => Event::Passed,
            "reset" => Event::Reset,
            _ => return Ok(None),
        };
        match &event {
            Event::Download(remote) | Event::Conflict(remote) if remote.entry.is_none() => {
                broken("a version is named that is deleted")
            }
            Event::Delete(remote) if remote.entry.is_some() => broken("a deletion carries a version"),
            _ => Ok(Some(event)),
        }
    }
}

/// Writes the members that name what the server holds into the object that is open.
pub(super) fn remote_members(json: &mut Writer, remote: &RemoteEntry) {
    json.field_str("path", &path_to_wire(&remote.path));
    match &remote.entry {
        Some(entry) => entry_members(json, entry),
        None => {
            json.field_bool("deleted", true);
        }
    }
    json.field_u64("seq", remote.seq);
    if remote.since != remote.seq {
        json.field_u64("since", remote.since);
    }
    if let Some(origin) = &remote.origin {
        json.field_str("origin", origin);
    }
}

/// Reads what [`remote_members`] writes.
pub(super) fn remote(object: &Value) -> Result<RemoteEntry, ProtocolError> {
    let deleted = object.get("deleted").and_then(Value::as_bool).unwrap_or(false);
    // The history begins after 0.
    let Some(change) = seq(object, "seq")?.filter(|seq| 0 < *seq) else {
        return broken("seq is missing, or no number from 1 on");
    };
    let since = seq(object, "since")?.unwrap_or(change);
    if change < since {
        return broken("since is later than seq");
    }
    Ok(RemoteEntry {
        path: path(object, "path")?,
        entry: if deleted { None } else { Some(entry_from(object)?) },
        seq: change,
        since,
        origin: object.get("origin").and_then(Value::as_str).map(str::to_owned),
    })
}

fn hello(object: &Value) -> Result<Cursor, ProtocolError> {
    let Some(seq) = seq(object, "seq")? else { return broken("seq is missing") };
    let text = format!("{}-{seq}", text(object, "epoch")?);
    Cursor::parse(&text).map_err(|error| ProtocolError(error.to_string()))
}

fn synced(object: &Value) -> Synced {
    let count = |name: &str| object.get(name).and_then(Value::as_u64).unwrap_or(0);
    Synced {
        listed: count("listed"),
        download: count("download"),
        upload: count("upload"),
        delete: count("delete"),
        conflict: count("conflict"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Epoch;
    use crate::tree::{Content, Meta, Mtime};
    use crate::wire::sha256::Hash;

    fn remote_entry(content: Option<Content>) -> RemoteEntry {
        let meta = Meta { mtime: Mtime(-5), mode: 0o4755 };
        RemoteEntry {
            path: Path::new(b"a/\xff b\n").unwrap(),
            entry: content.map(|content| Entry { content, meta }),
            seq: u64::MAX,
            since: u64::MAX - 5,
            origin: Some("9c".into()),
        }
    }

    #[test]
    fn every_event_survives_the_stream() {
        let hash = Hash([7; 32]);
        let live = remote_entry(Some(Content::File { size: u64::MAX, hash }));
        let events = [
            Event::Hello(Cursor { epoch: Epoch(1), seq: 2 }),
            Event::Download(live.clone()),
            Event::Download(remote_entry(Some(Content::Symlink { size: 3, hash }))),
            Event::Download(remote_entry(Some(Content::Directory))),
            Event::Upload { path: Path::new(b"x").unwrap(), replacing: None },
            Event::Upload { path: Path::new(b"x").unwrap(), replacing: Some(Tag::Symlink(hash)) },
            Event::Delete(remote_entry(None)),
            Event::Conflict(live.clone()),
            Event::Stored(live),
            Event::Stored(remote_entry(None)),
            Event::Synced(Synced { listed: 1, download: 2, upload: 3, delete: 4, conflict: 5 }),
            Event::Passed,
            Event::Reset,
        ];
        for event in events {
            let bytes = event.encode(Some(Cursor { epoch: Epoch(9), seq: 8 }));
            let (used, read) = sse::Reader::new().feed(&bytes).unwrap();
            let read = read.unwrap();
            assert_eq!(used, bytes.len());
            assert_eq!(read.id, "0000000000000009-8");
            assert_eq!(Event::parse(&read.name, &read.data), Ok(Some(event)));
        }
    }

    #[test]
    fn strange_and_hostile_events() {
        assert_eq!(Event::parse("message", "{}"), Ok(None));
        assert_eq!(Event::parse("newer", "{\"a\":[1,2]}"), Ok(None));
        let hash = "0".repeat(64);
        for (name, data) in [
            ("download", "[]".to_owned()),
            ("download", "{}".into()),
            ("download", "{\"path\":\"a\",\"kind\":\"file\",\"size\":1,\"seq\":1}".into()),
            (
                "download",
                format!("{{\"path\":\"a\",\"kind\":\"pipe\",\"size\":1,\"hash\":\"{hash}\",\"seq\":1}}"),
            ),
            (
                "download",
                format!("{{\"path\":\"a\",\"kind\":\"file\",\"size\":-1,\"hash\":\"{hash}\",\"seq\":1}}"),
            ),
            (
                "download",
                format!("{{\"path\":\"a\",\"kind\":\"file\",\"size\":1.5,\"hash\":\"{hash}\",\"seq\":1}}"),
            ),
            ("download", "{\"path\":\"a\",\"deleted\":true,\"seq\":1}".into()),
            ("delete", "{\"path\":\"a\",\"deleted\":true,\"seq\":0}".into()),
            ("delete", "{\"path\":\"a\",\"deleted\":true,\"seq\":1,\"since\":2}".into()),
            ("delete", "{\"path\":\"a\",\"kind\":\"dir\",\"seq\":1}".into()),
            ("delete", "{\"path\":7,\"deleted\":true,\"seq\":1}".into()),
            ("upload", "{\"path\":\"a\",\"precondition\":\"none\"}".into()),
            ("hello", "{\"epoch\":\"x\",\"seq\":1}".into()),
            ("synced", "{".into()),
        ] {
            assert!(Event::parse(name, &data).is_err(), "{name} {data}");
        }
        for name in ["../a", "/a", "", "%zz", ".filesync/key", "a//b"] {
            for event in ["download", "upload", "delete", "conflict", "stored"] {
                let data = format!("{{\"path\":\"{name}\",\"deleted\":true,\"seq\":1}}");
                let parsed = Event::parse(event, &data);
                let is_it = |found: &Event| matches!(found, Event::Misnamed { told, name: of, .. } if *told == event && of == name);
                assert!(
                    parsed.as_ref().is_ok_and(|found| found.as_ref().is_some_and(is_it)),
                    "{event} {name}: {parsed:?}"
                );
            }
        }
    }
}
