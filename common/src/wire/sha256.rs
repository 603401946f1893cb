//! SHA-256 (FIPS 180-4).
//!
//! The portable compression below is the standard, line by line. Processors with instructions for it do the same six times as fast, and
//! hashing is most of what a sync computes, so they are used where they are found. That makes this the one codec that looks down: the
//! instructions need `unsafe`, which lives in [`sys`](crate::sys) alone. It stays pure all the same: bytes in, the same value out.
//!
//! Whole blocks are compressed where they lie in the caller's slice; only what is left of a block waits in a buffer for the next one.

use std::fmt;

#[cfg(target_arch = "x86_64")]
use crate::sys::sha256_x86::ShaExtensions;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Reads 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Hash> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Hash(hash))
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }
}

/// 64 lower-case hex digits. Written in one piece: every event, list item and answer about a file has them.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of bytes that are all there.
pub fn sha256(bytes: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    hasher.finish()
}

/// Bytes that are compressed at a time.
pub(super) const BLOCK_BYTES: usize = 64;
/// Where the length of the message, in bits, stands in its last block.
const LENGTH_OFFSET: usize = BLOCK_BYTES - size_of::<u64>();

/// The digest of bytes that come bit by bit.
#[derive(Clone)]
pub struct Sha256 {
    state: [u32; 8],
    /// Bytes seen so far; modulo 64, how many of them wait in `partial`.
    length: u64,
    partial: [u8; BLOCK_BYTES],
    /// A field only so that the tests can compare the ways.
    compress: Compress,
}

type Compress = fn(&mut [u32; 8], &[[u8; BLOCK_BYTES]]);

impl Sha256 {
    /// Nothing hashed yet.
    pub fn new() -> Sha256 {
        Sha256::with(compress)
    }

    fn with(compress: Compress) -> Sha256 {
        Sha256 { state: INITIAL, length: 0, partial: [0; BLOCK_BYTES], compress }
    }

    /// Appends to what is hashed.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let waiting = self.waiting();
        self.length = self.length.wrapping_add(bytes.len() as u64);
        if 0 < waiting {
            let free = &mut self.partial[waiting..];
            let (head, tail) = bytes.split_at(free.len().min(bytes.len()));
            free[..head.len()].copy_from_slice(head);
            if head.len() < free.len() {
                return;
            }
            (self.compress)(&mut self.state, &[self.partial]);
            bytes = tail;
        }
        let (blocks, rest) = bytes.as_chunks();
        if !blocks.is_empty() {
            (self.compress)(&mut self.state, blocks);
        }
        self.partial[..rest.len()].copy_from_slice(rest);
    }

    /// The digest: appends a 1 bit, zeros, and the length, so that the whole is a number of blocks.
    pub fn finish(mut self) -> Hash {
        let bits = self.length.wrapping_mul(8);
        let waiting = self.waiting();
        self.partial[waiting] = 0x80;
        self.partial[waiting + 1..].fill(0);
        if LENGTH_OFFSET <= waiting {
            (self.compress)(&mut self.state, &[self.partial]);
            self.partial.fill(0);
        }
        self.partial[LENGTH_OFFSET..].copy_from_slice(&bits.to_be_bytes());
        (self.compress)(&mut self.state, &[self.partial]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Hash(digest)
    }

    fn waiting(&self) -> usize {
        (self.length % BLOCK_BYTES as u64) as usize
    }
}

impl Default for Sha256 {
    fn default() -> Sha256 {
        Sha256::new()
    }
}

/// Without what was hashed: it may be a secret.
impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sha256").field("length", &self.length).finish_non_exhaustive()
    }
}

/// The fastest way this processor has.
fn compress(state: &mut [u32; 8], blocks: &[[u8; BLOCK_BYTES]]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(extensions) = ShaExtensions::detect() {
        return extensions.compress(&K, state, blocks);
    }
    compress_portably(state, blocks);
}

/// Section 6.2.2 of the standard.
fn compress_portably(state: &mut [u32; 8], blocks: &[[u8; BLOCK_BYTES]]) {
    for block in blocks {
        let w = schedule(block);
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        for (w, k) in w.into_iter().zip(K) {
            let sigma1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = (e & f) ^ (!e & g);
            let t1 = h.wrapping_add(sigma1).wrapping_add(choice).wrapping_add(k).wrapping_add(w);
            let sigma0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let majority = (a & b) ^ (a & c) ^ (b & c);
            let t2 = sigma0.wrapping_add(majority);
            (a, b, c, d, e, f, g, h) = (t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g);
        }
        for (word, change) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = word.wrapping_add(change);
        }
    }
}

/// The 16 words of the block, and 48 more made of them.
fn schedule(block: &[u8; BLOCK_BYTES]) -> [u32; 64] {
    let mut w = [0; 64];
    for (word, bytes) in w.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for t in 16..64 {
        let (early, late) = (w[t - 15], w[t - 2]);
        let s0: u32 = early.rotate_right(7) ^ early.rotate_right(18) ^ early >> 3;
        let s1: u32 = late.rotate_right(17) ^ late.rotate_right(19) ^ late >> 10;
        w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
    }
    w
}

/// Fractional parts of the square roots of the first 8 primes.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Fractional parts of the cube roots of the first 64 primes.
const K: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_with(compress: Compress, bytes: &[u8]) -> Hash {
        let mut hasher = Sha256::with(compress);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Some bytes, none of which follows from its neighbours in an obvious way.
    fn noise(length: usize) -> Vec<u8> {
        (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn examples_of_the_standard() {
        let two_blocks = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
        for (message, digest) in [
            (b"".as_slice(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (two_blocks, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"),
            (&[b'a'; 1_000_000], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ] {
            assert_eq!(sha256(message).to_string(), digest);
            assert_eq!(hash_with(compress_portably, message).to_string(), digest);
            assert_eq!(Hash::parse(digest), Some(sha256(message)));
        }
    }

    #[test]
    fn both_ways_agree_at_every_length() {
        for length in 0..=300 {
            let message = noise(length);
            assert_eq!(hash_with(compress, &message), hash_with(compress_portably, &message), "{length}");
        }
    }

    #[test]
    fn split_anywhere() {
        let message = noise(200);
        let want = sha256(&message);
        for first in 0..=message.len() {
            for second in first..=message.len() {
                let mut hasher = Sha256::new();
                hasher.update(&message[..first]);
                hasher.update(&message[first..second]);
                hasher.update(&message[second..]);
                assert_eq!(hasher.finish(), want, "{first}, {second}");
            }
        }
    }

    #[test]
    fn digits_are_strict() {
        let lower = "0a".repeat(32);
        assert_eq!(Hash::parse(&lower).map(|hash| hash.to_string()), Some(lower));
        for text in
            ["", &"0A".repeat(32), &"0a".repeat(31), &"0a".repeat(33), &"+a".repeat(32), &"\u{e9}".repeat(32)]
        {
            assert_eq!(Hash::parse(text), None, "{text:?}");
        }
    }
}
