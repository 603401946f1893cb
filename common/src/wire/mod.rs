//! Codecs: bytes to values and back, without a file, a socket, a clock or a thread.
//!
//! Every codec takes hostile input: it costs bounded memory and time, and what it does not accept it refuses with an error that says
//! where and why.

pub mod base64;
pub mod crc32;
pub mod hmac;
pub mod http;
pub mod json;
pub mod jwt;
pub mod pack;
pub mod sha256;
pub mod sse;
