//! Changes to inputs: what comes of hand-written ones when bits flip, pieces go, come twice or come from elsewhere, and numbers go to their
//! ends. The same seed makes the same changes, on any machine.

/// Longest input that is made, in bytes: enough to reach most limits.
const LONGEST: usize = 96 * 1024;

/// What readers stumble over.
const WORDS: [&[u8]; 36] = [
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"\n\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"=",
    b"%",
    b"%00",
    b"%2e%2e",
    b"..",
    b"/",
    b"//",
    b".filesync",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"**",
    b"!",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc0\xaf",
    b"0\r\n\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
];

/// Numbers at which something overflows, or nearly.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "00",
    "127",
    "128",
    "255",
    "65535",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
];

/// Numbers that look random and can be had again (Vigna's SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn choose<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A piece of `bytes`, as a range; short ones are likelier.
    fn piece(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len() + 1);
        let longest = (bytes.len() - start).min(1 << self.below(12));
        start..start + self.below(longest + 1)
    }
}

/// One of `seeds` after one to eight changes.
pub(crate) fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        change(random, &mut bytes, seeds);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = random.below(bytes.len() + 1);
    match random.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.next() as u8,
        2 => drop(bytes.drain(random.piece(bytes))),
        3 => bytes.truncate(at),
        4 => {
            let piece = bytes[random.piece(bytes)].to_vec();
            insert(bytes, at, &piece);
        }
        5 => {
            let piece = bytes[random.piece(bytes)].to_vec();
            insert(bytes, at, &piece.repeat(1 << random.below(13)));
        }
        6 => {
            let other = &seeds[random.below(seeds.len())];
            insert(bytes, at, &other[random.piece(other)]);
        }
        7 => replace_number(random, bytes, at),
        _ => insert(bytes, at, random.choose(&WORDS)),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let piece = &piece[..piece.len().min(LONGEST)];
    drop(bytes.splice(at..at, piece.iter().copied()));
}

/// Puts another number in the place of the first one that begins at `at` or behind.
fn replace_number(random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset) else {
        return;
    };
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = random.choose(&NUMBERS);
    drop(bytes.splice(start..start + length, number.bytes()));
}
