//! What a folder holds, in a form that can be compared.
//!
//! Compared are names as bytes, kinds, contents, permission bits, and of files the modification time. Not compared is the time of a
//! directory, which every change inside it moves, nor that of a symlink.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// By path, relative to the folder.
pub type Tree = BTreeMap<Vec<u8>, Node>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        /// Nanoseconds since 1970.
        mtime: i128,
        size: u64,
        /// A hash; 0 if it was not asked for.
        content: u64,
    },
    Symlink {
        target: Vec<u8>,
    },
    /// A pipe, a socket, a device: filesync leaves it alone.
    Special,
}

/// What the folder holds, but for filesync's private directory. Fails if something vanishes meanwhile: try again.
pub fn snapshot(folder: &Path) -> io::Result<Tree> {
    walk(folder, content_hash)
}

/// The same without a look into any file.
pub fn outline(folder: &Path) -> io::Result<Tree> {
    walk(folder, |_| Ok(0))
}

fn walk(folder: &Path, content: fn(&Path) -> io::Result<u64>) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut directories = vec![folder.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let relative =
                path.strip_prefix(folder).expect("it was found in the folder").as_os_str().as_bytes();
            if relative == b".filesync" {
                continue;
            }
            let node = node(&path, &fs::symlink_metadata(&path)?, content)?;
            if matches!(node, Node::Directory { .. }) {
                directories.push(path.clone());
            }
            tree.insert(relative.to_owned(), node);
        }
    }
    Ok(tree)
}

fn node(path: &Path, metadata: &Metadata, content: fn(&Path) -> io::Result<u64>) -> io::Result<Node> {
    let mode = metadata.mode() & 0o7777;
    let kind = metadata.file_type();
    if kind.is_dir() {
        Ok(Node::Directory { mode })
    } else if kind.is_symlink() {
        Ok(Node::Symlink { target: fs::read_link(path)?.as_os_str().as_bytes().to_owned() })
    } else if kind.is_file() {
        let mtime = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Ok(Node::File { mode, mtime, size: metadata.len(), content: content(path)? })
    } else {
        Ok(Node::Special)
    }
}

/// Eight bytes at a time: these tests are not optimised, and hash a lot.
fn content_hash(path: &Path) -> io::Result<u64> {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    const BUFFER: usize = 1 << 18;
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (FACTOR, Vec::with_capacity(BUFFER));
    loop {
        buffer.clear();
        if file.by_ref().take(BUFFER as u64).read_to_end(&mut buffer)? == 0 {
            return Ok(hash);
        }
        for bytes in buffer.chunks(8) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            hash = (hash.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        }
    }
}

/// A tree as the box holds it: there directories always let their owner do everything, and files let him read.
pub fn as_in_the_box(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    for node in tree.values_mut() {
        match node {
            Node::Directory { mode } => *mode |= 0o700,
            Node::File { mode, .. } => *mode |= 0o400,
            Node::Symlink { .. } | Node::Special => {}
        }
    }
    tree
}

/// One line for each path at which two trees differ; none if they are equal.
pub fn differences(left_name: &str, left: &Tree, right_name: &str, right: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, node) in left {
        match right.get(path) {
            Some(other) if other == node => {}
            Some(other) => lines.push(format!(
                "{} is {node:?} in {left_name}, but {other:?} in {right_name}",
                path.escape_ascii()
            )),
            None => lines.push(format!("{} is in {left_name} only", path.escape_ascii())),
        }
    }
    for path in right.keys().filter(|path| !left.contains_key(*path)) {
        lines.push(format!("{} is in {right_name} only", path.escape_ascii()));
    }
    lines
}
