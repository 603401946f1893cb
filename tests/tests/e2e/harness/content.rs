//! Content in any amount, the same for the same seed, and content that is for nobody else to read.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Content that has no repetition at any distance: a counter, scrambled.
pub struct Content {
    seed: u64,
    left: u64,
}

impl Content {
    /// So many bytes.
    pub fn new(seed: u64, size: u64) -> Content {
        Content { seed: seed << 40, left: size }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for bytes in buffer[..length].chunks_mut(8) {
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let scrambled = (self.seed ^ self.seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bytes.copy_from_slice(&(scrambled ^ scrambled >> 27).to_le_bytes()[..bytes.len()]);
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// A new file with such content.
#[track_caller]
pub fn write_file(path: &Path, seed: u64, size: u64) {
    let mut file = File::create(path).expect("create a file");
    let mut content = io::BufReader::with_capacity(1 << 20, Content::new(seed, size));
    io::copy(&mut content, &mut file).expect("write a file");
}

/// A file with a key or token.
#[track_caller]
pub fn write_secret(path: &Path, secret: &str) {
    fs::write(path, format!("{secret}\n")).expect("write a file");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("set its mode");
}
