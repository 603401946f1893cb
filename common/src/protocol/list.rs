//! The body of `POST /sync`: who the client is, up to where it has applied the box's history, and what its folder holds.
//!
//! ```text
//!     {"client":{"id":"9c2f...","name":"laptop"},"cursor":"5f0c1b22a9d04e67-1042","complete":false,"files":[
//!      {"path":"a.txt","kind":"file","size":5,"hash":"2cf2...","mtime":1700000000000000000,"mode":"644","base":"486e...","base_seq":1040},
//!      {"path":"b.txt","deleted":true,"base":"2cf2...","base_seq":980}]}
//! ```
//!
//! `files` comes last: it may be long, and what the other members say is needed to understand it. Items are encoded and read one at a
//! time, so neither side ever holds a list.

use std::io::Read;

use super::cursor::Cursor;
use super::fields::{entry_from, entry_members, path, path_to_wire, seq};
use super::{ProtocolError, broken};
use crate::limits::CLIENT_ID_BYTES;
use crate::sync::Base;
use crate::tree::{Entry, Path, Tag};
use crate::wire::json::{JsonError, Reader, Value, Writer};

/// All of a list but its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListHead {
    /// Random, made once for a folder.
    pub client_id: String,
    /// For people.
    pub client_name: String,
    /// Up to where the client has applied everything; `None` at first contact.
    pub cursor: Option<Cursor>,
    /// Whether the items are everything the client has, in the order of paths, or only what differs from its base.
    pub complete: bool,
}

/// What a client's folder holds at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// This.
    Present(Entry),
    /// Nothing any more; seen to be absent by a complete listing of the directory above.
    Deleted,
}

/// One item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListItem {
    /// Where.
    pub path: Path,
    /// What the folder holds.
    pub known: Known,
    /// The version that client and server last had in common.
    pub base: Option<Base>,
}

/// The body up to where the items begin.
pub fn encode_list_head(head: &ListHead) -> Vec<u8> {
    let mut json = Writer::new();
    json.begin_object();
    json.key("client").begin_object();
    json.field_str("id", &head.client_id).field_str("name", &head.client_name).end_object();
    match head.cursor {
        Some(cursor) => json.field_str("cursor", &cursor.to_string()),
        None => json.field_null("cursor"),
    };
    json.field_bool("complete", head.complete).end_object();
    let mut bytes = json.finish();
    bytes.pop();
    bytes.extend_from_slice(b",\"files\":[");
    bytes
}

/// One item, with the comma in front that all but the first need.
pub fn encode_list_item(out: &mut Vec<u8>, item: &ListItem, first: bool) {
    out.extend_from_slice(if first { b"\n" } else { b",\n" });
    let mut json = Writer::new();
    json.begin_object().field_str("path", &path_to_wire(&item.path));
    match &item.known {
        Known::Present(entry) => entry_members(&mut json, entry),
        Known::Deleted => {
            json.field_bool("deleted", true);
        }
    }
    match item.base {
        Some(base) => json.field_str("base", &base.tag.to_string()),
        None => json.field_null("base"),
    };
    if let Some(seq) = item.base.and_then(|base| base.seq) {
        json.field_u64("base_seq", seq);
    }
    json.end_object();
    out.extend_from_slice(&json.finish());
}

/// What closes the body after the last item.
pub fn encode_list_tail() -> &'static [u8] {
    b"]}\n"
}

/// Why a list could not be read.
#[derive(Debug)]
pub enum ListError {
    /// The connection broke, or the text is not JSON.
    Json(JsonError),
    /// The JSON is not a list.
    Protocol(ProtocolError),
}

impl From<JsonError> for ListError {
    fn from(error: JsonError) -> ListError {
        ListError::Json(error)
    }
}

impl From<ProtocolError> for ListError {
    fn from(error: ProtocolError) -> ListError {
        ListError::Protocol(error)
    }
}

impl ListHead {
    /// Reads the members up to the items; the reader then stands inside the array `files`. `None`: the body ended without one.
    ///
    /// # Errors
    /// Not JSON, not a list, or `files` in front of the members that it needs.
    pub fn read<R: Read>(json: &mut Reader<R>) -> Result<(ListHead, bool), ListError> {
        let (mut client, mut cursor, mut complete) = (None, None, None);
        let mut has_files = false;
        json.begin_object()?;
        while let Some(key) = json.next_key()? {
            match key.as_str() {
                "client" => client = Some(read_client(&json.value()?)?),
                "cursor" => cursor = read_cursor(&json.value()?)?,
                "complete" => {
                    complete = Some(
                        json.value()?
                            .as_bool()
                            .ok_or_else(|| ProtocolError("complete is true or false".into()))?,
                    )
                }
                "files" => {
                    json.begin_array()?;
                    has_files = true;
                    break;
                }
                _ => json.skip()?,
            }
        }
        let Some((client_id, client_name)) = client else {
            return Ok(broken("client is missing, or stands after files")?);
        };
        let complete = complete.unwrap_or(cursor.is_none());
        Ok((ListHead { client_id, client_name, cursor, complete }, has_files))
    }
}

