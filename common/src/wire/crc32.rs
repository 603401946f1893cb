//! CRC-32 as in gzip, zip and Ethernet (CRC-32/ISO-HDLC; RFC 1952, section 8): finds damage, proves nothing against an attacker.
//!
//! Strategy: slicing by eight. One table would say what a byte does to the remainder; eight say what it does when 0 to 7 zero bytes
//! follow, so eight bytes are looked up independently of each other and combined at once. The tables are made by the compiler.
//!
//! Format notes: the polynomial is reflected (lowest bit first), the register starts with all bits set and is inverted at the end.

/// The polynomial x^32 + x^26 + ... + 1 with its bits in reverse.
const POLYNOMIAL: u32 = 0xEDB8_8320;
/// Bytes taken in one step.
const SLICES: usize = 8;
/// `TABLES[zeros][byte]`: the remainder of `byte` followed by that many zero bytes.
static TABLES: [[u32; 256]; SLICES] = tables();

const fn tables() -> [[u32; 256]; SLICES] {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        tables[0][byte] = remainder_of(byte as u32);
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < SLICES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = before >> 8 ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// The long division itself, one bit at a time.
const fn remainder_of(byte: u32) -> u32 {
    let mut remainder = byte;
    let mut bit = 0;
    while bit < 8 {
        remainder = if remainder & 1 == 1 { remainder >> 1 ^ POLYNOMIAL } else { remainder >> 1 };
        bit += 1;
    }
    remainder
}

/// The checksum of bytes that are all there.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.update(bytes);
    crc.finish()
}

/// A checksum of bytes that come in pieces.
#[derive(Clone, Debug)]
pub struct Crc32 {
    register: u32,
}

impl Crc32 {
    /// The checksum of nothing so far.
    pub fn new() -> Self {
        Self { register: u32::MAX }
    }

    /// Adds the next bytes; how they are cut into pieces makes no difference.
    pub fn update(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<SLICES>();
        for eight in eights {
            self.update_eight(eight);
        }
        for &byte in rest {
            let [low, ..] = self.register.to_le_bytes();
            self.register = self.register >> 8 ^ TABLES[0][usize::from(low ^ byte)];
        }
    }

    fn update_eight(&mut self, eight: &[u8; SLICES]) {
        let mut mixed = *eight;
        for (byte, register) in mixed.iter_mut().zip(self.register.to_le_bytes()) {
            *byte ^= register;
        }
        // The first byte has seven more after it, the last none.
        self.register = 0;
        for (table, byte) in TABLES.iter().rev().zip(mixed) {
            self.register ^= table[usize::from(byte)];
        }
    }

    /// The checksum of everything added up to now; more may follow.
    pub fn finish(&self) -> u32 {
        !self.register
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole, byte by byte, cut in two everywhere, and with trailing bytes, which must change the sum.
    #[track_caller]
    fn check(bytes: &[u8], want: u32) {
        assert_eq!(crc32(bytes), want);
        let mut drip = Crc32::new();
        for byte in bytes {
            drip.update(&[*byte]);
        }
        assert_eq!(drip.finish(), want, "byte by byte");
        for cut in 0..=bytes.len() {
            let mut crc = Crc32::new();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc.finish(), want, "cut at {cut}");
        }
        assert_ne!(crc32(&[bytes, b"trailing"].concat()), want);
    }

    #[test]
    fn known_sums() {
        check(b"", 0);
        check(b"a", 0xE8B7_BE43);
        check(b"123456789", 0xCBF4_3926);
        check(b"The quick brown fox jumps over the lazy dog", 0x414F_A339);
        check(&[0; 32], 0x190A_55AD);
        check(&[0xFF; 32], 0xFF6C_AB0B);
    }

    /// Eight at a time is the same function as a bit at a time.
    #[test]
    fn agrees_with_the_long_division() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| (n * n / 8) as u8).collect();
        let mut register = u32::MAX;
        for (at, &byte) in bytes.iter().enumerate() {
            assert_eq!(crc32(&bytes[..at]), !register);
            register = register >> 8 ^ remainder_of((register ^ u32::from(byte)) & 0xFF);
        }
    }

    #[test]
    fn any_single_bit_shows() {
        let bytes = b"one record of a journal".to_vec();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(crc32(&damaged), crc32(&bytes), "bit {bit}");
        }
    }
}
