//! Event streams, written and read (HTML Standard, sections 9.2.5 and 9.2.6: `text/event-stream`).
//!
//! ```text
//!     id: 3f9c-17          a field a line; one space after the colon is not part of the value
//!     event: download
//!     data: {"path":"a"}   several `data` lines are joined with LF
//!                          a blank line dispatches
//!     :                    a comment, here as a sign of life
//! ```
//!
//! Strategy: sans-IO. [`Reader::feed`] takes what has arrived, stops after one event and says how much it used, so no queue can grow.
//!
//! Format notes:
//! - Lines end with CR LF, LF or CR alone. A CR ends its line at once, even if it is the last byte there is; an LF that comes next,
//!   perhaps much later, belongs to it.
//! - One byte order mark at the very beginning is dropped. Text is UTF-8; what is not becomes U+FFFD, as in every browser.
//! - An event without any `data` line is not dispatched, but its id counts. `data` with nothing after it is a line, and dispatches.
//! - Ids count from the blank line on: one whose event was cut off by the end of the stream must not, or the event would be lost.
//! - `id` with a NUL and `retry` with anything but digits are ignored, as are unknown fields.
//!
//! Deviation: the standard knows no limits; lines and events have one here.

use std::error::Error;
use std::fmt;
use std::mem;

use crate::limits::{SSE_EVENT_BYTES, SSE_LINE_BYTES};

/// The shortest comment: shows that the writer is alive, means nothing.
pub const HEARTBEAT: &[u8] = b":\n\n";
/// The name of an event that has none.
const DEFAULT_NAME: &str = "message";
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a stream can't be read on, or an event can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseError {
    /// A line is longer than [`SSE_LINE_BYTES`].
    LineTooLong {
        /// Where in the stream (or in the text to write) it became too long, in bytes.
        offset: u64,
    },
    /// The data of one event is longer than [`SSE_EVENT_BYTES`].
    EventTooLong {
        /// Where in the stream (or in the data to write) it became too long, in bytes.
        offset: u64,
    },
    /// The value can't be written so that a reader gets the same back.
    Unwritable {
        /// `id`, `event` or `data`.
        field: &'static str,
        /// Where in the value the byte is.
        offset: u64,
    },
}

impl fmt::Display for SseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong { offset } => {
                write!(f, "event stream: line of more than {SSE_LINE_BYTES} bytes at byte {offset}")
            }
            Self::EventTooLong { offset } => {
                write!(f, "event stream: event of more than {SSE_EVENT_BYTES} bytes at byte {offset}")
            }
            Self::Unwritable { field, offset } => {
                write!(f, "event stream: byte {offset} of {field} can't be written")
            }
        }
    }
}

impl Error for SseError {}

// ---- Writing ----------------------------------------------------------------------------------------------------------------

/// One event, blank line included. Without a name it is a `message`; without an id the reader keeps the id it has.
///
/// Refused are line breaks and NUL in id and name, CR in data (a reader would see LF), and what is longer than [`Reader`] takes.
pub fn encode_event(id: Option<&str>, event: &str, data: &str) -> Result<Vec<u8>, SseError> {
    if SSE_EVENT_BYTES < data.len() {
        return Err(SseError::EventTooLong { offset: SSE_EVENT_BYTES as u64 });
    }
    let mut out = Vec::with_capacity(data.len() + event.len() + 64);
    if let Some(id) = id {
        push_line(&mut out, "id", id, b"\r\n\0")?;
    }
    if !event.is_empty() {
        push_line(&mut out, "event", event, b"\r\n\0")?;
    }
    for line in data.split('\n') {
        push_line(&mut out, "data", line, b"\r")?;
    }
    out.push(b'\n');
    Ok(out)
}

/// Tells the reader how long to wait before it connects again, in milliseconds.
pub fn encode_retry(milliseconds: u64) -> Vec<u8> {
    format!("retry: {milliseconds}\n\n").into_bytes()
}

fn push_line(out: &mut Vec<u8>, field: &'static str, value: &str, refused: &[u8]) -> Result<(), SseError> {
    if let Some(offset) = refused.iter().filter_map(|&byte| value.find(char::from(byte))).min() {
        return Err(SseError::Unwritable { field, offset: offset as u64 });
    }
    let start = out.len();
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    if SSE_LINE_BYTES < out.len() - start {
        return Err(SseError::LineTooLong { offset: SSE_LINE_BYTES as u64 });
    }
    out.push(b'\n');
    Ok(())
}

// ---- Reading ----------------------------------------------------------------------------------------------------------------

