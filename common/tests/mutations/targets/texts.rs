//! Texts that anything may be in: JSON, event streams, tokens, base64.

use std::io::{self, Read};

use common::limits::{SSE_EVENT_BYTES, TOKEN_BYTES};
use common::wire::base64::{decode, decode_url, encode, encode_url};
use common::wire::hmac::hmac_sha256;
use common::wire::json::{self, JsonError, Number, Value, Writer};
use common::wire::jwt::{Claims, JwtError, SigningKey, mint, verify};
use common::wire::sse::{self, SseError, encode_event};

use super::first_line;

/// A source that gives one byte at a time.
pub(super) struct Drip<'a>(pub(super) &'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(1);
        self.0.read(&mut buffer[..room])
    }
}

pub(super) fn json(bytes: &[u8]) {
    let whole = json::parse(bytes);
    let dripped = parse_from(Drip(bytes));
    assert_eq!(in_words(&whole), in_words(&dripped));
    let mut reader = json::Reader::new(bytes);
    let skipped = reader.skip().and_then(|()| reader.end());
    match (&whole, skipped) {
        (Ok(_), skipped) => assert!(skipped.is_ok(), "{skipped:?}"),
        (Err(error), Ok(())) => assert!(error.is_limit(), "{error}"),
        (Err(_), Err(_)) => {}
    }
    if let Ok(value) = whole {
        let mut out = Writer::new();
        write_value(&mut out, &value);
        assert_eq!(in_words(&json::parse(&out.finish())), Ok(&value));
    }
}

fn parse_from(source: impl Read) -> Result<Value, JsonError> {
    let mut reader = json::Reader::new(source);
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}

fn in_words(result: &Result<Value, JsonError>) -> Result<&Value, String> {
    result.as_ref().map_err(JsonError::to_string)
}

fn write_value(out: &mut Writer, value: &Value) {
    match value {
        Value::Null => drop(out.null()),
        Value::Bool(truth) => drop(out.bool(*truth)),
        Value::Number(Number::Unsigned(number)) => drop(out.u64(*number)),
        Value::Number(Number::Negative(number)) => drop(out.i64(*number)),
        Value::String(text) => drop(out.string(text)),
        Value::Array(items) => {
            out.begin_array();
            items.iter().for_each(|item| write_value(out, item));
            out.end_array();
        }
        Value::Object(members) => {
            out.begin_object();
            for (key, value) in members {
                out.key(key);
                write_value(out, value);
            }
            out.end_object();
        }
    }
}

/// What a stream comes to.
#[derive(Debug, PartialEq)]
struct Heard {
    events: Vec<sse::Event>,
    last_id: String,
    retry: Option<u64>,
    error: Option<SseError>,
}

pub(super) fn sse(bytes: &[u8]) {
    let heard = hear([bytes]);
    assert_eq!(heard, hear(bytes.chunks(1)));
    for event in &heard.events {
        assert!(event.data.len() <= SSE_EVENT_BYTES, "{} bytes", event.data.len());
        match encode_event(Some(&event.id), &event.name, &event.data) {
            Ok(text) => assert_eq!(hear([text.as_slice()]).events, std::slice::from_ref(event)),
            // Readers take NUL in a name; this writer writes none.
            Err(SseError::Unwritable { field, .. }) => assert!(field == "event" && event.name.contains('\0')),
            // What is not UTF-8 is longer when it is written again, and so may be the field's name.
            Err(SseError::LineTooLong { .. } | SseError::EventTooLong { .. }) => {}
        }
    }
}

fn hear<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    let (mut reader, mut events, mut error) = (sse::Reader::new(), Vec::new(), None);
    'pieces: for mut piece in pieces {
        while !piece.is_empty() {
            match reader.feed(piece) {
                Ok((used, event)) => {
                    assert!(0 < used && used <= piece.len());
                    events.extend(event);
                    piece = &piece[used..];
                }
                Err(found) => {
                    error = Some(found);
                    break 'pieces;
                }
            }
        }
    }
    Heard { events, last_id: reader.last_event_id().to_owned(), retry: reader.retry(), error }
}

/// The first line is the header, the rest the claims; both are signed here, because nobody guesses a code.
pub(super) fn jwt(bytes: &[u8]) {
    const NAME: &str = "k1";
    const KEY: SigningKey = [7; 32];
    const NOW: u64 = 1_790_000_100;
    let read = |token: &str| verify(token, |name| (name == NAME).then_some(KEY), NOW);

    let forged = String::from_utf8_lossy(bytes);
    assert!(read(&forged).is_err(), "a token that was not signed");

    let (header, claims) = first_line(bytes);
    let signed = format!("{}.{}", encode_url(header), encode_url(claims));
    let token = format!("{signed}.{}", encode_url(&hmac_sha256(&KEY, signed.as_bytes())));
    match read(&token) {
        Ok(claims) => assert_claims(&claims, read, mint(NAME, &KEY, &claims)),
        Err(error) => {
            assert!(error != JwtError::Code && (error != JwtError::TooLong || TOKEN_BYTES < token.len()))
        }
    }
}

fn assert_claims(
    claims: &Claims,
    read: impl Fn(&str) -> Result<Claims, JwtError>,
    minted: Result<String, JwtError>,
) {
    match minted {
        Ok(token) => assert_eq!(read(&token).as_ref(), Ok(claims)),
        // The writer's escapes may be longer than those that came.
        Err(error) => assert_eq!(error, JwtError::TooLong),
    }
}

pub(super) fn base64(bytes: &[u8]) {
    assert_eq!(decode(encode(bytes)).as_deref(), Ok(bytes));
    assert_eq!(decode_url(encode_url(bytes)).as_deref(), Ok(bytes));
    if let Ok(decoded) = decode(bytes) {
        assert_eq!(encode(&decoded).as_bytes(), bytes);
    }
    if let Ok(decoded) = decode_url(bytes) {
        assert_eq!(encode_url(&decoded).as_bytes(), bytes);
    }
}
