//! The forms that header fields and JSON members have in common: paths, times, permission bits, entries, preconditions.

use super::{ProtocolError, broken};
use crate::tree::{Content, Entry, Kind, Meta, Mtime, Path, Tag};
use crate::wire::http::uri::{percent_decode, percent_encode_path};
use crate::wire::json::{Value, Writer};
use crate::wire::sha256::Hash;

/// Name and version in `User-Agent` and `Server`.
pub const VERSION_NAME: &str = concat!("filesync/", env!("CARGO_PKG_VERSION"));
/// Nanoseconds since 1970 of a file's last modification.
pub const MTIME_FIELD: &str = "File-Mtime";
/// Permission bits in octal.
pub const MODE_FIELD: &str = "File-Mode";
/// What a `COPY` replaces at its destination: tags, as in `If-Match`.
pub const DESTINATION_MATCH_FIELD: &str = "Destination-If-Match";
/// `file`, `dir` or `symlink`.
pub const KIND_FIELD: &str = "File-Kind";
/// The client that makes a change, as in the list's `client.id`; its own change comes back to it as `stored`.
pub const CLIENT_FIELD: &str = "Sync-Client";
/// Up to which change the version of `If-Match` is known to have been there: a cursor.
pub const BASE_FIELD: &str = "Sync-Base";
/// The same of the version of `Destination-If-Match`: a cursor.
pub const DESTINATION_BASE_FIELD: &str = "Destination-Sync-Base";
/// Where a change stands in the box's history.
pub const CURSOR_FIELD: &str = "Sync-Cursor";

/// Where the bytes of a continued upload begin, or how many the server has: draft-ietf-httpbis-resumable-upload, section 4.1.1.
pub const UPLOAD_OFFSET_FIELD: &str = "Upload-Offset";
/// Whether an upload is complete with this request: section 4.1.2.
pub const UPLOAD_COMPLETE_FIELD: &str = "Upload-Complete";
/// How many bytes the whole has: section 4.1.3.
pub const UPLOAD_LENGTH_FIELD: &str = "Upload-Length";
/// For how long it can be continued, and from which size on: section 4.1.4.
pub const UPLOAD_LIMIT_FIELD: &str = "Upload-Limit";
/// The media type of what continues an upload: section 6.
pub const PARTIAL_UPLOAD: &str = "application/partial-upload";
/// Yes and no in structured fields (RFC 9651, section 3.3.6).
pub const YES: &str = "?1";
/// See [`YES`].
pub const NO: &str = "?0";

/// A path in URL form.
pub fn path_to_wire(path: &Path) -> String {
    percent_encode_path(path.as_bytes())
}

/// The path that a text in URL form names.
///
/// # Errors
/// A bad escape, or bytes that are not a path.
pub fn path_from_wire(text: &str) -> Result<Path, ProtocolError> {
    let bytes = percent_decode(text).map_err(|error| ProtocolError(error.to_string()))?;
    Path::new(&bytes).map_err(|error| ProtocolError(error.to_string()))
}

/// Permission bits in octal, as `chmod` takes them.
pub fn mode_text(mode: u16) -> String {
    format!("{mode:o}")
}

/// Reads permission bits.
///
/// # Errors
/// Not one to five octal digits, or more than `7777`.
pub fn parse_mode(text: &str) -> Result<u16, ProtocolError> {
    let is_octal = (1..=5).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u16::from_str_radix(text, 8) {
        Ok(mode) if is_octal && mode <= 0o7777 => Ok(mode),
        _ => broken("a mode is up to 7777, in octal"),
    }
}

/// Reads a time in nanoseconds.
///
/// # Errors
/// Not an integer of 64 bits, a minus in front at most.
pub fn parse_mtime(text: &str) -> Result<Mtime, ProtocolError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match text.parse() {
        Ok(nanos) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Mtime(nanos)),
        _ => broken("a time is a whole number of nanoseconds since 1970"),
    }
}

/// The header field with which a change of a path that holds `replacing` is to be sent: ready to be handed to `curl -H`.
pub fn precondition_text(replacing: Option<Tag>) -> String {
    match replacing {
        None => "If-None-Match: *".to_owned(),
        Some(tag) => format!("If-Match: \"{tag}\""),
    }
}

/// Reads what [`precondition_text`] writes.
pub(super) fn parse_precondition(text: &str) -> Result<Option<Tag>, ProtocolError> {
    if text == "If-None-Match: *" {
        return Ok(None);
    }
    let tag = text.strip_prefix("If-Match: \"").and_then(|rest| rest.strip_suffix('"'));
    match tag.map(Tag::parse) {
        Some(Ok(tag)) => Ok(Some(tag)),
        _ => broken("a precondition is If-None-Match: * or If-Match with an entity tag"),
    }
}

