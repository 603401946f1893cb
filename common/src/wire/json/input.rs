//! The window through which a JSON text is seen: a small buffer, a position, and a fence.
//!
//! The fence is where a value that is read into memory as a whole has to be complete. Only what lies before it can be seen; looking for
//! more is the error.

use std::fmt;
use std::io::{ErrorKind, Read};

use super::{JsonError, JsonErrorKind};

/// Bytes asked from the source at once. A connection or a file below may have a larger buffer of its own.
const BUFFER_BYTES: usize = 8 * 1024;

pub(super) struct Input<R> {
    source: R,
    buffer: Box<[u8]>,
    /// The part of the buffer that is filled and not yet consumed.
    start: usize,
    end: usize,
    /// Bytes of the text consumed so far.
    offset: u64,
    fence: u64,
}

impl<R> fmt::Debug for Input<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl<R: Read> Input<R> {
    pub(super) fn new(source: R) -> Self {
        Self::of_at_most(BUFFER_BYTES, source)
    }

    /// For a text that is not longer than this: no more is set aside for it.
    pub(super) fn of_at_most(bytes: usize, source: R) -> Self {
        let buffer = vec![0; bytes.clamp(1, BUFFER_BYTES)].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, offset: 0, fence: u64::MAX }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// From here on, at most `bytes` more can be seen.
    pub(super) fn set_fence(&mut self, bytes: usize) {
        self.fence = self.offset + bytes as u64;
    }

    pub(super) fn remove_fence(&mut self) {
        self.fence = u64::MAX;
    }

    /// The next bytes, as many as are at hand; none at the end of the text.
    pub(super) fn window(&mut self) -> Result<&[u8], JsonError> {
        if self.start == self.end {
            self.fill()?;
        }
        let length = (self.end - self.start) as u64;
        let visible = length.min(self.fence - self.offset);
        if visible == 0 && 0 < length {
            return Err(self.error(JsonErrorKind::ValueTooLong));
        }
        Ok(&self.buffer[self.start..][..visible as usize])
    }

    /// Steps over bytes of the window.
    pub(super) fn consume(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.end - self.start);
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, JsonError> {
        Ok(self.window()?.first().copied())
    }

    /// The next byte, left where it is; there must be one.
    pub(super) fn peek_some(&mut self) -> Result<u8, JsonError> {
        self.peek()?.ok_or_else(|| self.error(JsonErrorKind::UnexpectedEnd))
    }

    /// The next byte, consumed; there must be one.
    pub(super) fn take(&mut self) -> Result<u8, JsonError> {
        let byte = self.peek_some()?;
        self.consume(1);
        Ok(byte)
    }

    /// Exactly this byte.
    pub(super) fn expect(&mut self, wanted: u8) -> Result<(), JsonError> {
        match self.peek_some()? {
            byte if byte == wanted => {
                self.consume(1);
                Ok(())
            }
            byte => Err(self.error(JsonErrorKind::UnexpectedByte(byte))),
        }
    }

    /// `ws = *( %x20 / %x09 / %x0A / %x0D )`
    pub(super) fn skip_white_space(&mut self) -> Result<(), JsonError> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek()? {
            self.consume(1);
        }
        Ok(())
    }

    /// An error at the next byte.
    pub(super) fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError { kind, offset: self.offset }
    }

    fn fill(&mut self) -> Result<(), JsonError> {
        self.start = 0;
        self.end = 0;
        loop {
            match self.source.read(&mut self.buffer[..]) {
                Ok(bytes) => {
                    self.end = bytes;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(JsonErrorKind::Io(error))),
            }
        }
    }
}
