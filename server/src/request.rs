//! A request as handlers see it: head, the length of its body, and who sent it.

use common::limits::CLIENT_ID_BYTES;
use common::protocol::CLIENT_FIELD;
use common::wire::http::fields::Fields;
use common::wire::http::framing::Framing;
use common::wire::http::head::{Method, RequestHead};

use crate::answer::Refusal;
use crate::auth::Grant;

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) head: &'a RequestHead,
    /// Length of the body in bytes; `None` if it is not known before its end.
    pub(crate) length: Option<u64>,
    /// The client, if it says which, as it is known here.
    pub(crate) client: Option<String>,
}

impl<'a> Request<'a> {
    /// The request with this head, and a body that is delimited like this.
    pub(crate) fn new(
        head: &'a RequestHead,
        framing: Framing,
        grant: &Grant,
    ) -> Result<Request<'a>, Refusal> {
        let length = match framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let client = unique(&head.fields, CLIENT_FIELD)?;
        match client {
            Some(id) if !is_client_id(id) => Err(Refusal::bad(format!(
                "{CLIENT_FIELD} is 1 to {CLIENT_ID_BYTES} letters, digits, hyphens, underscores and dots"
            ))),
            _ => Ok(Request { head, length, client: client.map(|id| grant.identity(id)) }),
        }
    }

    /// The method.
    pub(crate) fn method(&self) -> Method {
        self.head.method
    }

    /// All fields.
    pub(crate) fn fields(&self) -> &'a Fields {
        &self.head.fields
    }

    /// The value of a field that may stand once.
    pub(crate) fn field(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        unique(&self.head.fields, name)
    }
}

fn unique<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a str>, Refusal> {
    Ok(fields.unique(&name.to_ascii_lowercase())?)
}

fn is_client_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=CLIENT_ID_BYTES).contains(&id.len()) && id.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realm::Realm;
    use common::wire::http::head::parse_request;

    fn client(id: &str) -> Result<Option<String>, u16> {
        let text = format!("GET / HTTP/1.1\r\nhost: a\r\nSync-Client: {id}\r\n\r\n");
        let (head, _) = parse_request(text.as_bytes()).unwrap().unwrap();
        let grant = Grant::of_a_test(Realm::default());
        match Request::new(&head, Framing::None, &grant) {
            Ok(request) => Ok(request.client),
            Err(refusal) => Err(refusal.into_answer().unwrap().status),
        }
    }

    #[test]
    fn a_client_names_itself_plainly() {
        assert_eq!(client("9c-2f_a.b"), Ok(Some("9c-2f_a.b".to_owned())));
        let longest = "a".repeat(CLIENT_ID_BYTES);
        assert_eq!(client(&longest), Ok(Some(longest.clone())));
        for id in ["", "a b", "a/b", "\"", &format!("{longest}a")] {
            assert_eq!(client(id), Err(400), "{id:?}");
        }
    }
}
