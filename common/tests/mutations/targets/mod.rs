//! The targets: for each codec a function that takes any bytes and checks what has to be true of all of them.
//!
//! - Nothing panics, whatever the bytes.
//! - What is read can be written, and what is written is read as the same.
//! - It makes no difference in which pieces the bytes arrive.
//! - What comes out is no larger than its limits allow.
//!
//! A target's input is what a peer or a disk would hold. Where a codec takes two things, the first line is the one, the rest the other.
//! Hand-written inputs are in `fuzz/seeds`, one directory for each target.

mod books;
mod http;
mod messages;
mod texts;
mod tree;

/// A function that panics if something is wrong.
pub(crate) struct Target {
    /// Its own name, and that of the directory with its seeds.
    pub(crate) name: &'static str,
    /// What it does with an input.
    pub(crate) check: fn(&[u8]),
}

const fn target(name: &'static str, check: fn(&[u8])) -> Target {
    Target { name, check }
}

/// All of them.
pub(crate) const TARGETS: [Target; 16] = [
    target("base64", texts::base64),
    target("chunked", http::chunked),
    target("event", messages::event),
    target("fields", http::fields),
    target("ignore", tree::ignore),
    target("journal", books::journal),
    target("json", texts::json),
    target("jwt", texts::jwt),
    target("list", messages::list),
    target("path", tree::path),
    target("problem", messages::problem),
    target("records", books::records),
    target("request", http::request),
    target("response", http::response),
    target("sse", texts::sse),
    target("target", http::target),
];

/// The first line, and what comes after it.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}