fn read_client(value: &Value) -> Result<(String, String), ProtocolError> {
    let member = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("");
    let (id, name) = (member("id"), member("name"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() || CLIENT_ID_BYTES < id.len() || !id.bytes().all(is_plain) {
        return broken("client.id is 1 to 128 letters, digits, hyphens, underscores and dots");
    }
    if CLIENT_ID_BYTES < name.len() || name.chars().any(char::is_control) {
        return broken("client.name is up to 128 bytes without control characters");
    }
    Ok((id.to_owned(), name.to_owned()))
}

fn read_cursor(value: &Value) -> Result<Option<Cursor>, ProtocolError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => {
            Cursor::parse(text).map(Some).map_err(|error| ProtocolError(error.to_string()))
        }
        _ => broken("cursor is a text or null"),
    }
}

/// Reads one item of the array.
///
/// # Errors
/// It is not an item.
pub fn read_item(object: &Value) -> Result<ListItem, ProtocolError> {
    let deleted = object.get("deleted").and_then(Value::as_bool).unwrap_or(false);
    let agreed = seq(object, "base_seq")?;
    let base = match object.get("base") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            let tag = Tag::parse(text).map_err(|error| ProtocolError(format!("base: {error}")))?;
            Some(Base { tag, seq: agreed })
        }
        Some(_) => return broken("base is an entity tag or null"),
    };
    Ok(ListItem {
        path: path(object, "path")?,
        known: if deleted { Known::Deleted } else { Known::Present(entry_from(object)?) },
        base,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Epoch;
    use crate::tree::{Content, Meta, Mtime};
    use crate::wire::sha256::Hash;

    fn read(bytes: &[u8]) -> Result<(ListHead, Vec<ListItem>), ListError> {
        let mut json = Reader::new(bytes);
        let (head, has_files) = ListHead::read(&mut json)?;
        let mut items = Vec::new();
        while has_files && json.next_item()? {
            items.push(read_item(&json.value()?)?);
        }
        if has_files && json.next_key()?.is_some() {
            return Ok(broken("something follows files")?);
        }
        json.end()?;
        Ok((head, items))
    }

    #[test]
    fn lists_round_trip() {
        let meta = Meta { mtime: Mtime(1), mode: 0o644 };
        let hash = Hash([3; 32]);
        let based = |tag, seq| Some(Base { tag, seq });
        let item = |path: &[u8], known, base| ListItem { path: Path::new(path).unwrap(), known, base };
        let items = [
            item(
                b"a",
                Known::Present(Entry { content: Content::Directory, meta }),
                based(Tag::Directory, Some(1 << 40)),
            ),
            item(
                b"a/b",
                Known::Present(Entry { content: Content::File { size: 1 << 40, hash }, meta }),
                None,
            ),
            item(
                b"a/c\xff",
                Known::Present(Entry { content: Content::Symlink { size: 2, hash }, meta }),
                based(Tag::Symlink(hash), Some(0)),
            ),
            item(b"z", Known::Deleted, based(Tag::File(hash), None)),
        ];
        let cursor = Some(Cursor { epoch: Epoch(77), seq: 5 });
        for cursor in [None, cursor] {
            let head = ListHead {
                client_id: "9c".into(),
                client_name: "the \"laptop\"".into(),
                cursor,
                complete: true,
            };
            let mut bytes = encode_list_head(&head);
            for (number, item) in items.iter().enumerate() {
                encode_list_item(&mut bytes, item, number == 0);
            }
            bytes.extend_from_slice(encode_list_tail());
            assert_eq!(read(&bytes).unwrap(), (head, items.to_vec()));
            for end in 0..bytes.len() - 1 {
                assert!(read(&bytes[..end]).is_err(), "prefix of {end} bytes");
            }
        }
    }

    #[test]
    fn what_a_thin_client_may_leave_out() {
        let (head, items) = read(b"{\"client\":{\"id\":\"curl\"}}").unwrap();
        assert_eq!((head.complete, head.cursor, items.len()), (true, None, 0));
        let hash = "0".repeat(64);
        let list = format!(
            "{{\"client\":{{\"id\":\"curl\"}},\"new\":[1],\"files\":[{{\"path\":\"a\",\"size\":1,\"hash\":\"{hash}\"}}]}}"
        );
        let (_, items) = read(list.as_bytes()).unwrap();
        assert_eq!(items[0].base, None);
    }

    #[test]
    fn attacks() {
        for list in [
            "[]",
            "{}",
            "{\"files\":[],\"client\":{\"id\":\"a\"}}",
            "{\"client\":{\"id\":\"\"}}",
            "{\"client\":{\"id\":\"a b\"}}",
            "{\"client\":{\"id\":\"a\",\"name\":\"x\\ny\"}}",
            "{\"client\":{\"id\":\"a\"},\"cursor\":5}",
            "{\"client\":{\"id\":\"a\"},\"cursor\":\"x-1\"}",
            "{\"client\":{\"id\":\"a\"},\"complete\":1}",
            "{\"client\":{\"id\":\"a\"},\"files\":{}}",
            "{\"client\":{\"id\":\"a\"},\"files\":[1]}",
            "{\"client\":{\"id\":\"a\"},\"files\":[{\"path\":\"../a\",\"deleted\":true}]}",
            "{\"client\":{\"id\":\"a\"},\"files\":[{\"path\":\"a\",\"deleted\":true,\"base\":\"x\"}]}",
            "{\"client\":{\"id\":\"a\"},\"files\":[{\"path\":\"a\",\"deleted\":true,\"base\":\"dir\",\"base_seq\":-1}]}",
            "{\"client\":{\"id\":\"a\"},\"files\":[{\"path\":\"a\",\"kind\":\"dir\",\"mode\":\"9\"}]}",
        ] {
            assert!(read(list.as_bytes()).is_err(), "{list}");
        }
    }
}
