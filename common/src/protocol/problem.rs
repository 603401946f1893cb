//! Errors as documents: `application/problem+json` (RFC 9457). The `type` is the contract; the words beside it are for people.

use super::event::{RemoteEntry, remote, remote_members};
use super::quota::Quota;
use crate::wire::json::{self, Value, Writer};

/// The media type of a problem document.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// The kinds of problems, each with a stable `type` and a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request breaks HTTP or this protocol.
    BadRequest,
    /// No valid key or token.
    Unauthorized,
    /// The token is valid, and does not allow this.
    InsufficientScope,
    /// There is nothing at this path.
    NotFound,
    /// The method does not fit the target.
    MethodNotAllowed,
    /// The directory above does not exist, or is not a directory.
    ParentMissing,
    /// The directory is not empty.
    NotEmpty,
    /// A directory can't be moved into itself.
    IntoItself,
    /// The folder that the token is confined to is not there.
    RootMissing,
    /// An upload is continued at another byte than the server has it up to.
    OffsetMismatch,
    /// The path does not hold what `If-Match` or `If-None-Match` asks for.
    PreconditionFailed,
    /// The body is longer than it may be.
    TooLarge,
    /// The media type or coding is not understood.
    UnsupportedMediaType,
    /// The bytes received do not have the digest that was announced.
    DigestMismatch,
    /// A change without `If-Match` or `If-None-Match`.
    PreconditionRequired,
    /// Too many wrong keys came from this address.
    TooManyAttempts,
    /// Something went wrong inside the server.
    Internal,
    /// The server is at a limit, or about to stop; later it may work.
    Busy,
    /// No space left in the box.
    NoSpace,
    /// The account holds as much as its token allows.
    QuotaExceeded,
    /// A status that HTTP itself defines well enough.
    Http(u16),
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub kind: ProblemKind,
    /// What happened, for people.
    pub detail: String,
    /// What the box holds at the path, where that helps to go on without asking again.
    pub current: Option<RemoteEntry>,
    /// What the account holds and may hold, where that is the problem.
    pub quota: Option<Quota>,
}

const KINDS: [ProblemKind; 20] = [
    ProblemKind::BadRequest,
    ProblemKind::Unauthorized,
    ProblemKind::InsufficientScope,
    ProblemKind::NotFound,
    ProblemKind::MethodNotAllowed,
    ProblemKind::ParentMissing,
    ProblemKind::NotEmpty,
    ProblemKind::IntoItself,
    ProblemKind::RootMissing,
    ProblemKind::OffsetMismatch,
    ProblemKind::PreconditionFailed,
    ProblemKind::TooLarge,
    ProblemKind::UnsupportedMediaType,
    ProblemKind::DigestMismatch,
    ProblemKind::PreconditionRequired,
    ProblemKind::TooManyAttempts,
    ProblemKind::Internal,
    ProblemKind::Busy,
    ProblemKind::NoSpace,
    ProblemKind::QuotaExceeded,
];

impl ProblemKind {
    /// The status it is answered with.
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// The last part of its `type`.
    fn word(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            ProblemKind::BadRequest => (400, "bad-request", "The request is malformed"),
            ProblemKind::Unauthorized => (401, "unauthorized", "A valid key or token is needed"),
            ProblemKind::InsufficientScope => (403, "insufficient-scope", "The token does not allow this"),
            ProblemKind::NotFound => (404, "not-found", "There is nothing at this path"),
            ProblemKind::MethodNotAllowed => {
                (405, "method-not-allowed", "The method does not fit the target")
            }
            ProblemKind::ParentMissing => (409, "parent-missing", "The directory above does not exist"),
            ProblemKind::NotEmpty => (409, "not-empty", "The directory is not empty"),
            ProblemKind::IntoItself => {
                (409, "into-itself", "The destination is the thing itself or inside it")
            }
            ProblemKind::RootMissing => {
                (409, "root-missing", "The folder that the token is for is not there")
            }
            ProblemKind::OffsetMismatch => (409, "offset-mismatch", "The upload goes on at another byte"),
            ProblemKind::PreconditionFailed => (412, "precondition-failed", "The box holds another version"),
            ProblemKind::TooLarge => (413, "too-large", "The body is too large"),
            ProblemKind::UnsupportedMediaType => {
                (415, "unsupported-media-type", "The media type is not understood")
            }
            ProblemKind::DigestMismatch => {
                (422, "digest-mismatch", "The content does not have the announced digest")
            }
            ProblemKind::PreconditionRequired => {
                (428, "precondition-required", "If-Match or If-None-Match is needed")
            }
            ProblemKind::TooManyAttempts => (429, "too-many-attempts", "Too many wrong keys"),
            ProblemKind::Internal => (500, "internal", "Something went wrong inside the server"),
            ProblemKind::Busy => (503, "busy", "The server is at a limit"),
            ProblemKind::NoSpace => (507, "no-space", "No space left in the box"),
            ProblemKind::QuotaExceeded => (507, "quota-exceeded", "The account holds as much as it may"),
            ProblemKind::Http(status) => (status, "http", "The request was refused"),
        }
    }
}

