//! Heads: everything of a message before its body (RFC 9112, sections 2 to 4).
//!
//! ```text
//!     PUT SP /upload/a SP HTTP/1.1 CR LF         HTTP/1.1 SP 201 SP Created CR LF
//!     host: example.org CR LF                    etag: "..." CR LF
//!     CR LF                                      CR LF
//! ```
//!
//! Format notes:
//! - Exactly one blank between the parts; a target is visible ASCII. Whoever guesses where a target ends guesses differently from the
//!   proxy in front of it.
//! - The version is judged before the method, so that the preface of HTTP/2 (`PRI * HTTP/2.0`) is answered with 505.
//! - One empty line before a request is skipped (section 2.2): some clients send one after a body.
//! - Versions and methods are in upper case and compare with case.
//!
//! Deviation: RFC 9112 wants a server to take the absolute form of a target (section 3.2.2), too. The parser lets it through, but
//! [`split_target`](super::uri::split_target) refuses it: nothing may name a host but `Host`.

use super::fields::{Fields, ObsText, is_token, parse_fields, parse_line};
use super::uri::parse_authority;
use crate::limits::{HEAD_BYTES, TARGET_BYTES};
use std::fmt;

/// Longest request line: the longest target, and more than any method, version and blanks take.
const REQUEST_LINE_BYTES: usize = TARGET_BYTES + 32;

/// The methods that filesync knows. That a resource does not allow one of them is not this module's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Content of a file.
    Get,
    /// `Get` without the content.
    Head,
    /// A list of files.
    Post,
    /// Store.
    Put,
    /// Remove.
    Delete,
    /// Change in part (RFC 5789).
    Patch,
    /// Rename (RFC 4918).
    Move,
    /// Copy within the server (RFC 4918).
    Copy,
    /// What is allowed.
    Options,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 9] = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Patch,
        Method::Move,
        Method::Copy,
        Method::Options,
    ];

    /// As it stands in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Patch => "PATCH",
            Method::Move => "MOVE",
            Method::Copy => "COPY",
            Method::Options => "OPTIONS",
        }
    }

    /// Whether doing it twice is doing it once (RFC 9110, section 9.2.2), so that it may be repeated when its answer got lost.
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options => true,
            Method::Post | Method::Patch | Method::Move | Method::Copy => false,
        }
    }

    fn parse(token: &[u8]) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.as_str().as_bytes() == token)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version of a message's sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, no `Host` needed, every connection serves one request.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A request without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// What to do.
    pub method: Method,
    /// To what; visible ASCII, not yet decoded.
    pub target: String,
    /// The version of the client.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

/// A response without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 599. The reason phrase that followed it is for people with a packet sniffer and is dropped.
    pub status: u16,
    /// The version of the server.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

impl RequestHead {
    /// Whether the client wants the connection kept for another request.
    pub fn keep_alive(&self) -> bool {
        keep_alive(self.version, &self.fields)
    }
}

impl ResponseHead {
    /// Whether the server keeps the connection for another request.
    pub fn keep_alive(&self) -> bool {
        keep_alive(self.version, &self.fields)
    }
}

/// RFC 9112, section 9.3. The `keep-alive` of HTTP/1.0 is not honoured, which is always allowed.
fn keep_alive(version: Version, fields: &Fields) -> bool {
    version == Version::Http11 && !fields.has_token("connection", "close")
}

