//! What a request is about: method and target become a [`Route`]. Pure.
//!
//! The target is percent-decoded once, as a whole, then split at `/` and validated. So `%2F` is a separator, `%252e` is the four
//! characters `%2e`, and nothing is normalised: a path that would need it is refused.

use common::tree::{Path, PathError};
use common::wire::http::head::Method;
use common::wire::http::uri::{UriError, percent_decode, query_pairs, split_target};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `POST /sync`: answer a list, then tell what changes.
    List,
    /// `GET /sync`: tell what changes, after this cursor if there is one.
    Follow { cursor: Option<String> },
    /// `GET` and `HEAD /download/{path}`.
    Download(Path),
    /// `PUT /upload/{path}`.
    Put(Path),
    /// `HEAD /upload/{path}`: how far an upload has come that was cut.
    Progress(Path),
    /// `DELETE /upload/{path}`.
    Delete(Path),
    /// `PATCH /upload/{path}`.
    Patch(Path),
    /// `MOVE` and `COPY /upload/{path}`.
    Relocate(Path),
    /// `POST /upload`: the original's clients name the path in a field.
    OriginalUpload,
    /// `GET /status`.
    Status,
    /// `GET /metrics`.
    Metrics,
    /// What anybody may ask for.
    Public(Public),
    /// `OPTIONS`: what else is allowed.
    Options(&'static str),
}

/// What shows nothing of the box, so that no key is asked for: for those who only want to know whether the server is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Public {
    /// `GET /healthz`.
    Health,
    /// `GET /`.
    Page,
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// The target is malformed.
    Target(UriError),
    /// What follows `/download/` or `/upload/` is not a path.
    Path(PathError),
    /// Nothing has this name.
    NotFound,
    /// It has, but takes only these methods.
    MethodNotAllowed(&'static str),
}

/// What a target names, before the method is looked at.
enum Resource {
    Sync,
    Download(Path),
    Upload(Path),
    OriginalUpload,
    Status,
    Metrics,
    Health,
    Page,
}

/// Finds the route of a request.
pub(crate) fn route(method: Method, target: &str) -> Result<Route, RouteError> {
    let (path, query) = split_target(target).map_err(RouteError::Target)?;
    let resource = resource(&percent_decode(path).map_err(RouteError::Target)?)?;
    let allowed = allowed(&resource);
    let reads = matches!(method, Method::Get | Method::Head);
    match (resource, method) {
        (_, Method::Options) => Ok(Route::Options(allowed)),
        (Resource::Sync, Method::Post) => Ok(Route::List),
        (Resource::Sync, Method::Get) => Ok(Route::Follow { cursor: cursor(query)? }),
        (Resource::Download(path), _) if reads => Ok(Route::Download(path)),
        (Resource::Upload(path), Method::Put) => Ok(Route::Put(path)),
        (Resource::Upload(path), Method::Head) => Ok(Route::Progress(path)),
        (Resource::Upload(path), Method::Delete) => Ok(Route::Delete(path)),
        (Resource::Upload(path), Method::Patch) => Ok(Route::Patch(path)),
        (Resource::Upload(path), Method::Move | Method::Copy) => Ok(Route::Relocate(path)),
        (Resource::OriginalUpload, Method::Post) => Ok(Route::OriginalUpload),
        (Resource::Status, _) if reads => Ok(Route::Status),
        (Resource::Metrics, _) if reads => Ok(Route::Metrics),
        (Resource::Health, _) if reads => Ok(Route::Public(Public::Health)),
        (Resource::Page, _) if reads => Ok(Route::Public(Public::Page)),
        _ => Err(RouteError::MethodNotAllowed(allowed)),
    }
}

/// The path that a `Destination` names, which has the form of a target.
pub(crate) fn upload_path(target: &str) -> Option<Path> {
    let (path, _) = split_target(target).ok()?;
    match resource(&percent_decode(path).ok()?) {
        Ok(Resource::Upload(path)) => Some(path),
        _ => None,
    }
}

fn resource(decoded: &[u8]) -> Result<Resource, RouteError> {
    let path = |bytes| Path::new(bytes).map_err(RouteError::Path);
    if let Some(bytes) = decoded.strip_prefix(b"/download/") {
        return path(bytes).map(Resource::Download);
    }
    if let Some(bytes) = decoded.strip_prefix(b"/upload/") {
        return path(bytes).map(Resource::Upload);
    }
    match decoded {
        b"/" => Ok(Resource::Page),
        b"/sync" => Ok(Resource::Sync),
        b"/upload" => Ok(Resource::OriginalUpload),
        b"/status" => Ok(Resource::Status),
        b"/metrics" => Ok(Resource::Metrics),
        b"/healthz" => Ok(Resource::Health),
        _ => Err(RouteError::NotFound),
    }
}

fn allowed(resource: &Resource) -> &'static str {
    match resource {
        Resource::Sync => "GET, POST, OPTIONS",
        Resource::Upload(_) => "HEAD, PUT, DELETE, PATCH, MOVE, COPY, OPTIONS",
        Resource::OriginalUpload => "POST, OPTIONS",
        Resource::Download(_) | Resource::Status | Resource::Metrics | Resource::Health | Resource::Page => {
            "GET, HEAD, OPTIONS"
        }
    }
}