impl Problem {
    /// A problem without a version.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Problem {
        Problem { kind, detail: detail.into(), current: None, quota: None }
    }

    /// The document.
    pub fn encode(&self) -> Vec<u8> {
        let (status, word, title) = self.kind.row();
        let mut json = Writer::new();
        json.begin_object();
        match self.kind {
            ProblemKind::Http(_) => json.field_str("type", "about:blank"),
            _ => json.field_str("type", &format!("/problems/{word}")),
        };
        json.field_str("title", title)
            .field_u64("status", u64::from(status))
            .field_str("detail", &self.detail);
        if let Some(current) = &self.current {
            json.key("current").begin_object();
            remote_members(&mut json, current);
            json.end_object();
        }
        if let Some(quota) = &self.quota {
            json.key("quota");
            quota.encode(&mut json);
        }
        json.end_object();
        let mut bytes = json.finish();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a document. `None` if it is none of ours: a proxy's page, or cut off.
    pub fn parse(status: u16, body: &[u8]) -> Option<Problem> {
        let object = json::parse(body).ok()?;
        let word = object.get("type")?.as_str()?.strip_prefix("/problems/");
        let kind = match word {
            Some(word) => KINDS.into_iter().find(|kind| kind.word() == word && kind.status() == status)?,
            None => ProblemKind::Http(status),
        };
        let detail = object.get("detail").and_then(Value::as_str).unwrap_or("").to_owned();
        let current = match object.get("current") {
            Some(current) => Some(remote(current).ok()?),
            None => None,
        };
        let quota = match object.get("quota") {
            Some(quota) => Some(Quota::read(quota)?),
            None => None,
        };
        Some(Problem { kind, detail, current, quota })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Allowance, Amount};
    use crate::tree::Path;

    #[test]
    fn round_trip() {
        let current =
            RemoteEntry { path: Path::new(b"a b").unwrap(), entry: None, seq: 3, since: 3, origin: None };
        let allowed = Allowance { bytes: Some(2), entries: None };
        let quota = Quota { used: Amount { bytes: 1, entries: 5 }, allowed };
        for kind in KINDS.into_iter().chain([ProblemKind::Http(417)]) {
            for (current, quota) in [(None, None), (Some(current.clone()), None), (None, Some(quota))] {
                let problem = Problem { kind, detail: "\"why\"\n".into(), current, quota };
                let bytes = problem.encode();
                assert_eq!(Problem::parse(kind.status(), &bytes), Some(problem));
                for end in 0..bytes.len() - 1 {
                    assert_eq!(Problem::parse(kind.status(), &bytes[..end]), None);
                }
            }
        }
    }

    #[test]
    fn what_a_proxy_says_is_not_ours() {
        assert_eq!(Problem::parse(502, b"<html>Bad Gateway</html>"), None);
        assert_eq!(Problem::parse(412, b"{\"type\":\"/problems/no-space\",\"detail\":\"\"}"), None);
        assert_eq!(Problem::parse(412, b"{\"type\":\"/problems/unheard-of\"}"), None);
    }
}