/// Why a head, or one of its fields, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The syntax is broken.
    Malformed {
        /// Where, in bytes from the start of the head.
        offset: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// More than [`HEAD_BYTES`].
    TooLarge,
    /// More than [`HEAD_FIELDS`](crate::limits::HEAD_FIELDS).
    TooManyFields,
    /// More than [`TARGET_BYTES`].
    TargetTooLong,
    /// Not one of [`Method::ALL`].
    UnknownMethod,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    UnsupportedVersion,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
    /// A field that may stand once stands there again.
    Repeated {
        /// The field, in lower case.
        name: String,
    },
    /// A field's value makes no sense.
    BadField {
        /// The field, in lower case.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Our own side wanted to write what no reader would take.
    Unwritable {
        /// Which part of the message.
        what: &'static str,
    },
}

impl HeadError {
    /// The status a server answers with.
    pub fn status(&self) -> u16 {
        match self {
            HeadError::Malformed { .. } | HeadError::Repeated { .. } | HeadError::BadField { .. } => 400,
            HeadError::TargetTooLong => 414,
            HeadError::TooLarge | HeadError::TooManyFields => 431,
            HeadError::Unwritable { .. } => 500,
            HeadError::UnknownMethod | HeadError::UnknownCoding => 501,
            HeadError::UnsupportedVersion => 505,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadError::Malformed { offset, expected } => {
                write!(f, "expected {expected} at byte {offset} of the head")
            }
            HeadError::TooLarge => f.write_str("the head is too large"),
            HeadError::TooManyFields => f.write_str("the head has too many fields"),
            HeadError::TargetTooLong => f.write_str("the request target is too long"),
            HeadError::UnknownMethod => f.write_str("unknown method"),
            HeadError::UnsupportedVersion => f.write_str("only HTTP/1.0 and HTTP/1.1 are spoken here"),
            HeadError::UnknownCoding => f.write_str("unknown transfer coding"),
            HeadError::Repeated { name } => write!(f, "the field {name} may stand only once"),
            HeadError::BadField { name, reason } => write!(f, "bad field {name}: {reason}"),
            HeadError::Unwritable { what } => write!(f, "a {what} holds bytes that can't be sent"),
        }
    }
}

impl std::error::Error for HeadError {}

/// Parses a request's head; the number is how many bytes it takes.
pub fn parse_request(input: &[u8]) -> Result<Option<(RequestHead, usize)>, HeadError> {
    let start = if input.starts_with(b"\r\n") { 2 } else { 0 };
    let window = &input[..input.len().min(start + REQUEST_LINE_BYTES)];
    let Some((line, next)) = parse_line(window, start)? else {
        return if window.len() < input.len() { Err(HeadError::TargetTooLong) } else { Ok(None) };
    };
    let (method, target, version) = parse_request_line(line, start)?;
    let Some((fields, used)) = parse_fields(input, next, ObsText::Refuse)? else { return Ok(None) };
    Ok(Some((RequestHead { method, target, version, fields }, used)))
}

/// Parses a response's head; the number is how many bytes it takes.
pub fn parse_response(input: &[u8]) -> Result<Option<(ResponseHead, usize)>, HeadError> {
    let Some((line, next)) = parse_line(input, 0)? else { return Ok(None) };
    let (version, status) = parse_status_line(line)?;
    let Some((fields, used)) = parse_fields(input, next, ObsText::Accept)? else { return Ok(None) };
    Ok(Some((ResponseHead { status, version, fields }, used)))
}

/// ```text
/// request-line = method SP request-target SP HTTP-version
/// ```
fn parse_request_line(line: &[u8], start: usize) -> Result<(Method, String, Version), HeadError> {
    let malformed = HeadError::Malformed { offset: start, expected: "method, target and version" };
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed);
    };
    let visible = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    if !is_token(method) || !visible {
        return Err(malformed);
    }
    let version = parse_version(version, start + method.len() + target.len() + 2)?;
    let method = Method::parse(method).ok_or(HeadError::UnknownMethod)?;
    if TARGET_BYTES < target.len() {
        return Err(HeadError::TargetTooLong);
    }
    Ok((method, String::from_utf8_lossy(target).into_owned(), version))
}

/// ```text
/// status-line = HTTP-version SP 3DIGIT SP [ reason-phrase ]
/// ```
fn parse_status_line(line: &[u8]) -> Result<(Version, u16), HeadError> {
    let malformed = |offset, expected| HeadError::Malformed { offset, expected };
    let [version @ .., _, _, _, _, _] = line.get(..13).ok_or(malformed(0, "version and status"))? else {
        return Err(malformed(0, "version and status"));
    };
    let version = parse_version(version, 0)?;
    match line[8..13] {
        [b' ', class @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9', b' '] => {
            let digit = |byte| u16::from(byte - b'0');
            Ok((version, digit(class) * 100 + digit(tens) * 10 + digit(ones)))
        }
        _ => Err(malformed(8, "a status from 100 to 599 between blanks")),
    }
}

/// ```text
/// HTTP-version = %s"HTTP" "/" DIGIT "." DIGIT
/// ```
fn parse_version(text: &[u8], offset: usize) -> Result<Version, HeadError> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(HeadError::UnsupportedVersion),
        _ => Err(HeadError::Malformed { offset, expected: "a version" }),
    }
}

