//! SHA-256 by somebody else's hand: the programs' own must agree with what `sha256sum` says.

use std::io::Write;
use std::process::{Command, Stdio};

/// The digest in lower-case hex.
#[track_caller]
pub fn sha256(content: &[u8]) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`sha256sum` is part of coreutils");
    child.stdin.take().expect("stdin is a pipe").write_all(content).expect("write to sha256sum");
    let output = child.wait_with_output().expect("read from sha256sum");
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().expect("a digest").to_owned()
}

/// The value of a `Repr-Digest` field.
#[track_caller]
pub fn repr_digest(content: &[u8]) -> String {
    let hex = sha256(content);
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
    format!("sha-256=:{}:", base64(&bytes))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().chain(&[0; 2]).take(3).fold(0_usize, |bits, &byte| bits << 8 | usize::from(byte));
        for place in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * place) & 63];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[test]
fn digests_of_known_contents() {
    assert_eq!(repr_digest(b"hello"), "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:");
    assert_eq!([b"".as_slice(), b"f", b"fo", b"foo"].map(base64), ["", "Zg==", "Zm8=", "Zm9v"]);
}
