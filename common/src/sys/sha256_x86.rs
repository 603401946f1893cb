//! SHA-256 compression by the SHA extensions of x86 (sha256rnds2, sha256msg1, sha256msg2).
//!
//! The instructions want the eight words of state in two registers, in an order of their own, most significant lane first:
//!
//! ```text
//!     abef   | a | b | e | f |        sha256rnds2 does two rounds: from (cdgh, abef) and the two low lanes of `wk` it makes the
//!     cdgh   | c | d | g | h |        next abef; the abef that was is the next cdgh.
//! ```
//!
//! A vector of the message schedule holds four words, the earliest in the lowest lane. Four consecutive vectors give the next one.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi8, _mm_set_epi32,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
};

/// Proof that this processor has the instructions.
#[derive(Clone, Copy, Debug)]
pub struct ShaExtensions(());

impl ShaExtensions {
    /// Asks the processor (once; std remembers the answer).
    pub fn detect() -> Option<ShaExtensions> {
        let has_all = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse2")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        has_all.then_some(ShaExtensions(()))
    }

    /// Compresses `blocks` into `state`, with the round constants `k`.
    pub fn compress(self, k: &[u32; 64], state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        // SAFETY: `self` exists only where `detect` found all the features that `compress` is compiled for.
        unsafe { compress(k, state, blocks) }
    }
}

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn compress(k: &[u32; 64], state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
    let mut abef = _mm_set_epi32(a, b, e, f);
    let mut cdgh = _mm_set_epi32(c, d, g, h);
    for block in blocks {
        let (next_abef, next_cdgh) = rounds(k, abef, cdgh, block);
        abef = _mm_add_epi32(abef, next_abef);
        cdgh = _mm_add_epi32(cdgh, next_cdgh);
    }
    let [f, e, b, a] = lanes(abef);
    let [h, g, d, c] = lanes(cdgh);
    *state = [a, b, c, d, e, f, g, h];
}

/// The 64 rounds over one block, four at a time.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn rounds(k: &[u32; 64], mut abef: __m128i, mut cdgh: __m128i, block: &[u8; 64]) -> (__m128i, __m128i) {
    let [mut w0, mut w1, mut w2, mut w3] = words(block);
    for k in k.as_chunks::<4>().0 {
        let [k0, k1, k2, k3] = k.map(u32::cast_signed);
        let wk = _mm_add_epi32(w0, _mm_set_epi32(k3, k2, k1, k0));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32::<UPPER_HALF>(wk));
        // W[t] = s1(W[t-2]) + W[t-7] + s0(W[t-15]) + W[t-16]; the last four of these are computed for nothing.
        let partial = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8::<4>(w3, w2));
        (w0, w1, w2, w3) = (w1, w2, w3, _mm_sha256msg2_epu32(partial, w3));
    }
    (abef, cdgh)
}

/// Moves lanes 2 and 3 to 0 and 1.
const UPPER_HALF: i32 = 0b_11_10;

/// The block as 16 big-endian words.
#[inline]
#[target_feature(enable = "sse2,ssse3")]
fn words(block: &[u8; 64]) -> [__m128i; 4] {
    let big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    [0, 16, 32, 48].map(|offset| {
        let quarter = block[offset..offset + 16].as_ptr();
        // SAFETY: `quarter` points to the 16 bytes that are read (the slice was checked); no alignment is asked for.
        let vector = unsafe { _mm_loadu_si128(quarter.cast()) };
        _mm_shuffle_epi8(vector, big_endian)
    })
}

#[target_feature(enable = "sse4.1")]
fn lanes(vector: __m128i) -> [u32; 4] {
    [
        _mm_extract_epi32::<0>(vector).cast_unsigned(),
        _mm_extract_epi32::<1>(vector).cast_unsigned(),
        _mm_extract_epi32::<2>(vector).cast_unsigned(),
        _mm_extract_epi32::<3>(vector).cast_unsigned(),
    ]
}
