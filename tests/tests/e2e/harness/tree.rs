//! What a folder holds, in a form that can be compared.
//!
//! Compared are names as bytes, kinds, contents, permission bits, and of files the modification time. Not compared is the time of a
//! directory, which every change inside it moves, nor that of a symlink.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hasher};
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
        /// A hash that only this process understands.
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
            let node = node(&path, &fs::symlink_metadata(&path)?)?;
            if matches!(node, Node::Directory { .. }) {
                directories.push(path.clone());
            }
            tree.insert(relative.to_owned(), node);
        }
    }
    Ok(tree)
}

fn node(path: &Path, metadata: &Metadata) -> io::Result<Node> {
    let mode = metadata.mode() & 0o7777;
    let kind = metadata.file_type();
    if kind.is_dir() {
        Ok(Node::Directory { mode })
    } else if kind.is_symlink() {
        Ok(Node::Symlink { target: fs::read_link(path)?.as_os_str().as_bytes().to_owned() })
    } else if kind.is_file() {
        let mtime = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Ok(Node::File { mode, mtime, size: metadata.len(), content: content_hash(path)? })
    } else {
        Ok(Node::Special)
    }
}

fn content_hash(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut hasher = DefaultHasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.write(&buffer[..count]),
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
