//! Uploads that go on where they were cut (draft-ietf-httpbis-resumable-upload): `HEAD` tells how far one has come, `PATCH` continues it.
//!
//! ```text
//!     PUT /upload/a      Repr-Digest, 16 MiB or more       ... cut: what came is kept
//!     HEAD /upload/a     Repr-Digest                       204, Upload-Offset: N          404: nothing was kept
//!     PATCH /upload/a    Repr-Digest, Upload-Offset: N,    as the PUT would have been answered
//!                        Upload-Complete: ?1               409: it is another offset, this one
//! ```
//!
//! The draft's *upload resource* has the address of the upload itself. Which of the uploads to a path is meant is told by `Repr-Digest`
//! and `Sync-Client`: so nobody continues another's upload, nor any content with another. What the first `PUT` said besides (conditions,
//! time, permission bits) is not kept but said again, and checked again: before the body, and for good when the store commits. Whatever
//! was kept, the whole has to have the digest, or nothing is stored.
//!
//! Deviations: there is no 104 (Upload Resumption Supported). It would tell an address that is known, to clients of which some stumble
//! over it; who wants to know asks with `HEAD`. An upload is continued with all of the rest at once (`Upload-Complete: ?1`), and can't be
//! begun with a part. A request for an upload that another connection is at is answered with 503: that one either goes on, or is found to
//! be dead within half a minute.

use std::io;

use common::disk::{Complete, FoundPartial, Partial};
use common::limits::{PARTIAL_AGE, RESUMABLE_BYTES};
use common::protocol::{
    NO, Problem, ProblemKind, UPLOAD_COMPLETE_FIELD, UPLOAD_LENGTH_FIELD, UPLOAD_LIMIT_FIELD,
    UPLOAD_OFFSET_FIELD, YES,
};
use common::tree::{Content as Version, Kind, Path};
use common::wire::http::digest::repr_digest;
use common::wire::http::fields::parse_decimal;
use common::wire::sha256::Hash;

use crate::answer::{Answer, Content, Pieces, Refusal};
use crate::request::Request;
use crate::upload::{
    Received, Wanted, already_there, check_index, check_room, claim, mismatch, read_head, store,
};
use crate::view::View;

/// `HEAD /upload/{path}`: how much of an upload is here.
pub(crate) fn progress(view: &View<'_>, request: &Request<'_>, path: &Path) -> Result<Answer, Refusal> {
    let digest = repr_digest(request.fields())?.map(Hash);
    let partial = find(view, request, path, digest)?;
    Ok(Answer::empty(204)
        .with(UPLOAD_OFFSET_FIELD, partial.offset().to_string())
        .with(UPLOAD_COMPLETE_FIELD, NO)
        .with(UPLOAD_LENGTH_FIELD, partial.length().to_string())
        .with(UPLOAD_LIMIT_FIELD, limits())
        .with("cache-control", "no-store"))
}

/// `PATCH /upload/{path}` with a partial upload: the rest of it.
pub(crate) fn append(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    body: &mut dyn Content,
) -> Result<Answer, Refusal> {
    let wanted = read_head(request)?;
    let offset = decimal(request, UPLOAD_OFFSET_FIELD)?
        .ok_or_else(|| Refusal::bad(format!("{UPLOAD_OFFSET_FIELD} says where the rest begins")))?;
    if wanted.kind != Kind::File || request.field(UPLOAD_COMPLETE_FIELD)? != Some(YES) {
        return Err(Refusal::bad(format!(
            "a file is continued with all of the rest: {UPLOAD_COMPLETE_FIELD}: {YES}"
        )));
    }
    if let Some(answer) = already_there(view, request, path, &wanted)? {
        return Ok(answer.with(UPLOAD_COMPLETE_FIELD, YES));
    }
    check_index(view, request, path, &wanted)?;
    let partial = find(view, request, path, wanted.digest)?;
    check_place(request, offset, &partial)?;
    let claim = claim(view, path, partial.length())?;
    check_room(view, request.length)?;
    let (from, length) = (partial.offset(), partial.length());
    view.log(path, &format!("the upload goes on at byte {from} of {length}"));
    let received = receive(view, path, partial, body)?;
    let answer = store(view, request, path, &wanted, (received, claim), body.trailers())?.answer()?;
    Ok(answer.with(UPLOAD_COMPLETE_FIELD, YES))
}

/// A place for what a `PUT` brings, if it is worth continuing should it be cut; what the same client has left for the path is then gone.
pub(crate) fn begin(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    wanted: &Wanted,
) -> Result<Option<Partial>, Refusal> {
    if request.field(UPLOAD_COMPLETE_FIELD)?.is_some_and(|complete| complete != YES) {
        return Err(Refusal::bad("an upload is begun with all of it"));
    }
    match (wanted.kind, wanted.digest, request.length) {
        (Kind::File, Some(digest), Some(length)) if RESUMABLE_BYTES <= length => view
            .begin_partial(path, request.client.as_deref().unwrap_or(""), digest, length)
            .map_err(|error| Refusal::disk(&error)),
        _ => Ok(None),
    }
}

