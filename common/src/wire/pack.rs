//! The compact binary form of records in a journal: numbers of variable length, and bytes with their length in front.
//!
//! ```text
//!     u64      LEB128: seven bits a byte, lowest first, the top bit set on all but the last
//!     i64      zigzag (0, -1, 1, -2 ... become 0, 1, 2, 3 ...), then as u64
//!     bytes    length as u64, then the bytes
//!     hash     its 32 bytes
//! ```
//!
//! Format notes: a number may have only one form, so an over-long one (a last byte of zero) is refused, and so is one beyond 64 bits.

use std::fmt;

use super::sha256::Hash;

/// The record ends too early, goes on too long, or holds something no writer of ours writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackError;

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a record that this version of filesync writes")
    }
}

impl std::error::Error for PackError {}

/// Builds one record.
#[derive(Debug, Default)]
pub struct Packer(Vec<u8>);

impl Packer {
    /// An empty record of the kind that `tag` names.
    pub fn new(tag: u8) -> Packer {
        Packer(vec![tag])
    }

    /// Appends an unsigned number.
    pub fn u64(&mut self, mut number: u64) -> &mut Packer {
        while 0x7f < number {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    /// Appends a signed number.
    pub fn i64(&mut self, number: i64) -> &mut Packer {
        self.u64(((number << 1) ^ (number >> 63)) as u64)
    }

    /// Appends bytes, their length first.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Packer {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a hash.
    pub fn hash(&mut self, hash: &Hash) -> &mut Packer {
        self.0.extend_from_slice(&hash.0);
        self
    }

    /// The record.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The record, as a value of its own.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads one record.
#[derive(Debug)]
pub struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    /// The record's tag and a reader of the rest.
    ///
    /// # Errors
    /// The record is empty.
    pub fn new(record: &'a [u8]) -> Result<(u8, Unpacker<'a>), PackError> {
        let (tag, rest) = record.split_first().ok_or(PackError)?;
        Ok((*tag, Unpacker(rest)))
    }

    /// The next unsigned number.
    ///
    /// # Errors
    /// The record ends, or the number has another form than the shortest.
    pub fn u64(&mut self) -> Result<u64, PackError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits || (byte == 0 && 0 < shift) {
                return Err(PackError);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(PackError)
    }

    /// The next signed number.
    ///
    /// # Errors
    /// As [`Unpacker::u64`].
    pub fn i64(&mut self) -> Result<i64, PackError> {
        let number = self.u64()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// The next unsigned number, if it fits the smaller type that is asked for.
    ///
    /// # Errors
    /// As [`Unpacker::u64`], or it does not fit.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, PackError> {
        T::try_from(self.u64()?).map_err(|_| PackError)
    }

    /// The next bytes.
    ///
    /// # Errors
    /// The record ends.
    pub fn bytes(&mut self) -> Result<&'a [u8], PackError> {
        let length = self.small::<usize>()?;
        self.take(length)
    }

    /// The next hash.
    ///
    /// # Errors
    /// The record ends.
    pub fn hash(&mut self) -> Result<Hash, PackError> {
        self.take(32)?.try_into().map(Hash).map_err(|_| PackError)
    }

    /// Whether the record ends here.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record must end here.
    ///
    /// # Errors
    /// It does not.
    pub fn end(self) -> Result<(), PackError> {
        if self.0.is_empty() { Ok(()) } else { Err(PackError) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PackError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(PackError)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: [u64; 9] = [0, 1, 127, 128, 16_383, 16_384, u32::MAX as u64, u64::MAX - 1, u64::MAX];

    #[test]
    fn round_trip_whole_cut_and_with_trailing_bytes() {
        for number in NUMBERS {
            let mut packer = Packer::new(7);
            packer.u64(number).i64(number as i64).bytes(b"name").hash(&Hash([9; 32]));
            let read = |record: &[u8]| -> Result<(), PackError> {
                let (tag, mut unpacker) = Unpacker::new(record)?;
                assert_eq!(tag, 7);
                assert_eq!(unpacker.u64()?, number);
                assert_eq!(unpacker.i64()?, number as i64);
                assert_eq!(unpacker.bytes()?, b"name");
                assert_eq!(unpacker.hash()?, Hash([9; 32]));
                unpacker.end()
            };
            let record = packer.as_bytes();
            assert_eq!(read(record), Ok(()));
            for end in 0..record.len() {
                assert_eq!(read(&record[..end]), Err(PackError), "prefix of {end} bytes");
            }
            assert_eq!(read(&[record, b"x"].concat()), Err(PackError));
        }
    }

    #[test]
    fn attacks() {
        for number in
            [b"\x80\x00".as_slice(), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", &[0x80; 11], b"\x80"]
        {
            assert_eq!(Unpacker(number).u64(), Err(PackError), "{}", number.escape_ascii());
        }
        assert_eq!(Unpacker(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abc").bytes(), Err(PackError));
        assert_eq!(Unpacker(b"\x80\x02").small::<u8>(), Err(PackError));
    }
}
