//! Folders and box, through everything that can happen to them.

/// Edits on both sides that did not know of each other, and deletes against edits.
mod conflicts;
/// Changes made while a client or the server was down, and ends in the middle of things.
mod down;
/// Folders and boxes that are missing, emptied, replaced or copied.
mod guards;
/// Changes made by hand in the box.
mod hand;
/// Rules that say what does not sync.
mod ignore;
/// Files, links and directories that take each other's names.
mod kinds;
/// Changes in one folder that appear in the other while everything runs.
mod live;
/// What a client remembers, damaged in every way.
mod memory;
/// Times and permission bits that are changed in several places at once.
mod metadata;
/// Directories that may not be changed, for whom modes bind.
mod modes;
/// Renames, moves, swaps and copies, for which no content goes over the wire.
mod moves;
/// Names that Linux allows and others stumble over.
mod names;
/// A history that is too short, and a week of changes on both sides.
mod resume;
/// What comes of every two operations that meet.
mod table;
/// Lost state, unreadable and unsteady files, deletions too many.
mod trouble;
/// Word of what changes: nothing unseen, nothing torn, nothing twice.
mod watching;
