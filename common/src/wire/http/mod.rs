//! HTTP/1.1 without input or output (RFC 9110, RFC 9112).
//!
//! Whoever owns the socket reads bytes into a buffer and asks here what they mean. A parser answers `Ok(None)` while its input is
//! incomplete, `Ok(Some((value, used)))` when it has one, and an error, which knows its status, as soon as no continuation could be
//! right.
//!
//! ```text
//!     request line | status line   head          methods, versions, targets, Host
//!     name: value                  fields        the list of fields, of heads and of trailers alike
//!     (empty line)                 framing       where the body ends: the one place that decides
//!     body                         chunk         chunked coding with trailers
//!
//!     conditional   If-Match and its relatives          range    Range, Content-Range
//!     date          HTTP dates and the civil calendar   uri      percent-encoding, targets, authorities
//!     digest        Repr-Digest (RFC 9530)                  retry    Retry-After
//! ```
//!
//! Where the RFCs leave a choice, it is the strict one: two readers that disagree about a message are how requests get smuggled, and
//! a reader that refuses can't disagree.

pub mod chunk;
pub mod conditional;
pub mod date;
pub mod digest;
pub mod fields;
pub mod framing;
pub mod head;
pub mod range;
pub mod retry;
pub mod uri;

/// Runs a parser over an input whole, over every prefix, and with bytes after it.
///
/// An input that is right must be incomplete at every prefix; one that is wrong must at no prefix pass for complete.
#[cfg(test)]
#[track_caller]
fn check_every_cut<T, E>(
    parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, E>,
    input: &[u8],
    want: &Result<T, E>,
) where
    T: std::fmt::Debug + PartialEq,
    E: std::fmt::Debug + PartialEq,
{
    let shown = input.escape_ascii();
    let longer = [input, b"trailing"].concat();
    match want {
        Ok(value) => {
            for complete in [input, &longer] {
                let (got, used) = parse(complete).expect("no error").expect("complete");
                assert_eq!((&got, used), (value, input.len()), "{shown}");
            }
        }
        Err(error) => {
            assert_eq!(parse(input).as_ref().err(), Some(error), "{shown}");
            assert_eq!(parse(&longer).as_ref().err(), Some(error), "{shown}, with trailing bytes");
        }
    }
    for end in 0..input.len() {
        match parse(&input[..end]) {
            Ok(None) => {}
            Err(_) if want.is_err() => {}
            other => panic!("{other:?} at a prefix of {end} bytes of {shown}"),
        }
    }
}