/// An event as it is dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The last id the stream had up to here, which an earlier event may have brought; empty if there was none.
    pub id: String,
    /// The name; `message` if it had none.
    pub name: String,
    /// The `data` lines, joined with LF.
    pub data: String,
}

/// Reads one stream, from its first byte. A new connection takes a new reader.
#[derive(Debug, Default)]
pub struct Reader {
    /// Bytes of the line that is not complete yet.
    line: Vec<u8>,
    ending: Ending,
    /// Bytes of the stream used up to now.
    offset: u64,
    place: Place,
    data: String,
    name: String,
    /// The id as of the last line, of an event that may still be incomplete.
    id: String,
    /// The id as of the last blank line.
    last_event_id: String,
    retry: Option<u64>,
}

/// How the line before ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    /// With CR: an LF right now is the rest of it.
    Return,
    #[default]
    Complete,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In the first line, which may have a byte order mark.
    #[default]
    FirstLine,
    Later,
}

impl Reader {
    /// A reader at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream, up to and including the line break that completes an event. Returns how many it used and the
    /// event; without an event it has used all. To be called again with the rest as long as there is one.
    ///
    /// After an error the stream can't be read on.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), SseError> {
        let mut used = 0;
        while used < input.len() {
            used += self.swallow_line_feed(input[used]);
            let rest = &input[used..];
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.push(rest)?;
                break;
            };
            self.push(&rest[..length])?;
            self.ending = if rest[length] == b'\r' { Ending::Return } else { Ending::Complete };
            self.offset += 1;
            used += length + 1;
            if let Some(event) = self.end_line()? {
                return Ok((used, Some(event)));
            }
        }
        Ok((input.len(), None))
    }

    /// What the stream has asked for as time before the next connection, in milliseconds.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// The id to resume after, as of the last blank line; empty if there was none. Events without data move it too.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// How many bytes `next` adds to a line break that began with CR: one or none.
    fn swallow_line_feed(&mut self, next: u8) -> usize {
        match mem::replace(&mut self.ending, Ending::Complete) {
            Ending::Return if next == b'\n' => {
                self.offset += 1;
                1
            }
            Ending::Return | Ending::Complete => 0,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        let room = SSE_LINE_BYTES - self.line.len();
        if room < bytes.len() {
            return Err(SseError::LineTooLong { offset: self.offset + room as u64 });
        }
        self.line.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Event>, SseError> {
        let mut line = mem::take(&mut self.line);
        let start = match mem::replace(&mut self.place, Place::Later) {
            Place::FirstLine if line.starts_with(BYTE_ORDER_MARK) => BYTE_ORDER_MARK.len(),
            Place::FirstLine | Place::Later => 0,
        };
        let outcome = match &line[start..] {
            [] => Ok(self.dispatch()),
            // A line that begins with a colon is a comment: a field without a name, like any unknown one.
            text => self.field(&String::from_utf8_lossy(text)).map(|()| None),
        };
        // The line goes, its allocation stays.
        line.clear();
        self.line = line;
        outcome
    }

    fn field(&mut self, line: &str) -> Result<(), SseError> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.name),
            "data" => self.push_data(value)?,
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" => self.retry = milliseconds(value).or(self.retry),
            _ => {}
        }
        Ok(())
    }

    /// The LF after each line is kept until the dispatch: it tells an empty line of data from no data.
    fn push_data(&mut self, value: &str) -> Result<(), SseError> {
        if SSE_EVENT_BYTES < self.data.len() + value.len() {
            return Err(SseError::EventTooLong { offset: self.offset });
        }
        self.data.push_str(value);
        self.data.push('\n');
        Ok(())
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.id.clone_into(&mut self.last_event_id);
        let mut data = mem::take(&mut self.data);
        let mut name = mem::take(&mut self.name);
        data.pop()?;
        if name.is_empty() {
            DEFAULT_NAME.clone_into(&mut name);
        }
        Some(Event { id: self.id.clone(), name, data })
    }
}

