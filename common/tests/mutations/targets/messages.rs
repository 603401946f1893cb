//! What clients and server say to each other: lists, events, problems.

use std::io::Read;

use common::limits::CLIENT_ID_BYTES;
use common::protocol::{
    Event, ListError, ListHead, ListItem, Problem, RemoteEntry, encode_list_head, encode_list_item,
    encode_list_tail, read_item,
};
use common::wire::{json, sse};

use super::first_line;
use super::texts::Drip;

pub(super) fn list(bytes: &[u8]) {
    let whole = read_list(bytes);
    match (&whole, read_list(Drip(bytes))) {
        (Ok(whole), Ok(dripped)) => assert_eq!(*whole, dripped),
        (Err(whole), Err(dripped)) => assert_eq!(in_words(whole), in_words(&dripped)),
        (whole, dripped) => panic!("{whole:?} and, byte by byte, {dripped:?}"),
    }
    let Ok((head, items)) = whole else { return };
    let mut text = encode_list_head(&head);
    for (index, item) in items.iter().enumerate() {
        encode_list_item(&mut text, item, index == 0);
    }
    text.extend_from_slice(encode_list_tail());
    assert_eq!(read_list(text.as_slice()).expect("a list that was written"), (head, items));
}

fn in_words(error: &ListError) -> String {
    match error {
        ListError::Json(error) => error.to_string(),
        ListError::Protocol(error) => error.to_string(),
    }
}

fn read_list(source: impl Read) -> Result<(ListHead, Vec<ListItem>), ListError> {
    let mut reader = json::Reader::new(source);
    let (head, has_items) = ListHead::read(&mut reader)?;
    let mut items = Vec::new();
    if has_items {
        while reader.next_item()? {
            items.push(read_item(&reader.value()?)?);
        }
        while reader.next_key()?.is_some() {
            reader.skip()?;
        }
    }
    reader.end()?;
    Ok((head, items))
}

/// The first line is the name, the rest the data.
pub(super) fn event(bytes: &[u8]) {
    let (name, data) = first_line(bytes);
    let (Ok(name), Ok(data)) = (str::from_utf8(name), str::from_utf8(data)) else { return };
    let Ok(Some(event)) = Event::parse(name, data) else { return };
    if !is_ever_written(&event) {
        return;
    }
    let text = event.encode(None);
    let (used, heard) = sse::Reader::new().feed(&text).expect("what was written can be read");
    let heard = heard.expect("an event ends with a blank line");
    assert_eq!(used, text.len());
    assert_eq!(Event::parse(&heard.name, &heard.data), Ok(Some(event)));
}

/// Servers know who made a change by an id that they have checked.
fn is_ever_written(event: &Event) -> bool {
    match event {
        Event::Download(remote) | Event::Delete(remote) | Event::Conflict(remote) | Event::Stored(remote) => {
            has_short_origin(remote)
        }
        Event::Misnamed { .. } => false,
        Event::Hello(_) | Event::Upload { .. } | Event::Synced(_) | Event::Passed | Event::Reset => true,
    }
}

fn has_short_origin(remote: &RemoteEntry) -> bool {
    remote.origin.as_ref().is_none_or(|origin| origin.len() <= CLIENT_ID_BYTES)
}

/// The first line is the status, the rest the document.
pub(super) fn problem(bytes: &[u8]) {
    let (status, body) = first_line(bytes);
    let Some(status) = str::from_utf8(status).ok().and_then(|status| status.parse().ok()) else { return };
    if let Some(problem) = Problem::parse(status, body) {
        assert_eq!(Problem::parse(status, &problem.encode()), Some(problem));
    }
}
