//! Framing: where a message's body ends (RFC 9112, section 6).
//!
//! This is the one place that decides it, and the one place where requests are smuggled: two readers on one connection that disagree
//! about the end of a body take different bytes for the next request. So whatever could be read in two ways is refused, also where
//! section 6.3 would let a recipient repair it:
//!
//! - `Content-Length` and `Transfer-Encoding` together;
//! - either of them twice, even with equal values;
//! - a length that is not `1*DIGIT` in 64 bits;
//! - a coding other than `chunked` (501 if it is well-formed), anything after `chunked`, any coding on HTTP/1.0.

use super::fields::{Fields, is_token, parse_decimal, trim};
use super::head::{HeadError, Method, RequestHead, ResponseHead, Version};

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks (see [`chunk`](super::chunk)).
    Chunked,
    /// All bytes up to the end of the connection. Responses only.
    UntilClose,
}

/// How a request's body is delimited.
pub fn request_framing(head: &RequestHead) -> Result<Framing, HeadError> {
    Ok(declared(head.version, &head.fields)?.unwrap_or(Framing::None))
}

/// How the body of a response to such a request is delimited.
pub fn response_framing(request: Method, head: &ResponseHead) -> Result<Framing, HeadError> {
    let bodiless = request == Method::Head || matches!(head.status, 100..=199 | 204 | 304);
    if bodiless {
        // Its fields tell what the body would have been like (RFC 9110, section 8.6), not what follows.
        return Ok(Framing::None);
    }
    Ok(declared(head.version, &head.fields)?.unwrap_or(Framing::UntilClose))
}

/// What the fields say.
fn declared(version: Version, fields: &Fields) -> Result<Option<Framing>, HeadError> {
    match (fields.unique("transfer-encoding")?, fields.unique("content-length")?) {
        (None, None) => Ok(None),
        (None, Some(length)) => parse_length(length).map(Some),
        (Some(coding), None) => parse_coding(version, coding).map(Some),
        (Some(_), Some(_)) => bad("transfer-encoding", "not together with content-length"),
    }
}

fn parse_length(value: &str) -> Result<Framing, HeadError> {
    match parse_decimal(value) {
        Some(length) => Ok(Framing::Length(length)),
        None => bad("content-length", "not a number of 64 bits"),
    }
}

fn parse_coding(version: Version, value: &str) -> Result<Framing, HeadError> {
    if version == Version::Http10 {
        return bad("transfer-encoding", "not in HTTP/1.0");
    }
    if value.eq_ignore_ascii_case("chunked") {
        return Ok(Framing::Chunked);
    }
    let codings: Vec<&str> = value.split(',').map(trim).collect();
    if !codings.iter().all(|coding| is_token(coding.as_bytes())) {
        return bad("transfer-encoding", "malformed");
    }
    let before_last = &codings[..codings.len() - 1];
    if before_last.iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return bad("transfer-encoding", "chunked must come last");
    }
    Err(HeadError::UnknownCoding)
}

fn bad<T>(name: &'static str, reason: &'static str) -> Result<T, HeadError> {
    Err(HeadError::BadField { name, reason })
}

#[cfg(test)]
mod tests {
    use super::super::head::{parse_request, parse_response};
    use super::*;

    /// The framing of a request with such field lines, or the status that it is refused with, be it by the head's parser.
    fn request(version: &str, lines: &str) -> Result<Framing, u16> {
        let input = format!("PUT / {version}\r\n{lines}\r\n");
        let (head, _) = parse_request(input.as_bytes()).map_err(|error| error.status())?.expect("complete");
        request_framing(&head).map_err(|error| error.status())
    }

    #[test]
    fn requests() {
        for (lines, want) in [
            ("", Framing::None),
            ("Content-Length: 0\r\n", Framing::Length(0)),
            ("Content-Length: \t007 \r\n", Framing::Length(7)),
            ("Content-Length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
            ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
            ("Transfer-Encoding:\tChunKed\t\r\n", Framing::Chunked),
        ] {
            assert_eq!(request("HTTP/1.1", lines), Ok(want), "{lines:?}");
        }
        assert_eq!(request("HTTP/1.0", "Content-Length: 3\r\n"), Ok(Framing::Length(3)));
    }

    #[test]
    fn attacks() {
        for lengths in [
            "",
            "+5",
            "-5",
            "0x5",
            "5,5",
            "5, 5",
            "5 5",
            "5;",
            "5.0",
            "1e1",
            "1_0",
            "five",
            "\u{b}5",
            "18446744073709551616",
            "99999999999999999999999",
        ] {
            assert_eq!(
                request("HTTP/1.1", &format!("Content-Length: {lengths}\r\n")),
                Err(400),
                "{lengths:?}"
            );
        }
        for (codings, status) in [
            ("", 400),
            ("xchunked", 501),
            ("gzip", 501),
            ("identity", 501),
            ("gzip, chunked", 501),
            ("chunked, identity", 400),
            ("chunked, chunked", 400),
            ("chunked,", 400),
            (",chunked", 400),
            ("chunked;q=1", 400),
            ("\"chunked\"", 400),
            ("chunked\u{b}", 400),
            ("chunked\0", 400),
            ("chun ked", 400),
        ] {
            assert_eq!(
                request("HTTP/1.1", &format!("Transfer-Encoding: {codings}\r\n")),
                Err(status),
                "{codings:?}"
            );
        }
        for lines in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: x\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
        ] {
            assert_eq!(request("HTTP/1.1", lines), Err(400), "{lines:?}");
        }
        assert_eq!(request("HTTP/1.0", "Transfer-Encoding: chunked\r\n"), Err(400));
    }

    #[test]
    fn responses() {
        let framing = |method, status: u16, lines: &str| {
            let input = format!("HTTP/1.1 {status} X\r\n{lines}\r\n");
            let (head, _) = parse_response(input.as_bytes()).unwrap().unwrap();
            response_framing(method, &head).map_err(|error| error.status())
        };
        let length = "Content-Length: 5\r\n";
        assert_eq!(framing(Method::Get, 200, length), Ok(Framing::Length(5)));
        assert_eq!(framing(Method::Get, 200, ""), Ok(Framing::UntilClose));
        assert_eq!(framing(Method::Get, 200, "Transfer-Encoding: chunked\r\n"), Ok(Framing::Chunked));
        assert_eq!(framing(Method::Head, 200, length), Ok(Framing::None));
        for status in [100, 103, 204, 304] {
            assert_eq!(framing(Method::Get, status, length), Ok(Framing::None));
        }
        assert_eq!(
            framing(Method::Get, 200, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            Err(400)
        );
        assert_eq!(framing(Method::Get, 200, "Transfer-Encoding: gzip\r\n"), Err(501));
    }
}
