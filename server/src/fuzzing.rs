//! What the fuzz targets see of the server.

use std::sync::OnceLock;

use crate::connection::probe;
use crate::store;
use crate::testing::Workshop;

/// What these bytes say as a record of the box's journal, written anew: the same bytes, or `None` if they are no record.
pub fn repack_box_record(bytes: &[u8]) -> Option<Vec<u8>> {
    store::repack_record(bytes)
}

/// Sends these bytes to a server, the same one each time, and reads what it answers.
///
/// # Panics
/// If something breaks in it.
pub fn serve(bytes: &[u8]) {
    static WORKSHOP: OnceLock<Workshop> = OnceLock::new();
    probe::check(WORKSHOP.get_or_init(Workshop::new), bytes);
}
