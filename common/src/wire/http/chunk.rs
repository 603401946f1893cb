//! Chunked transfer coding (RFC 9112, section 7.1).
//!
//! ```text
//!     5 ;ext CR LF  hello CR LF  0 CR LF  name: value CR LF  CR LF
//!     ^^^^^^^^^^^^  ^^^^^        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
//!     Data(5)       content      Last(trailers)
//! ```
//!
//! The decoder never sees content. It answers how many bytes of it come next, the caller moves them wherever they are to go, without
//! a copy through here, and asks again; the CR LF after the content is then the first thing the decoder looks at. The last chunk and its
//! trailers are one step, so between steps there is only one thing to remember: whether content came before.
//!
//! Format notes:
//! - A size is `1*HEXDIG`: no sign, no `0x`, no blanks, no `_`. Sixteen digits hold any size; more are refused, leading zeros or not.
//! - Extensions are skipped, and held by two limits: of a line, and of all margins together.
//! - A trailer must not change what the head said about framing, routing or credentials (RFC 9110, section 6.5.1): refused.
//!
//! Deviation: the grammar allows blanks before the `;` of an extension. Nobody sends them but attackers.

use super::fields::{Fields, ObsText, parse_fields};
use super::head::HeadError;
use crate::limits::{CHUNK_LINE_BYTES, CHUNK_MARGIN_BYTES};
use std::fmt;

/// What ends a chunk's content.
pub const CHUNK_TAIL: &[u8] = b"\r\n";

/// Sixteen hexadecimal digits hold any `u64`.
const SIZE_DIGITS: usize = 16;

/// Fields that decide how a message is read, and so come before its body or not at all.
const NOT_IN_TRAILERS: [&str; 21] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a step of the decoder finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// So many bytes of content come next, at least one.
    Data(u64),
    /// The body is over.
    Last(Fields),
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// The size is not `1*16HEXDIG`, or something other than an extension follows it.
    BadSize,
    /// The line with the size is longer than [`CHUNK_LINE_BYTES`].
    LineTooLong,
    /// All extensions and trailers together are longer than [`CHUNK_MARGIN_BYTES`].
    MarginTooLarge,
    /// A line, or a chunk's content, does not end with CR LF.
    MissingCrLf,
    /// The trailer section is malformed.
    BadTrailer(HeadError),
    /// A trailer that may stand in a head only.
    ForbiddenTrailer {
        /// The field, in lower case.
        name: String,
    },
}

impl ChunkError {
    /// The status a server answers with.
    pub fn status(&self) -> u16 {
        match self {
            ChunkError::BadTrailer(error) => error.status(),
            _ => 400,
        }
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChunkError::BadSize => f.write_str("bad chunk size"),
            ChunkError::LineTooLong => f.write_str("the line of a chunk's size is too long"),
            ChunkError::MarginTooLarge => f.write_str("too many bytes of chunk extensions and trailers"),
            ChunkError::MissingCrLf => f.write_str("a chunk does not end with CR LF"),
            ChunkError::BadTrailer(error) => write!(f, "bad trailer: {error}"),
            ChunkError::ForbiddenTrailer { name } => write!(f, "the field {name} may not be a trailer"),
        }
    }
}

impl std::error::Error for ChunkError {}

/// What the decoder has to see first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// A chunk's size: nothing came before.
    Size,
    /// The CR LF that ends the content of the chunk before.
    ContentEnd,
}

/// Reads the margins of a chunked body.
#[derive(Debug)]
pub struct ChunkDecoder {
    before: Before,
    /// Bytes of extensions and trailers so far.
    margin: usize,
}

impl ChunkDecoder {
    /// For the start of a body.
    pub fn new() -> ChunkDecoder {
        ChunkDecoder { before: Before::Size, margin: 0 }
    }

    /// The next chunk, and how many bytes of margin to consume. After [`Chunk::Data`], exactly that many bytes of content have to be
    /// taken from the input before the next call. After an error or [`Chunk::Last`] there is no next call.
    pub fn step(&mut self, input: &[u8]) -> Result<Option<(Chunk, usize)>, ChunkError> {
        let start = match self.before {
            Before::Size => 0,
            Before::ContentEnd => match input {
                [b'\r', b'\n', ..] => CHUNK_TAIL.len(),
                [] | [b'\r'] => return Ok(None),
                _ => return Err(ChunkError::MissingCrLf),
            },
        };
        let Some(line) = parse_size_line(&input[start..])? else { return Ok(None) };
        let content = start + line.used;
        let (chunk, used) = match line.size {
            0 => match parse_trailers(&input[content..])? {
                None => return Ok(None),
                Some((trailers, bytes)) => (Chunk::Last(trailers), content + bytes),
            },
            size => (Chunk::Data(size), content),
        };
        self.margin += line.extension + (used - content);
        if CHUNK_MARGIN_BYTES < self.margin {
            return Err(ChunkError::MarginTooLarge);
        }
        self.before = Before::ContentEnd;
        Ok(Some((chunk, used)))
    }
}

