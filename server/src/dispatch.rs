//! From a request to its handler: what every request has to pass, and who then deals with it.

use std::sync::Arc;

use common::protocol::{Problem, ProblemKind};
use common::wire::http::framing::Framing;
use common::wire::http::head::RequestHead;
use common::wire::http::uri::parse_authority;

use crate::answer::{Answer, Content, Refusal, Reply};
use crate::auth::{Denied, Dialect};
use crate::registry::Seat;
use crate::request::Request;
use crate::room::Full;
use crate::route::{Route, RouteError, route};
use crate::service::Service;
use crate::view::View;
use crate::vigil::Vigil;
use crate::{download, original, relocate, resume, status, stream, sync, upload};

/// Answers a request of the connection with this seat, or says why not.
pub(crate) fn dispatch<'a>(
    service: &'a Arc<Service>,
    seat: &Seat,
    head: &RequestHead,
    framing: Framing,
    body: &mut dyn Content,
) -> Result<Reply<'a>, Refusal> {
    let route = route(head.method, &head.target);
    if let Ok(Route::Public(page)) = route {
        check_name(service, head)?;
        check_expectation(head)?;
        return Ok(Reply::Whole(status::public(page)));
    }
    // Whoever has no key learns nothing else, not even whether the target makes sense.
    let grant = service.auth.check(&head.fields, seat.peer()).map_err(|denied| {
        service.denials.count();
        denied.answer()
    })?;
    seat.know(&grant.realm.account()).map_err(|Full| crowded())?;
    let (route, dialect) = (route?, grant.dialect);
    check_dialect(&route, dialect)?;
    let request = Request::new(head, framing, &grant);
    let view = View::new(service, grant, seat.number());
    check_grant(&route, &view)?;
    check_expectation(head)?;
    let request = request?;
    handle(service, &view, &request, route, dialect, body)
}

/// What is said to one who has a key and no place: nobody could make room for him. It is no trouble of the server's: a flood of such is not to
/// fill the log.
fn crowded() -> Answer {
    let problem = Problem::new(
        ProblemKind::Busy,
        "there are too many connections of this account, or from this address",
    );
    Answer { is_trouble: false, ..Answer::problem(&problem).with("retry-after", "1") }
}

/// Whether what the client may do includes this, and there is a place to do it.
fn check_grant(route: &Route, view: &View<'_>) -> Result<(), Refusal> {
    match route {
        Route::List | Route::Follow { .. } => view.found_root(),
        Route::Download(_) => view.require_root(),
        Route::Put(_)
        | Route::Progress(_)
        | Route::Delete(_)
        | Route::Patch(_)
        | Route::Relocate(_)
        | Route::OriginalUpload => view.require_write().and_then(|()| view.require_root()),
        Route::Metrics => view.require_whole(),
        Route::Status | Route::Public(_) | Route::Options(_) => Ok(()),
    }
}

fn handle<'a>(
    service: &Service,
    view: &View<'a>,
    request: &Request<'_>,
    route: Route,
    dialect: Dialect,
    body: &mut dyn Content,
) -> Result<Reply<'a>, Refusal> {
    let answer = match route {
        Route::List if dialect == Dialect::Original => return original::list(view, body),
        Route::List => return sync::list(view, body),
        Route::Follow { cursor } => return stream::follow(view, request, cursor.as_deref()),
        Route::Download(path) => {
            let (answer, view) = (download::get(view, request, &path)?, view.clone());
            let mut vigil = Vigil::begin();
            return Ok(Reply::Watched(answer, Box::new(move || vigil.look(&view))));
        }
        Route::Put(path) => return upload::put(view, request, &path, body),
        Route::Progress(path) => resume::progress(view, request, &path)?,
        Route::Delete(path) => upload::delete(view, request, &path)?,
        Route::Patch(path) => upload::patch(view, request, &path, body)?,
        Route::Relocate(path) => relocate::relocate(view, request, &path)?,
        Route::OriginalUpload => original::upload(view, request, body)?,
        Route::Status => status::status(service, view),
        Route::Metrics => status::metrics(service, view),
        Route::Public(page) => status::public(page),
        Route::Options(allowed) => Answer::empty(204).with("allow", allowed),
    };
    Ok(Reply::Whole(answer))
}

