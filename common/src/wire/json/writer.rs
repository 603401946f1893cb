//! Writes JSON (RFC 8259), on one line: no byte of the output is a line break, so it can be the data of an event or a line of a log.
//!
//! The writer places commas and escapes; that every key has its value and every beginning its end is up to the caller, and checked in
//! debug builds.

use std::mem;

/// Room that a text has from the beginning. It may grow.
const USUAL_BYTES: usize = 256;

/// Builds one JSON text from its beginning to its end.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    open: Vec<Container>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

/// What has been written last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nothing, or the beginning of a container.
    #[default]
    Start,
    AfterKey,
    AfterValue,
}

impl Writer {
    /// A writer that has written nothing, with room for what most texts have: an object about one file.
    pub fn new() -> Self {
        Self { out: Vec::with_capacity(USUAL_BYTES), ..Self::default() }
    }

    /// `{`
    pub fn begin_object(&mut self) -> &mut Self {
        self.begin(Container::Object, b'{')
    }

    /// `}`
    pub fn end_object(&mut self) -> &mut Self {
        self.end(Container::Object, b'}')
    }

    /// `[`
    pub fn begin_array(&mut self) -> &mut Self {
        self.begin(Container::Array, b'[')
    }

    /// `]`
    pub fn end_array(&mut self) -> &mut Self {
        self.end(Container::Array, b']')
    }

    /// A key; its value comes next. Keys must be distinct.
    pub fn key(&mut self, key: &str) -> &mut Self {
        debug_assert!(
            self.open.last() == Some(&Container::Object) && self.place != Place::AfterKey,
            "key {key:?}"
        );
        self.comma();
        self.quote(key);
        self.out.push(b':');
        self.place = Place::AfterKey;
        self
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.value(|writer| writer.quote(text))
    }

    /// A number.
    pub fn u64(&mut self, number: u64) -> &mut Self {
        self.value(|writer| writer.out.extend_from_slice(number.to_string().as_bytes()))
    }

    /// A number.
    pub fn i64(&mut self, number: i64) -> &mut Self {
        self.value(|writer| writer.out.extend_from_slice(number.to_string().as_bytes()))
    }

    /// `true` or `false`
    pub fn bool(&mut self, truth: bool) -> &mut Self {
        self.value(|writer| writer.out.extend_from_slice(if truth { b"true" } else { b"false" }))
    }

    /// `null`
    pub fn null(&mut self) -> &mut Self {
        self.value(|writer| writer.out.extend_from_slice(b"null"))
    }

    /// A key and its string.
    pub fn field_str(&mut self, key: &str, text: &str) -> &mut Self {
        self.key(key).string(text)
    }

    /// A key and its number.
    pub fn field_u64(&mut self, key: &str, number: u64) -> &mut Self {
        self.key(key).u64(number)
    }

    /// A key and its number.
    pub fn field_i64(&mut self, key: &str, number: i64) -> &mut Self {
        self.key(key).i64(number)
    }

    /// A key and its truth value.
    pub fn field_bool(&mut self, key: &str, truth: bool) -> &mut Self {
        self.key(key).bool(truth)
    }

    /// A key and `null`.
    pub fn field_null(&mut self, key: &str) -> &mut Self {
        self.key(key).null()
    }

    /// The text. The writer is as new afterwards.
    pub fn finish(&mut self) -> Vec<u8> {
        debug_assert!(self.open.is_empty() && self.place == Place::AfterValue, "unfinished text");
        mem::take(self).out
    }

    /// Takes what is written so far, to send a long text in pieces. Writing goes on where it was; [`finish`](Self::finish) returns the
    /// last piece.
    pub fn take_written(&mut self) -> Vec<u8> {
        mem::take(&mut self.out)
    }