impl Default for ChunkDecoder {
    fn default() -> ChunkDecoder {
        ChunkDecoder::new()
    }
}

struct SizeLine {
    size: u64,
    /// Bytes between the size and CR LF.
    extension: usize,
    /// Bytes of the whole line.
    used: usize,
}

/// ```text
/// chunk-size [ ";" extension ] CR LF
/// ```
fn parse_size_line(input: &[u8]) -> Result<Option<SizeLine>, ChunkError> {
    let digits = input.iter().take(SIZE_DIGITS).take_while(|byte| byte.is_ascii_hexdigit()).count();
    match input.get(digits) {
        None => return Ok(None),
        Some(b'\r' | b';') if 0 < digits => {}
        Some(_) => return Err(ChunkError::BadSize),
    }
    let size = input[..digits].iter().fold(0u64, |size, &digit| size << 4 | hex_value(digit));
    for (offset, &byte) in input.iter().enumerate().take(CHUNK_LINE_BYTES).skip(digits) {
        match byte {
            b'\r' => match input.get(offset + 1) {
                None => return Ok(None),
                Some(b'\n') if offset + 2 <= CHUNK_LINE_BYTES => {
                    return Ok(Some(SizeLine { size, extension: offset - digits, used: offset + 2 }));
                }
                Some(b'\n') => return Err(ChunkError::LineTooLong),
                Some(_) => return Err(ChunkError::MissingCrLf),
            },
            b'\t' | b' '..=b'~' => {}
            _ => return Err(ChunkError::BadSize),
        }
    }
    if input.len() < CHUNK_LINE_BYTES { Ok(None) } else { Err(ChunkError::LineTooLong) }
}

/// The value of a byte that is a hexadecimal digit.
fn hex_value(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    })
}

fn parse_trailers(input: &[u8]) -> Result<Option<(Fields, usize)>, ChunkError> {
    let parsed = parse_fields(input, 0, ObsText::Refuse).map_err(ChunkError::BadTrailer)?;
    let Some((trailers, used)) = parsed else { return Ok(None) };
    match forbidden_trailer(&trailers) {
        Some(name) => Err(ChunkError::ForbiddenTrailer { name: name.to_owned() }),
        None => Ok(Some((trailers, used))),
    }
}

fn forbidden_trailer(trailers: &Fields) -> Option<&str> {
    trailers.iter().map(|(name, _)| name).find(|name| NOT_IN_TRAILERS.contains(name))
}

/// The line before a chunk's content, for a content of at least one byte: none would end the body.
pub fn chunk_head(length: u64) -> Vec<u8> {
    debug_assert!(0 < length, "an empty chunk ends the body");
    format!("{length:x}\r\n").into_bytes()
}

