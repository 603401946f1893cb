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
    format!("sha-256=:{}:", base64(&from_hex(&sha256(content))))
}

/// A JSON Web Token: HS256 with the key that these digits are, whatever header and claims say.
#[track_caller]
pub fn signed_token(key: &str, header: &str, claims: &str) -> String {
    let mut block = from_hex(key);
    block.resize(64, 0);
    let padded = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
    let text = format!("{}.{}", base64_url(header.as_bytes()), base64_url(claims.as_bytes()));
    let inner = from_hex(&sha256(&[&padded(0x36), text.as_bytes()].concat()));
    let code = from_hex(&sha256(&[padded(0x5c), inner].concat()));
    format!("{text}.{}", base64_url(&code))
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn base64_url(bytes: &[u8]) -> String {
    base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
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