/// Checks a request's `Host` (RFC 9110, section 7.2): exactly one, at most one on HTTP/1.0, and nothing in it but host and port.
pub fn check_host(head: &RequestHead) -> Result<(), HeadError> {
    let bad = |reason| Err(HeadError::BadField { name: "host", reason });
    match (head.fields.unique("host")?, head.version) {
        (Some(host), _) if parse_authority(host).is_some() => Ok(()),
        (Some(_), _) => bad("not a host with an optional port"),
        (None, Version::Http11) => bad("missing"),
        (None, Version::Http10) => Ok(()),
    }
}

/// Writes a request's head. Refuses what a strict reader would refuse.
pub fn encode_request(method: Method, target: &str, fields: &Fields) -> Result<Vec<u8>, HeadError> {
    if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HeadError::Unwritable { what: "request target" });
    }
    if TARGET_BYTES < target.len() {
        return Err(HeadError::TargetTooLong);
    }
    encode(format!("{method} {target} HTTP/1.1\r\n"), fields)
}

/// Writes a response's head. Refuses what a strict reader would refuse.
pub fn encode_response(status: u16, fields: &Fields) -> Result<Vec<u8>, HeadError> {
    if !(100..=599).contains(&status) {
        return Err(HeadError::Unwritable { what: "status" });
    }
    encode(format!("HTTP/1.1 {status} {}\r\n", reason(status)), fields)
}

fn encode(first_line: String, fields: &Fields) -> Result<Vec<u8>, HeadError> {
    let mut out = first_line.into_bytes();
    fields.encode(&mut out)?;
    if HEAD_BYTES < out.len() { Err(HeadError::TooLarge) } else { Ok(out) }
}