/// The last chunk with its trailers.
pub fn last_chunk(trailers: &Fields) -> Result<Vec<u8>, HeadError> {
    if forbidden_trailer(trailers).is_some() {
        return Err(HeadError::Unwritable { what: "trailer" });
    }
    let mut out = b"0\r\n".to_vec();
    trailers.encode(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::check_every_cut;
    use super::*;

    /// Decodes a whole body, which the decoder gets in pieces of `piece` bytes. `None`: the body is not complete.
    fn decode(body: &[u8], piece: usize) -> Result<Option<(Vec<u8>, Fields, usize)>, ChunkError> {
        let mut decoder = ChunkDecoder::new();
        let (mut content, mut left) = (Vec::new(), 0u64);
        let (mut at, mut end) = (0, 0);
        loop {
            let take = (end - at).min(usize::try_from(left).unwrap_or(usize::MAX));
            content.extend_from_slice(&body[at..at + take]);
            at += take;
            left -= take as u64;
            if left == 0 {
                match decoder.step(&body[at..end])? {
                    Some((Chunk::Data(size), used)) => {
                        (left, at) = (size, at + used);
                        continue;
                    }
                    Some((Chunk::Last(trailers), used)) => return Ok(Some((content, trailers, at + used))),
                    None => {}
                }
            }
            if end == body.len() {
                return Ok(None);
            }
            end = (end + piece).min(body.len());
        }
    }

    #[track_caller]
    fn check(body: impl AsRef<[u8]>, want: Result<(&str, Fields), ChunkError>) {
        let want = want.map(|(content, trailers)| (content.as_bytes().to_vec(), trailers));
        for piece in [1, 2, 3, 7, usize::MAX / 2] {
            let decode = |body: &[u8]| {
                Ok(decode(body, piece)?.map(|(content, trailers, used)| ((content, trailers), used)))
            };
            check_every_cut(decode, body.as_ref(), &want);
        }
    }

    #[test]
    fn bodies() {
        let none = Fields::new();
        check("0\r\n\r\n", Ok(("", none.clone())));
        check("0000000000000000\r\n\r\n", Ok(("", none.clone())));
        check("5\r\nhello\r\n0\r\n\r\n", Ok(("hello", none.clone())));
        check("1\r\na\r\n0A\r\n0123456789\r\n0\r\n\r\n", Ok(("a0123456789", none.clone())));
        check("2;a=b;c=\"d e\"\r\n\r\n\r\n0;x\r\n\r\n", Ok(("\r\n", none.clone())));
        check("0\r\nA: b\r\n\r\n", Ok(("", none.with("a", "b"))));
    }

    #[test]
    fn sizes() {
        let step = |input: &[u8]| ChunkDecoder::new().step(input);
        check_every_cut(step, b"ffffffffffffffff\r\n", &Ok(Chunk::Data(u64::MAX)));
        check_every_cut(step, b"aBc\r\n", &Ok(Chunk::Data(0xabc)));
    }

    #[test]
    fn attacks() {
        for line in [
            "",
            "0x5",
            "+5",
            "-5",
            " 5",
            "5 ",
            "5 ;a",
            "5\t",
            "5_0",
            "g",
            ";a",
            "5\0",
            "5;\0",
            "5;\u{b}",
            "5;ä",
            "00000000000000005",
            "fffffffffffffffff",
            "5\n",
        ] {
            check(format!("{line}\r\nhello\r\n0\r\n\r\n"), Err(ChunkError::BadSize));
        }
        check("5;\n\r\nhello\r\n0\r\n\r\n", Err(ChunkError::BadSize));
        check("5\r\rhello\r\n0\r\n\r\n", Err(ChunkError::MissingCrLf));
        check("5\r\nhello0\r\n\r\n", Err(ChunkError::MissingCrLf));
        check("5\r\nhello\n0\r\n\r\n", Err(ChunkError::MissingCrLf));
        check("5\r\nhello\rX0\r\n\r\n", Err(ChunkError::MissingCrLf));
        check("5\r\nhello!\r\n0\r\n\r\n", Err(ChunkError::MissingCrLf));
        check("5\r\nhello\r\n\r\n", Err(ChunkError::BadSize));
        let bad = |offset, expected| Err(ChunkError::BadTrailer(HeadError::Malformed { offset, expected }));
        check("0\r\na : b\r\n\r\n", bad(1, "a field name and a colon"));
        check("0\r\na: b\n\r\n", bad(4, "CR before LF"));
        for name in ["Content-Length", "TRANSFER-ENCODING", "host", "Authorization", "trailer"] {
            let forbidden = ChunkError::ForbiddenTrailer { name: name.to_ascii_lowercase() };
            check(format!("0\r\n{name}: 5\r\n\r\n"), Err(forbidden));
        }
    }

    #[test]
    fn limits() {
        let line = |bytes: usize| format!("1;{}\r\n", "x".repeat(bytes - 4));
        let body = |line: &str| format!("{line}a\r\n0\r\n\r\n");
        check(body(&line(CHUNK_LINE_BYTES)), Ok(("a", Fields::new())));
        check(body(&line(CHUNK_LINE_BYTES + 1)), Err(ChunkError::LineTooLong));
        assert_eq!(decode(line(64 * 1024).as_bytes(), 1000), Err(ChunkError::LineTooLong));

        let chunk = line(CHUNK_LINE_BYTES) + "a\r\n";
        let most = CHUNK_MARGIN_BYTES / (CHUNK_LINE_BYTES - 3);
        assert!(decode((chunk.repeat(most) + "0\r\n\r\n").as_bytes(), 1000).is_ok());
        assert_eq!(decode(chunk.repeat(most + 1).as_bytes(), 1000), Err(ChunkError::MarginTooLarge));

        let trailers = "a: b\r\n".repeat(1000);
        let error = decode(format!("0\r\n{trailers}\r\n").as_bytes(), 1000).unwrap_err();
        assert_eq!((error.status(), error), (431, ChunkError::BadTrailer(HeadError::TooManyFields)));
    }

    #[test]
    fn a_million_bytes_in_a_million_chunks() {
        let body = "1\r\na\r\n".repeat(1_000_000) + "0\r\n\r\n";
        assert_eq!(decode(body.as_bytes(), 1 << 16).unwrap().unwrap().0.len(), 1_000_000);
    }

    #[test]
    fn what_is_written_is_read() {
        let trailers = Fields::new().with("repr-digest", "sha-256=:AA==:");
        let body = [&chunk_head(5)[..], b"hello", CHUNK_TAIL, &last_chunk(&trailers).unwrap()].concat();
        check(body, Ok(("hello", trailers)));
        assert!(last_chunk(&Fields::new().with("host", "a")).is_err());
        assert!(last_chunk(&Fields::new().with("a", "\n")).is_err());
    }
}
