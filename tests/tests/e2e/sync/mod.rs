//! Folders and box, through everything that can happen to them.

/// Edits on both sides that did not know of each other, and deletes against edits.
mod conflicts;
/// Changes made while a client or the server was down, and ends in the middle of things.
mod down;
/// Changes made by hand in the box.
mod hand;
/// Rules that say what does not sync.
mod ignore;
/// Files, links and directories that take each other's names.
mod kinds;
/// Changes in one folder that appear in the other while everything runs.
mod live;
/// Renames, moves, swaps and copies, for which no content goes over the wire.
mod moves;
/// Names that Linux allows and others stumble over.
mod names;
/// What comes of every two operations that meet.
mod table;
/// Lost state, unreadable and unsteady files, deletions too many.
mod trouble;
