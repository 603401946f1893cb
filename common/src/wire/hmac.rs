//! HMAC-SHA256 (RFC 2104): who made this message has the key. And the comparison that goes with it.
//!
//! ```text
//!     block = key, filled up with zeros to 64 bytes; a longer key is hashed first
//!     hmac  = sha256( block ^ 5c5c... | sha256( block ^ 3636... | message ) )
//! ```

use std::hint::black_box;

use super::sha256::{BLOCK_BYTES, Sha256, sha256};

/// The code of a message under a key.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK_BYTES];
    match key.len() <= BLOCK_BYTES {
        true => block[..key.len()].copy_from_slice(key),
        false => block[..32].copy_from_slice(&sha256(key).0),
    }
    let with_pad = |pad: u8, message: &[u8]| {
        let mut hasher = Sha256::new();
        hasher.update(&block.map(|byte| byte ^ pad));
        hasher.update(message);
        hasher.finish().0
    };
    with_pad(0x5c, &with_pad(0x36, message))
}

/// Whether two digests are equal. How long that takes tells nothing about where they differ.
pub fn is_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    // `black_box` keeps the optimiser from leaving the loop at the first difference.
    a.iter().zip(b).fold(0, |all, (a, b)| black_box(all | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sha256::Hash;

    #[track_caller]
    fn check(key: &[u8], message: &[u8], code: &str) {
        assert_eq!(Hash(hmac_sha256(key, message)).to_string(), code);
    }

    /// RFC 4231, section 4, but for the fifth, which is cut off.
    #[test]
    fn vectors_of_the_rfc() {
        check(&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        check(
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
        let counted: Vec<u8> = (1..=25).collect();
        check(&counted, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
        check(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
        check(
            &[0xaa; 131],
            b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed \
              before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        );
    }

    #[test]
    fn keys_around_the_length_of_a_block_differ() {
        let codes = [63, 64, 65].map(|length| hmac_sha256(&vec![7; length], b""));
        assert!(codes[0] != codes[1] && codes[1] != codes[2]);
        // Zeros at its end are what a short key is filled up with.
        assert_eq!(hmac_sha256(&[7, 0], b""), hmac_sha256(&[7], b""));
    }

    #[test]
    fn every_bit_counts_in_a_comparison() {
        let digest = [0x5a; 32];
        assert!(is_equal(&digest, &digest));
        for bit in 0..256 {
            let mut other = digest;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_equal(&digest, &other), "bit {bit}");
        }
    }
}
