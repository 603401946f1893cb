//! The client's list, piece by piece, straight from bases and tracks: there is never a copy of it.

use std::ops::Bound;

use super::Control;
use crate::engine::message::ListPiece;
use crate::engine::state::Base;
use crate::engine::track::{Local, Track};
use crate::limits::{LIST_PIECE_BYTES, LIST_PIECE_PATHS};
use crate::protocol::{Known, ListItem, encode_list_item};
use crate::tree::Path;

impl Control {
    /// The items after a path, up to a piece's size. A path about which nothing is known right now is left out; what the server then says
    /// about it is heard like anything else.
    pub(super) fn list_piece(&self, after: Option<&Path>, complete: bool) -> ListPiece {
        let from =
            (after.map_or(Bound::Unbounded, |path| Bound::Excluded(path.as_bytes())), Bound::Unbounded);
        let mut bases = self.state.bases().range::<[u8], _>(from).peekable();
        let mut tracks = self.inner.tracks.range::<[u8], _>(from).peekable();
        let mut piece = ListPiece { bytes: Vec::new(), last: None };
        for _ in 0..LIST_PIECE_PATHS {
            let next_base = if complete { bases.peek().map(|(path, _)| *path) } else { None };
            let next = [next_base, tracks.peek().map(|(path, _)| *path)].into_iter().flatten().min();
            let Some(path) = next.cloned() else { return ListPiece { last: None, ..piece } };
            bases.next_if(|(base_path, _)| complete && **base_path == path);
            tracks.next_if(|(track_path, _)| **track_path == path);
            if let Some(item) = list_item(&path, self.base(&path), self.inner.tracks.get(&path), complete) {
                encode_list_item(&mut piece.bytes, &item, false);
            }
            piece.last = Some(path);
            if LIST_PIECE_BYTES <= piece.bytes.len() {
                break;
            }
        }
        piece
    }
}

fn list_item(path: &Path, base: Option<&Base>, track: Option<&Track>, complete: bool) -> Option<ListItem> {
    let is_as_base = track.is_none_or(|track| track.local == Local::AsBase);
    if is_as_base && !complete {
        return None;
    }
    let local = match track {
        Some(track) => track.local_entry(base)?,
        None => base.map(|base| base.entry),
    };
    let base = base.map(Base::seen);
    let known = match local {
        Some(entry) => Known::Present(entry),
        None if base.is_some() => Known::Deleted,
        None => return None,
    };
    Some(ListItem { path: path.clone(), known, base })
}