/// The reason phrase of a status, as registered; empty for those that filesync never sends.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_every_cut;
    use super::*;
    use crate::limits::HEAD_FIELDS;

    fn get(target: &str) -> RequestHead {
        let target = target.to_owned();
        RequestHead { method: Method::Get, target, version: Version::Http11, fields: Fields::new() }
    }

    #[track_caller]
    fn check(input: impl AsRef<[u8]>, want: Result<RequestHead, HeadError>) {
        check_every_cut(parse_request, input.as_ref(), &want);
    }

    /// The status that a refused request is answered with.
    #[track_caller]
    fn check_refused(input: impl AsRef<[u8]>, status: u16) {
        let error = parse_request(input.as_ref()).expect_err("refused");
        assert_eq!(error.status(), status, "{}: {error}", input.as_ref().escape_ascii());
        check(input, Err(error));
    }

    #[test]
    fn requests() {
        check("GET / HTTP/1.1\r\n\r\n", Ok(get("/")));
        check("GET /?a#b\"\\ HTTP/1.1\r\n\r\n", Ok(get("/?a#b\"\\")));
        let fields = Fields::new().with("host", "a").with("x", "1");
        check("GET / HTTP/1.1\r\nHost: a\r\nX:1\r\n\r\n", Ok(RequestHead { fields, ..get("/") }));
        check("GET / HTTP/1.0\r\n\r\n", Ok(RequestHead { version: Version::Http10, ..get("/") }));
        for method in Method::ALL {
            check(format!("{method} / HTTP/1.1\r\n\r\n"), Ok(RequestHead { method, ..get("/") }));
        }
    }

    #[test]
    fn one_empty_line_may_come_first() {
        check("\r\nGET / HTTP/1.1\r\n\r\n", Ok(get("/")));
        check_refused("\r\n\r\nGET / HTTP/1.1\r\n\r\n", 400);
    }

    #[test]
    fn attacks() {
        for line in [
            "GET /",
            "GET / ",
            "GET /  HTTP/1.1",
            "GET  / HTTP/1.1",
            " GET / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET\t/ HTTP/1.1",
            "GET /\tHTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET /ä HTTP/1.1",
            "GET  HTTP/1.1",
            "G@T / HTTP/1.1",
            "GET / http/1.1",
            "GET / HTTP/1.1x",
            "GET / HTTP/11",
            "GET / HTTP/1,1",
            "GET / HTTPS/1.1",
            "GET / HTTP/ 1.1",
            "GET / HTTP/+1.1",
            "/",
        ] {
            check_refused(format!("{line}\r\n\r\n"), 400);
        }
        for (line, status) in [
            ("GET / HTTP/1.2", 505),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/0.9", 505),
            ("PRI * HTTP/2.0", 505),
            ("get / HTTP/1.1", 501),
            ("CONNECT a:1 HTTP/1.1", 501),
            ("BREW / HTTP/1.1", 501),
        ] {
            check_refused(format!("{line}\r\n\r\n"), status);
        }
        for head in [
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\n\r\n",
            "GET / HTTP/1.1\r\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "GET /\0 HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
            "\x16\x03\x01\x02",
        ] {
            check_refused(head, 400);
        }
    }

    /// Not at every cut: 16 KiB times 16 KiB is a while.
    #[test]
    fn limits() {
        let status = |input: String| parse_request(input.as_bytes()).map_err(|error| error.status());
        let with_target = |bytes| format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(bytes - 1));
        assert!(status(with_target(TARGET_BYTES)).unwrap().is_some());
        assert_eq!(status(with_target(TARGET_BYTES + 1)), Err(414));
        assert_eq!(status("A".repeat(REQUEST_LINE_BYTES)), Ok(None));
        assert_eq!(status("A".repeat(REQUEST_LINE_BYTES + 1)), Err(414));
        assert_eq!(status("A".repeat(HEAD_BYTES * 2)), Err(414));
        assert_eq!(status(format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(HEAD_BYTES))), Err(431));
        assert_eq!(status(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEAD_FIELDS + 1))), Err(431));
    }

    #[test]
    fn responses() {
        let ok = ResponseHead { status: 200, version: Version::Http11, fields: Fields::new() };
        for line in ["HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200 All is w\u{e4}ll"] {
            check_every_cut(parse_response, format!("{line}\r\n\r\n").as_bytes(), &Ok(ok.clone()));
        }
        for line in [
            "",
            "HTTP/1.1",
            "HTTP/1.1 200",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 20 OK x",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 600 OK",
            "HTTP/1.1 099 OK",
            "HTTP/1.1 +20 OK",
            "HTTP/2.0 200 OK",
            "http/1.1 200 OK",
            "ICY 200 OK 12345",
        ] {
            let head = format!("{line}\r\n\r\n");
            let error = parse_response(head.as_bytes()).expect_err(line);
            check_every_cut(parse_response, head.as_bytes(), &Err(error));
        }
    }

    #[test]
    fn hosts() {
        let head = |lines: &str| {
            let input = format!("GET / HTTP/1.1\r\n{lines}\r\n");
            parse_request(input.as_bytes()).unwrap().unwrap().0
        };
        for host in ["a", "a.b:1", "127.0.0.1:80", "[::1]:8080", "[::1]"] {
            assert_eq!(check_host(&head(&format!("Host: {host}\r\n"))), Ok(()), "{host}");
        }
        for lines in [
            "",
            "Host:\r\n",
            "Host: a\r\nHost: a\r\n",
            "Host: a, b\r\n",
            "Host: a,b\r\n",
            "Host: u@a\r\n",
            "Host: a/b\r\n",
            "Host: a:x\r\n",
            "Host: a:65536\r\n",
            "Host: a?b\r\n",
            "Host: http://a\r\n",
            "Host: a b\r\n",
            "Host: ::1\r\n",
        ] {
            assert_eq!(check_host(&head(lines)).unwrap_err().status(), 400, "{lines:?}");
        }
        assert_eq!(check_host(&RequestHead { version: Version::Http10, ..head("") }), Ok(()));
    }

    #[test]
    fn keeping_alive() {
        let with = |version, fields| RequestHead { version, fields, ..get("/") }.keep_alive();
        assert!(with(Version::Http11, Fields::new()));
        assert!(!with(Version::Http11, Fields::new().with("connection", "x, Close")));
        assert!(!with(Version::Http10, Fields::new().with("connection", "keep-alive")));
    }

    #[test]
    fn writing() {
        let fields = Fields::new().with("Host", "a");
        assert_eq!(
            encode_request(Method::Put, "/x", &fields).unwrap(),
            b"PUT /x HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        assert_eq!(
            encode_response(507, &Fields::new()).unwrap(),
            b"HTTP/1.1 507 Insufficient Storage\r\n\r\n"
        );
        for target in ["", "/a b", "/a\r\n", "/ä", "/\0"] {
            assert!(encode_request(Method::Get, target, &fields).is_err(), "{target:?}");
        }
        assert_eq!(
            encode_request(Method::Get, &"/".repeat(TARGET_BYTES + 1), &fields),
            Err(HeadError::TargetTooLong)
        );
        assert!(encode_response(99, &fields).is_err());
        assert_eq!(
            encode_response(200, &Fields::new().with("a", "b".repeat(HEAD_BYTES))),
            Err(HeadError::TooLarge)
        );
    }
}