/// Writes the members of an entry into the object that is open.
pub fn entry_members(json: &mut Writer, entry: &Entry) {
    json.field_str("kind", entry.content.kind().word());
    if let Some(hash) = entry.content.hash() {
        json.field_u64("size", entry.content.size()).field_str("hash", &hash.to_string());
    }
    json.field_i64("mtime", entry.meta.mtime.0).field_str("mode", &mode_text(entry.meta.mode));
}

/// Reads the members of an entry from an object. Time and mode may be missing: a thin client need not know them.
pub(super) fn entry_from(object: &Value) -> Result<Entry, ProtocolError> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or(Kind::File.word());
    let content = match Kind::from_word(kind) {
        Some(Kind::Directory) => Content::Directory,
        Some(Kind::File) => Content::File { size: size(object)?, hash: hash(object)? },
        Some(Kind::Symlink) => Content::Symlink { size: size(object)?, hash: hash(object)? },
        None => return broken("kind is one of file, dir, symlink"),
    };
    let mtime = match object.get("mtime") {
        None => Mtime::default(),
        Some(mtime) => Mtime(mtime.as_i64().ok_or_else(|| ProtocolError("mtime is a whole number".into()))?),
    };
    let mode = match object.get("mode") {
        None => {
            if kind == Kind::Directory.word() {
                0o755
            } else {
                0o644
            }
        }
        Some(mode) => parse_mode(mode.as_str().unwrap_or(""))?,
    };
    Ok(Entry { content, meta: Meta { mtime, mode } })
}

fn size(object: &Value) -> Result<u64, ProtocolError> {
    object
        .get("size")
        .and_then(Value::as_u64)
        .ok_or_else(|| ProtocolError("size is missing, or not a number".into()))
}

fn hash(object: &Value) -> Result<Hash, ProtocolError> {
    let text = object.get("hash").and_then(Value::as_str).unwrap_or("");
    Hash::parse(text).ok_or_else(|| ProtocolError("hash is missing, or not 64 lower-case hex digits".into()))
}

/// The member `name`, which must be a seq if it is there.
pub(super) fn seq(object: &Value, name: &str) -> Result<Option<u64>, ProtocolError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(seq) => Ok(Some(seq)),
            None => broken(format!("{name} is not the number of a change")),
        },
    }
}

/// The member `name`, which must be a text.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> Result<&'a str, ProtocolError> {
    object
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| ProtocolError(format!("{name} is missing, or not a text")))
}

/// The member `name`, which must be a path.
pub(super) fn path(object: &Value, name: &str) -> Result<Path, ProtocolError> {
    path_from_wire(text(object, name)?).map_err(|error| ProtocolError(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_any_bytes_round_trip() {
        for bytes in [b"a/b c.txt".as_slice(), b"\xff\xfe/\n", b"100%/?#", "caf\u{e9}".as_bytes(), b"a;b+c"] {
            let path = Path::new(bytes).unwrap();
            assert_eq!(path_from_wire(&path_to_wire(&path)), Ok(path));
        }
        for text in
            ["%2e%2e/x", "a%2F%2e%2e", "%00", "a%2", "%zz", "", "/a", "a//b", ".filesync/key", "%2efilesync"]
        {
            assert!(path_from_wire(text).is_err(), "{text}");
        }
        assert_eq!(path_from_wire("a%2Fb"), path_from_wire("a/b"));
    }

    #[test]
    fn modes_and_times() {
        for (text, mode) in [("644", 0o644), ("0", 0), ("7777", 0o7777), ("0755", 0o755), ("00644", 0o644)] {
            assert_eq!(parse_mode(text), Ok(mode));
        }
        for text in ["", "8", "10000", "-1", "+644", " 644", "0o644", "000644"] {
            assert!(parse_mode(text).is_err(), "{text:?}");
        }
        for (text, nanos) in
            [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(parse_mtime(text), Ok(Mtime(nanos)));
        }
        for text in ["", "-", "+1", "1.5", "1e9", " 1", "9223372036854775808"] {
            assert!(parse_mtime(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn preconditions_round_trip() {
        let hash = Hash([0x5a; 32]);
        for tag in [None, Some(Tag::Directory), Some(Tag::File(hash)), Some(Tag::Symlink(hash))] {
            assert_eq!(parse_precondition(&precondition_text(tag)), Ok(tag));
        }
        for text in ["", "If-Match: *", "If-Match: dir", "If-Match: \"dir\"\r\nX: y", "if-none-match: *"] {
            assert!(parse_precondition(text).is_err(), "{text:?}");
        }
    }
}
