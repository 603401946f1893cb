//! HTTP: heads, what their fields say, targets, chunks, and a request as a whole.

use common::limits::{HEAD_BYTES, HEAD_FIELDS, TARGET_BYTES};
use common::protocol::{Cursor, parse_mode, parse_mtime, path_from_wire, path_to_wire};
use common::tree::Tag;
use common::wire::http::chunk::{Chunk, ChunkDecoder, chunk_head, last_chunk};
use common::wire::http::conditional::{EntityTag, evaluate, if_range, listed_tags, write_precondition};
use common::wire::http::date::{format_date, parse_date};
use common::wire::http::digest::{format_digest, parse_digest, repr_digest};
use common::wire::http::fields::{Fields, parse_decimal};
use common::wire::http::framing::{Framing, request_framing, response_framing};
use common::wire::http::head::{
    HeadError, Method, RequestHead, Version, check_host, encode_request, encode_response, parse_request,
    parse_response,
};
use common::wire::http::range::{
    ContentRange, RangeRequest, content_range, parse_content_range, parse_range,
};
use common::wire::http::retry::retry_after;
use common::wire::http::uri::{
    parse_authority, percent_decode, percent_encode_path, query_pairs, split_target,
};

/// Longest input that is also read from each of its beginnings, in bytes: that takes the square of its length.
const SHORT: usize = 1024;

/// All that is asked of a request before anybody knows what it is about: its head, its fields, its target, and where its body ends.
pub(super) fn request(bytes: &[u8]) {
    let parsed = parse_request(bytes);
    assert_same_in_pieces(bytes, &parsed, parse_request);
    let Ok(Some((head, used))) = parsed else { return };
    assert!(used <= bytes.len() && used <= HEAD_BYTES && head.target.len() <= TARGET_BYTES);
    assert!(head.fields.len() <= HEAD_FIELDS);
    match encode_request(head.method, &head.target, &head.fields) {
        Ok(text) => {
            let (again, _) = parse_request(&text).expect("it was written").expect("it is complete");
            assert_eq!(again, RequestHead { version: Version::Http11, ..head.clone() });
        }
        // A blank behind a colon may be one more than there was.
        Err(error) => assert_eq!(error, HeadError::TooLarge),
    }
    let _ = (check_host(&head), head.keep_alive());
    ask(&head);
    target(head.target.as_bytes());
    if let Ok(Framing::Chunked) = request_framing(&head) {
        assert_eq!(head.version, Version::Http11);
        assert!(head.fields.get("content-length").is_none(), "two ways to find the end of a body");
        chunked(&bytes[used..]);
    }
}

/// What handlers ask of a head.
fn ask(head: &RequestHead) {
    const ETAG: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let fields = &head.fields;
    let _ = evaluate(head.method, fields, Some(ETAG), Some(1_700_000_000));
    let _ = evaluate(head.method, fields, None, None);
    let _ = (write_precondition(fields), listed_tags(fields, "if-match"), retry_after(fields));
    let _ = (if_range(fields, Some(ETAG), Some(1_700_000_000)), repr_digest(fields));
    fields.iter().for_each(|(_, value)| text(value));
}

pub(super) fn response(bytes: &[u8]) {
    let parsed = parse_response(bytes);
    assert_same_in_pieces(bytes, &parsed, parse_response);
    let Ok(Some((head, used))) = parsed else { return };
    assert!(used <= bytes.len() && used <= HEAD_BYTES && head.fields.len() <= HEAD_FIELDS);
    assert!((100..=599).contains(&head.status));
    match encode_response(head.status, &head.fields) {
        Ok(text) => {
            let (again, _) = parse_response(&text).expect("it was written").expect("it is complete");
            assert_eq!((again.status, again.fields), (head.status, head.fields.clone()));
        }
        Err(HeadError::Unwritable { .. }) => assert!(!bytes[..used].is_ascii()),
        Err(error) => assert_eq!(error, HeadError::TooLarge),
    }
    let _ = (head.keep_alive(), retry_after(&head.fields));
    if let Ok(Framing::Chunked) = response_framing(Method::Get, &head) {
        chunked(&bytes[used..]);
    }
}

/// However much of a message has come: what is found is what the whole holds, and an error is never taken back.
fn assert_same_in_pieces<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    whole: &Result<Option<T>, HeadError>,
    parse: fn(&[u8]) -> Result<Option<T>, HeadError>,
) {
    for end in 0..bytes.len().min(SHORT) {
        match parse(&bytes[..end]) {
            Ok(None) => {}
            Ok(found) => assert_eq!(Ok(&found), whole.as_ref(), "of the first {end} bytes"),
            Err(error) => assert!(whole.is_err(), "{error}, of the first {end} bytes"),
        }
    }
}

/// What a chunked body holds, as far as it goes, and how it ends.
#[derive(Debug, PartialEq)]
struct Unchunked {
    content: Vec<u8>,
    end: End,
}