    /// How many bytes wait to be taken.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    fn begin(&mut self, container: Container, bracket: u8) -> &mut Self {
        self.value(|writer| writer.out.push(bracket));
        self.open.push(container);
        self.place = Place::Start;
        self
    }

    fn end(&mut self, container: Container, bracket: u8) -> &mut Self {
        let opened = self.open.pop();
        debug_assert!(opened == Some(container) && self.place != Place::AfterKey, "end of {container:?}");
        self.out.push(bracket);
        self.place = Place::AfterValue;
        self
    }

    fn value(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        debug_assert!(
            match self.open.last() {
                None => self.place == Place::Start,
                Some(Container::Array) => true,
                Some(Container::Object) => self.place == Place::AfterKey,
            },
            "a value out of turn"
        );
        self.comma();
        write(self);
        self.place = Place::AfterValue;
        self
    }

    fn comma(&mut self) {
        if self.place == Place::AfterValue {
            self.out.push(b',');
        }
    }

    fn quote(&mut self, text: &str) {
        self.out.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(plain) = rest.iter().position(|&byte| is_escaped(byte)) {
            let byte = rest[plain];
            self.out.extend_from_slice(&rest[..plain]);
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                _ => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            }
            rest = &rest[plain + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }
}

/// What does not stand for itself in a string.
fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0x00..=0x1F | 0x7F)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::{Number, Value, parse};

    #[track_caller]
    fn check(writer: &mut Writer, want: &str) {
        assert_eq!(String::from_utf8(writer.finish()).unwrap(), want);
    }

    #[test]
    fn texts() {
        check(Writer::new().null(), "null");
        check(Writer::new().begin_object().end_object(), "{}");
        check(Writer::new().begin_array().end_array(), "[]");
        check(
            Writer::new().begin_array().u64(1).bool(true).null().string("").end_array(),
            r#"[1,true,null,""]"#,
        );
        check(
            Writer::new()
                .begin_object()
                .field_str("a", "b")
                .field_u64("u", u64::MAX)
                .field_i64("i", i64::MIN)
                .field_bool("t", false)
                .field_null("n")
                .key("o")
                .begin_object()
                .end_object()
                .key("l")
                .begin_array()
                .begin_array()
                .end_array()
                .begin_object()
                .end_object()
                .end_array()
                .end_object(),
            r#"{"a":"b","u":18446744073709551615,"i":-9223372036854775808,"t":false,"n":null,"o":{},"l":[[],{}]}"#,
        );
    }

    #[test]
    fn strings_are_escaped_and_come_back() {
        check(
            Writer::new().string("\"\\/\n\r\t\0\x1B\x7Fü\u{2028}"),
            "\"\\\"\\\\/\\n\\r\\t\\u0000\\u001b\\u007fü\u{2028}\"",
        );
        for character in ('\0'..='\u{3000}').chain(['\u{FFFF}', '\u{10000}', '\u{10FFFF}']) {
            let text = character.to_string();
            let written = Writer::new().begin_object().field_str(&text, &text).end_object().finish();
            assert!(!written.iter().any(|byte| byte.is_ascii_control()), "{character:?}");
            assert_eq!(parse(&written).unwrap(), Value::Object(vec![(text.clone(), Value::String(text))]));
        }
    }

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, (1 << 53) + 1, u64::MAX] {
            assert_eq!(
                parse(&Writer::new().u64(number).finish()).unwrap(),
                Value::Number(Number::Unsigned(number))
            );
        }
        for number in [i64::MIN, -1] {
            assert_eq!(
                parse(&Writer::new().i64(number).finish()).unwrap(),
                Value::Number(Number::Negative(number))
            );
        }
    }

    #[test]
    fn a_text_in_pieces() {
        let mut writer = Writer::new();
        let mut text = writer.begin_array().u64(1).take_written();
        writer.u64(2);
        assert_eq!(writer.written(), 2);
        text.extend(writer.take_written());
        text.extend(writer.end_array().finish());
        assert_eq!(text, b"[1,2]");
    }

    #[test]
    fn misuse_is_caught() {
        for misuse in [
            |writer: &mut Writer| {
                _ = writer.begin_object().u64(1);
            },
            |writer| {
                _ = writer.begin_array().key("a");
            },
            |writer| {
                _ = writer.begin_object().key("a").end_object();
            },
            |writer| {
                _ = writer.begin_object().end_array();
            },
            |writer| {
                _ = writer.null().null();
            },
            |writer| {
                _ = writer.begin_object().finish();
            },
            |writer| {
                _ = writer.finish();
            },
        ] as [fn(&mut Writer); 7]
        {
            let caught = std::panic::catch_unwind(|| misuse(&mut Writer::new()));
            assert!(caught.is_err() || !cfg!(debug_assertions));
        }
    }
}