/// Against pages that have their own name resolve to this machine (DNS rebinding): a server that only this machine can reach answers to
/// local names alone. Requests with the key are exempt: such a page does not have it, but a proxy's clients do. A Unix socket no page can
/// reach.
fn check_name(service: &Service, head: &RequestHead) -> Result<(), Refusal> {
    let host = head.fields.get("host").and_then(parse_authority);
    match host {
        Some((host, _)) if service.checks_names && !is_local_name(host) => {
            Err(Refusal::new(ProblemKind::Http(421), "this server does not go by that name"))
        }
        _ => Ok(()),
    }
}

/// `localhost`, or an address: nobody can have an address resolve to another.
fn is_local_name(host: &str) -> bool {
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    is_address || host.eq_ignore_ascii_case("localhost")
}

/// The original's clients know three requests. Their form of the key opens nothing else.
fn check_dialect(route: &Route, dialect: Dialect) -> Result<(), Refusal> {
    match (dialect, route) {
        (Dialect::Original, Route::List | Route::OriginalUpload | Route::Download(_)) => Ok(()),
        (Dialect::Original, _) => Err(Denied::Wrong.answer().into()),
        (Dialect::Filesync, Route::OriginalUpload) => {
            Err(Refusal::bad("name the path in the target: PUT /upload/{path}"))
        }
        (Dialect::Filesync, _) => Ok(()),
    }
}

/// RFC 9110, section 10.1.1: one expectation is known, any other can't be met.
fn check_expectation(head: &RequestHead) -> Result<(), Refusal> {
    match head.fields.elements("expect").find(|expected| !expected.eq_ignore_ascii_case("100-continue")) {
        Some(_) => Err(Refusal::new(ProblemKind::Http(417), "only 100-continue can be expected")),
        None => Ok(()),
    }
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Refusal {
        match error {
            RouteError::Target(error) => Refusal::bad(error.to_string()),
            RouteError::Path(error) => Refusal::bad(error.to_string()),
            RouteError::NotFound => Refusal::new(ProblemKind::NotFound, "there is nothing of this name"),
            RouteError::MethodNotAllowed(allowed) => {
                let problem = Refusal::new(ProblemKind::MethodNotAllowed, format!("allowed are {allowed}"));
                match problem {
                    Refusal::Answer(answer) => answer.with("allow", allowed).into(),
                    body => body,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names() {
        for name in ["localhost", "LOCALHOST", "127.0.0.1", "10.1.2.3", "[::1]"] {
            assert!(is_local_name(name), "{name}");
        }
        for name in ["example.org", "localhost.example.org", "127.0.0.1.example.org", "1.2.3", ""] {
            assert!(!is_local_name(name), "{name}");
        }
    }

    #[test]
    fn the_other_dialect_opens_little() {
        for route in [Route::Status, Route::Metrics, Route::Follow { cursor: None }, Route::Options("GET")] {
            assert!(check_dialect(&route, Dialect::Original).is_err(), "{route:?}");
            assert!(check_dialect(&route, Dialect::Filesync).is_ok(), "{route:?}");
        }
        assert!(check_dialect(&Route::List, Dialect::Original).is_ok());
        assert!(check_dialect(&Route::OriginalUpload, Dialect::Filesync).is_err());
    }

    #[test]
    fn a_method_that_does_not_fit_hears_which_do() {
        let answer = Refusal::from(RouteError::MethodNotAllowed("GET, HEAD")).into_answer().unwrap();
        assert_eq!((answer.status, answer.fields.get("allow")), (405, Some("GET, HEAD")));
    }
}