#[derive(Debug, PartialEq)]
enum End {
    Missing,
    Broken,
    Trailers(Fields),
}

pub(super) fn chunked(bytes: &[u8]) {
    let whole = unchunk(bytes, bytes.len());
    assert!(whole.content.len() <= bytes.len());
    if bytes.len() <= SHORT {
        assert_eq!(whole, unchunk(bytes, 1));
    }
    let End::Trailers(trailers) = &whole.end else { return };
    let mut text = Vec::new();
    for piece in whole.content.chunks(7) {
        text.extend_from_slice(&chunk_head(piece.len() as u64));
        text.extend_from_slice(piece);
        text.extend_from_slice(b"\r\n");
    }
    // One that stands behind a chunk begins with that one's end.
    match last_chunk(trailers) {
        Ok(last) => text.extend_from_slice(&last),
        Err(error) => panic!("trailers that were read can't be written: {error}"),
    }
    assert_eq!(unchunk(&text, text.len()), whole);
}

/// Decodes a body of which `step` bytes more arrive whenever what is there does not do.
fn unchunk(bytes: &[u8], step: usize) -> Unchunked {
    let (mut decoder, mut content, mut at, mut arrived) = (ChunkDecoder::new(), Vec::new(), 0, 0);
    loop {
        match decoder.step(&bytes[at..arrived]) {
            Err(_) => return Unchunked { content, end: End::Broken },
            Ok(None) if arrived == bytes.len() => return Unchunked { content, end: End::Missing },
            Ok(None) => arrived = (arrived + step.max(1)).min(bytes.len()),
            Ok(Some((Chunk::Last(trailers), _))) => {
                return Unchunked { content, end: End::Trailers(trailers) };
            }
            Ok(Some((Chunk::Data(length), used))) => {
                assert!(0 < length && used <= arrived - at);
                at += used;
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len() - at);
                content.extend_from_slice(&bytes[at..at + length]);
                at += length;
                arrived = arrived.max(at);
            }
        }
    }
}

/// A request's target, and so the path in it.
pub(super) fn target(bytes: &[u8]) {
    let Ok(target) = str::from_utf8(bytes) else { return };
    if let Ok((path, query)) = split_target(target) {
        assert!(path.starts_with('/') && path.len() <= target.len());
        for (name, value) in query.and_then(|query| query_pairs(query).ok()).into_iter().flatten() {
            assert!(name.len() + value.len() <= target.len());
        }
    }
    if let Ok(decoded) = percent_decode(target) {
        assert!(decoded.len() <= target.len());
        assert_eq!(percent_decode(&percent_encode_path(&decoded)), Ok(decoded));
    }
    if let Ok(path) = path_from_wire(target) {
        assert_eq!(path_from_wire(&path_to_wire(&path)), Ok(path));
    }
}

/// A line a value: each is read as whatever may stand in a field.
pub(super) fn fields(bytes: &[u8]) {
    bytes.split(|&byte| byte == b'\n').filter_map(|line| str::from_utf8(line).ok()).for_each(text);
}

fn text(value: &str) {
    if let Some(seconds) = parse_date(value) {
        assert_eq!(parse_date(&format_date(seconds)), Some(seconds));
    }
    if let Ok(Some(hash)) = parse_digest(value) {
        assert_eq!(parse_digest(&format_digest(&hash)), Ok(Some(hash)));
    }
    for length in [0, 1, 1000, u64::MAX] {
        if let RangeRequest::Part { start, end_exclusive } = parse_range(value, length) {
            assert!(start < end_exclusive && end_exclusive <= length);
            let part = ContentRange::Part { start, end_exclusive, length: Some(length) };
            assert_eq!(parse_content_range(&content_range(start, end_exclusive, length)), Some(part));
        }
    }
    if let Some(ContentRange::Part { start, end_exclusive, length }) = parse_content_range(value) {
        assert!(start < end_exclusive && length.is_none_or(|length| end_exclusive <= length));
    }
    if let Some(tag) = EntityTag::parse(value) {
        assert!(tag.opaque().len() < value.len());
    }
    if let Some((host, _)) = parse_authority(value) {
        assert!(!host.is_empty() && host.len() <= value.len());
    }
    if let Some(number) = parse_decimal(value) {
        assert_eq!(number.to_string(), value.trim_start_matches('0').to_owned().max("0".to_owned()));
    }
    if let Ok(cursor) = Cursor::parse(value) {
        assert_eq!(cursor.to_string(), value);
    }
    if let Ok(tag) = Tag::parse(value) {
        assert_eq!(tag.to_string(), value);
    }
    if let Ok(mode) = parse_mode(value) {
        assert!(mode <= 0o7777);
    }
    if let Ok(mtime) = parse_mtime(value) {
        assert_eq!(parse_mtime(&mtime.0.to_string()), Ok(mtime));
    }
}