/// Digits and nothing else; more than a u64 holds is as good as forever.
fn milliseconds(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'9' => Some(number.saturating_mul(10).saturating_add(u64::from(byte - b'0'))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_in_pieces(stream: &[u8], size: usize) -> (Vec<Event>, Reader) {
        let mut reader = Reader::new();
        let mut events = Vec::new();
        for mut piece in stream.chunks(size) {
            while !piece.is_empty() {
                let (used, event) = reader.feed(piece).unwrap();
                assert!(0 < used && (event.is_some() || used == piece.len()));
                events.extend(event);
                piece = &piece[used..];
            }
        }
        (events, reader)
    }

    /// Whole, byte by byte and in threes; with an incomplete event trailing, which must change nothing.
    #[track_caller]
    fn check(stream: impl AsRef<[u8]>, want: &[(&str, &str, &str)]) {
        let stream = stream.as_ref();
        let trailing = [stream, b"id: lost\nevent: lost\ndata: lost\n"].concat();
        for (stream, size) in
            [(stream, usize::MAX), (stream, 1), (stream, 3), (&trailing, usize::MAX), (&trailing, 1)]
        {
            let (events, reader) = read_in_pieces(stream, size);
            let got: Vec<_> =
                events.iter().map(|event| (&event.id[..], &event.name[..], &event.data[..])).collect();
            assert_eq!(got, want, "in pieces of {size}");
            assert_ne!(reader.last_event_id(), "lost");
        }
    }

    #[test]
    fn streams() {
        check("", &[]);
        check("data: a\n\n", &[("", "message", "a")]);
        check("data:a\n\n", &[("", "message", "a")]);
        check("data:  a\n\n", &[("", "message", " a")]);
        check("data: a:b\n\n", &[("", "message", "a:b")]);
        check("data\n\n", &[("", "message", "")]);
        check("data\ndata\n\n", &[("", "message", "\n")]);
        check("data: a\ndata: b\n\n", &[("", "message", "a\nb")]);
        check("event: x\ndata: a\n\ndata: b\n\n", &[("", "x", "a"), ("", "message", "b")]);
        check("id: 1\ndata: a\n\ndata: b\n\n", &[("1", "message", "a"), ("1", "message", "b")]);
        check("id: 1\ndata: a\n\nid\ndata: b\n\n", &[("1", "message", "a"), ("", "message", "b")]);
        check(": comment\n\n:\n\ndata: a\n:\ndata: b\n\n", &[("", "message", "a\nb")]);
        check("unknown: x\nDATA: x\ndata : x\n data: x\ndata: a\n\n", &[("", "message", "a")]);
        check("\n\n\ndata: a\n\n\n\n", &[("", "message", "a")]);
    }

    /// The examples of section 9.2.6.
    #[test]
    fn examples_of_the_standard() {
        check("data: YHOO\ndata: +2\ndata: 10\n\n", &[("", "message", "YHOO\n+2\n10")]);
        check(
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            &[
                ("1", "message", "first event"),
                ("", "message", "second event"),
                ("", "message", " third event"),
            ],
        );
        check("data\n\ndata\ndata\n\ndata:", &[("", "message", ""), ("", "message", "\n")]);
        check("data:test\n\ndata: test\n\n", &[("", "message", "test"), ("", "message", "test")]);
    }

    #[test]
    fn line_breaks() {
        for stream in [
            "id: 1\ndata: a\n\ndata: b\n\n",
            "id: 1\rdata: a\r\rdata: b\r\r",
            "id: 1\r\ndata: a\r\n\r\ndata: b\r\n\r\n",
            "id: 1\ndata: a\r\n\rdata: b\n\r",
            "id: 1\r\ndata: a\r\r\ndata: b\n\r\n",
        ] {
            check(stream, &[("1", "message", "a"), ("1", "message", "b")]);
        }
    }

    /// A CR dispatches although nobody knows what follows; the LF that does is not a second blank line.
    #[test]
    fn return_at_the_end_of_a_buffer() {
        let mut reader = Reader::new();
        let (used, event) = reader.feed(b"data: a\r\n\r").unwrap();
        assert_eq!((used, event.unwrap().data), (10, "a".to_string()));
        assert_eq!(reader.feed(b"\n").unwrap(), (1, None));
        assert_eq!(reader.feed(b"data: b\r").unwrap(), (8, None));
        assert_eq!(reader.feed(b"").unwrap(), (0, None));
        assert_eq!(reader.feed(b"\n").unwrap(), (1, None));
        assert_eq!(reader.feed(b"\nrest").unwrap().0, 1);
    }

    #[test]
    fn byte_order_mark() {
        check("\u{FEFF}data: a\n\n", &[("", "message", "a")]);
        check("\u{FEFF}\ndata: a\n\n", &[("", "message", "a")]);
        check("\u{FEFF}\u{FEFF}data: a\n\n", &[]);
        check("\n\u{FEFF}data: a\n\n", &[]);
        check("data: \u{FEFF}\n\n", &[("", "message", "\u{FEFF}")]);
    }

    #[test]
    fn attacks() {
        check("id: a\0b\ndata: a\n\n", &[("", "message", "a")]);
        check("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", &[("1", "message", "a"), ("1", "message", "b")]);
        check(b"data: \xFF\xC3\n\n", &[("", "message", "\u{FFFD}\u{FFFD}")]);
        check(b"data: \xE2\x82\ndata: \xAC\n\n", &[("", "message", "\u{FFFD}\n\u{FFFD}")]);
        check("data: \0\u{85}\u{2028}\u{B}\n\n", &[("", "message", "\0\u{85}\u{2028}\u{B}")]);
    }

    #[test]
    fn event_without_data_moves_the_id_and_drops_the_name() {
        let stream = b"id: 7\nevent: x\n\n";
        let (events, reader) = read_in_pieces(stream, 1);
        assert_eq!((events.len(), reader.last_event_id()), (0, "7"));
        check([&stream[..], b"data: a\n\n"].concat(), &[("7", "message", "a")]);
        let (_, reader) = read_in_pieces(b"id: 7\n", 1);
        assert_eq!(reader.last_event_id(), "", "not before the blank line");
    }

    #[test]
    fn retry() {
        for (stream, want) in [
            ("retry: 3000\n", Some(3000)),
            ("retry:0\n", Some(0)),
            ("retry: 1\nretry: x\n", Some(1)),
            ("retry: 18446744073709551616\n", Some(u64::MAX)),
            ("retry: +1\n", None),
            ("retry: 1 \n", None),
            ("retry:  1\n", None),
            ("retry: 1.5\n", None),
            ("retry\n", None),
            ("retry: 3000", None),
        ] {
            assert_eq!(read_in_pieces(stream.as_bytes(), 2).1.retry(), want, "{stream:?}");
        }
    }

    #[test]
    fn limits() {
        let longest = [b"data: ", &[b'a'; SSE_LINE_BYTES - 6][..], b"\n\n"].concat();
        assert_eq!(read_in_pieces(&longest, 1000).0.len(), 1);
        let endless = [b':'; SSE_LINE_BYTES + 1];
        let too_long = Err(SseError::LineTooLong { offset: SSE_LINE_BYTES as u64 });
        assert_eq!(Reader::new().feed(&endless), too_long);
        let mut reader = Reader::new();
        reader.feed(&endless[1..]).unwrap();
        assert_eq!(reader.feed(b"::"), too_long);

        let mut reader = Reader::new();
        let flood = std::iter::repeat_n(b"data: 0123456789\n", SSE_EVENT_BYTES / 10);
        let error = flood.map(|line| reader.feed(line)).find_map(Result::err);
        assert!(matches!(error, Some(SseError::EventTooLong { .. })), "{error:?}");
        let mut reader = Reader::new();
        let empty_lines = std::iter::repeat_n(b"data\n", SSE_EVENT_BYTES + 2);
        assert!(empty_lines.map(|line| reader.feed(line)).any(|fed| fed.is_err()), "empty lines count too");
    }

    #[test]
    fn written_is_read() {
        for (id, name, data) in [
            (Some("e-1"), "download", r#"{"path":"a"}"#),
            (None, "", ""),
            (Some(""), "x", "a\n\n b\n"),
            (Some(" 1"), " x", " a"),
            (Some(":"), "data", "id: 2\n\nevent: y"),
            (None, "ü", "\u{FEFF}\0"),
        ] {
            let text = encode_event(id, name, data).unwrap();
            let read_name = if name.is_empty() { "message" } else { name };
            check(
                [HEARTBEAT, &text, &encode_retry(5), &text].concat(),
                &[(id.unwrap_or(""), read_name, data); 2],
            );
        }
        assert_eq!(
            encode_event(Some("e-1"), "stored", "{}").unwrap(),
            b"id: e-1\nevent: stored\ndata: {}\n\n"
        );
        assert_eq!(encode_retry(2500), b"retry: 2500\n\n");
    }

    #[test]
    fn unwritable() {
        for (id, name, data, field, offset) in [
            ("1\n", "x", "", "id", 1),
            ("1\rdata: x", "x", "", "id", 1),
            ("\0", "x", "", "id", 0),
            ("1", "x\n\n", "", "event", 1),
            ("1", "x\r", "", "event", 1),
            ("1", "xy\0", "", "event", 2),
            ("1", "x", "a\nb\r", "data", 1),
        ] {
            assert_eq!(encode_event(Some(id), name, data), Err(SseError::Unwritable { field, offset }));
        }
        let long = "a".repeat(SSE_EVENT_BYTES + 1);
        let too_long = |text| matches!(encode_event(None, "x", text), Err(SseError::EventTooLong { .. }));
        assert!(too_long(&long));
        assert!(matches!(encode_event(None, "x", &long[1..]), Err(SseError::LineTooLong { .. })));
        assert!(encode_event(None, "x", &long[7..]).is_ok());
    }
}