fn cursor(query: Option<&str>) -> Result<Option<String>, RouteError> {
    let pairs = query_pairs(query.unwrap_or("")).map_err(RouteError::Target)?;
    Ok(pairs.into_iter().find_map(|(name, value)| (name == "cursor").then_some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: &[u8]) -> Path {
        Path::new(bytes).unwrap()
    }

    #[test]
    fn what_there_is() {
        for (method, target, want) in [
            (Method::Get, "/", Route::Public(Public::Page)),
            (Method::Head, "/healthz", Route::Public(Public::Health)),
            (Method::Get, "/status", Route::Status),
            (Method::Get, "/metrics?a=b", Route::Metrics),
            (Method::Post, "/sync", Route::List),
            (Method::Get, "/sync", Route::Follow { cursor: None }),
            (Method::Get, "/sync?cursor=00-1&x", Route::Follow { cursor: Some("00-1".into()) }),
            (Method::Get, "/download/a/b.txt", Route::Download(path(b"a/b.txt"))),
            (Method::Get, "/download/a%2Fb.txt", Route::Download(path(b"a/b.txt"))),
            (Method::Get, "/download/a?b", Route::Download(path(b"a"))),
            (Method::Head, "/download/%FF%0A%3F", Route::Download(path(b"\xff\n?"))),
            (Method::Get, "/download/a+b;c", Route::Download(path(b"a+b;c"))),
            (Method::Put, "/upload/%252e%252e", Route::Put(path(b"%2e%2e"))),
            (Method::Head, "/upload/a", Route::Progress(path(b"a"))),
            (Method::Delete, "/upload/a", Route::Delete(path(b"a"))),
            (Method::Patch, "/upload/a", Route::Patch(path(b"a"))),
            (Method::Move, "/upload/a", Route::Relocate(path(b"a"))),
            (Method::Copy, "/upload/a", Route::Relocate(path(b"a"))),
            (Method::Post, "/upload", Route::OriginalUpload),
            (Method::Options, "/upload", Route::Options("POST, OPTIONS")),
        ] {
            assert_eq!(route(method, target), Ok(want), "{method} {target}");
        }
    }

    #[test]
    fn what_there_is_not() {
        for (method, target, want) in [
            (Method::Get, "/nothing", RouteError::NotFound),
            (Method::Get, "/download", RouteError::NotFound),
            (Method::Get, "/Sync", RouteError::NotFound),
            (Method::Get, "/sync/", RouteError::NotFound),
            (Method::Put, "/sync", RouteError::MethodNotAllowed("GET, POST, OPTIONS")),
            (Method::Post, "/download/a", RouteError::MethodNotAllowed("GET, HEAD, OPTIONS")),
            (
                Method::Get,
                "/upload/a",
                RouteError::MethodNotAllowed("HEAD, PUT, DELETE, PATCH, MOVE, COPY, OPTIONS"),
            ),
            (Method::Get, "/upload", RouteError::MethodNotAllowed("POST, OPTIONS")),
            (Method::Delete, "/", RouteError::MethodNotAllowed("GET, HEAD, OPTIONS")),
        ] {
            assert_eq!(route(method, target), Err(want), "{method} {target}");
        }
    }

    #[test]
    fn attacks() {
        for (target, want) in [
            ("/download/", RouteError::Path(PathError::Empty)),
            ("/download//etc/passwd", RouteError::Path(PathError::Absolute)),
            ("/download/%2Fetc/passwd", RouteError::Path(PathError::Absolute)),
            ("/download/a//b", RouteError::Path(PathError::EmptyName)),
            ("/download/a/", RouteError::Path(PathError::EmptyName)),
            ("/download/../key", RouteError::Path(PathError::DotName)),
            ("/download/%2e%2e/key", RouteError::Path(PathError::DotName)),
            ("/download/%2e%2e%2fkey", RouteError::Path(PathError::DotName)),
            ("/download/a/%2E/b", RouteError::Path(PathError::DotName)),
            ("/download/a%00b", RouteError::Path(PathError::Nul)),
            ("/download/.filesync/key", RouteError::Path(PathError::Reserved)),
            ("/download/%2efilesync/key", RouteError::Path(PathError::Reserved)),
            ("/download/a/.filesync", RouteError::Path(PathError::Reserved)),
            ("/download/%zz", RouteError::Target(UriError::BadEscape { offset: 10 })),
            ("/download/%", RouteError::Target(UriError::BadEscape { offset: 10 })),
            ("/download/..%5ckey%2", RouteError::Target(UriError::BadEscape { offset: 18 })),
            ("/../download/a", RouteError::NotFound),
            ("//download/a", RouteError::NotFound),
            ("http://example.org/download/a", RouteError::Target(UriError::NotOriginForm)),
            ("*", RouteError::Target(UriError::NotOriginForm)),
            ("/sync?cursor=%ff", RouteError::Target(UriError::NotUtf8)),
        ] {
            assert_eq!(route(Method::Get, target), Err(want), "{target}");
        }
        let long = format!("/download/{}", "a".repeat(256));
        assert_eq!(route(Method::Get, &long), Err(RouteError::Path(PathError::NameTooLong)));
    }
}