/// Receives content into its place. If that is cut short, what came is kept.
pub(crate) fn receive(
    view: &View<'_>,
    path: &Path,
    mut partial: Partial,
    body: &mut dyn Content,
) -> Result<Received, Refusal> {
    let on_disk = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidInput => Refusal::bad(error.to_string()),
        _ => Refusal::disk(&error),
    };
    let pieces = Pieces::begin(body);
    pieces.and_then(|pieces| pieces.for_each(|piece| partial.append(piece).map_err(on_disk))).inspect_err(
        |refusal| {
            if let Refusal::Body(_) = refusal {
                let (came, length) = (partial.offset(), partial.length());
                view.log(path, &format!("the upload was cut after {came} of {length} bytes"));
            }
        },
    )?;
    let (size, digest) = (partial.offset(), partial.content());
    match partial.finish().map_err(on_disk)? {
        Complete::Staged(staged, file) => {
            Ok(Received { version: Version::File { size, hash: digest }, staged, file: Some(file) })
        }
        Complete::IsOther(came) => Err(mismatch(digest, Some(came))),
    }
}

fn find(
    view: &View<'_>,
    request: &Request<'_>,
    path: &Path,
    digest: Option<Hash>,
) -> Result<Partial, Refusal> {
    let digest = digest.ok_or_else(|| Refusal::bad("Repr-Digest tells which content is meant"))?;
    let found = view.resume_partial(path, request.client.as_deref().unwrap_or(""), digest);
    match found.map_err(|error| Refusal::disk(&error))? {
        FoundPartial::Partial(partial) => Ok(*partial),
        FoundPartial::Nothing => {
            let detail = format!("of an upload of this content to {path} nothing is here");
            Err(Refusal::new(ProblemKind::NotFound, detail))
        }
        FoundPartial::Busy => {
            let detail = format!("another connection is at the upload of {path}");
            Err(Answer::problem(&Problem::new(ProblemKind::Busy, detail)).with("retry-after", "1").into())
        }
    }
}

/// What comes has to begin where what is here ends, and to end where the whole does.
fn check_place(request: &Request<'_>, offset: u64, partial: &Partial) -> Result<(), Refusal> {
    let (here, length) = (partial.offset(), partial.length());
    if offset != here {
        let problem = Problem::new(ProblemKind::OffsetMismatch, format!("the upload goes on at byte {here}"));
        return Err(Answer::problem(&problem).with(UPLOAD_OFFSET_FIELD, here.to_string()).into());
    }
    let announced =
        [decimal(request, UPLOAD_LENGTH_FIELD)?, request.length.map(|rest| offset.saturating_add(rest))];
    match announced.into_iter().flatten().find(|&announced| announced != length) {
        Some(other) => Err(Refusal::bad(format!("the upload has {length} bytes, and not {other}"))),
        None => Ok(()),
    }
}

fn decimal(request: &Request<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(text) = request.field(name)? else { return Ok(None) };
    parse_decimal(text).map(Some).ok_or_else(|| Refusal::bad(format!("{name} is a number of bytes")))
}

fn limits() -> String {
    format!("max-age={}, min-size={RESUMABLE_BYTES}", PARTIAL_AGE.as_secs())
}

#[cfg(test)]
mod tests {
    use common::wire::http::digest::format_digest;
    use common::wire::http::framing::Framing;
    use common::wire::http::head::parse_request;
    use common::wire::sha256::sha256;

    use super::*;
    use crate::auth::Grant;
    use crate::realm::Realm;
    use crate::testing::Workshop;
    use crate::upload::read_head;

    #[test]
    fn only_what_is_large_gets_a_place_where_it_is_kept() {
        let workshop = Workshop::new();
        let grant = Grant::of_a_test(Realm::default());
        let view = View::new(&workshop.service, grant.clone(), 0);
        let digest = format_digest(&sha256(b"a").0);
        let text =
            format!("PUT /upload/a HTTP/1.1\r\nhost: a\r\nif-match: *\r\nrepr-digest: {digest}\r\n\r\n");
        let (head, _) = parse_request(text.as_bytes()).unwrap().unwrap();
        let is_kept = |length: u64| {
            let request = Request::new(&head, Framing::Length(length), &grant).unwrap();
            let wanted = read_head(&request).unwrap();
            begin(&view, &request, &Path::new(b"a").unwrap(), &wanted).unwrap().is_some()
        };
        assert!(!is_kept(RESUMABLE_BYTES - 1) && is_kept(RESUMABLE_BYTES));
        let said = limits();
        assert!(said.contains(&format!("={RESUMABLE_BYTES}")), "{said}");
        assert!(said.contains(&format!("max-age={},", PARTIAL_AGE.as_secs())), "{said}");
    }
}
