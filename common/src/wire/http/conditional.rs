//! Conditional requests (RFC 9110, section 13).
//!
//! ```text
//!     If-Match  ?  strong match  : If-Unmodified-Since ? not younger      no: Failed (412)
//!         |  yes
//!     If-None-Match ? no weak match : If-Modified-Since ? younger         no: NotModified (304) for GET and HEAD, else Failed
//!         |  yes
//!     Proceed                                                             (If-Range then decides about Range alone)
//! ```
//!
//! Tags are handed in and out without their quotes. Those of filesync are hashes of content, hence always strong.
//!
//! Format notes:
//! - A tag may hold a comma, so a list of tags is not split at commas.
//! - A weak tag never matches strongly, not even itself.
//! - An entity tag is ASCII here: fields with other bytes don't get this far in requests.
//! - A date that can't be parsed is as good as absent (sections 13.1.3, 13.1.4); a list of tags that can't be parsed is a 400, since
//!   ignoring it could overwrite what it was meant to protect.

use super::date::parse_date;
use super::fields::{Fields, trim};
use super::head::{HeadError, Method};

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// They hold, or there are none.
    Proceed,
    /// The client has it already: 304.
    NotModified,
    /// Something else is there than the client believes: 412.
    Failed,
}

/// What a write has to find in its place. RFC 9110 lets a write go without; filesync doesn't (RFC 6585, section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WritePrecondition {
    /// Nothing was asked for: 428.
    Missing,
    /// `If-None-Match: *`: nothing may be there.
    CreateOnly,
    /// `If-Match` with tags: one of these versions must be there. Weak tags are left out, for they match nothing; the list may
    /// therefore be empty.
    Match(Vec<String>),
    /// `If-Match: *`: something must be there.
    AnyExisting,
}

/// An entity tag.
///
/// ```text
/// entity-tag = [ "W/" ] DQUOTE *( %x21 / %x23-7E ) DQUOTE
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityTag<'a> {
    /// The same tag means the same bytes.
    Strong(&'a str),
    /// The same tag means the same meaning.
    Weak(&'a str),
}

impl<'a> EntityTag<'a> {
    /// Parses one tag.
    pub fn parse(text: &'a str) -> Option<EntityTag<'a>> {
        match EntityTag::parse_first(text)? {
            (tag, "") => Some(tag),
            _ => None,
        }
    }

    /// Parses the tag that `text` starts with, and gives back what follows it.
    fn parse_first(text: &'a str) -> Option<(EntityTag<'a>, &'a str)> {
        let (quoted, weak) = match text.strip_prefix("W/") {
            Some(quoted) => (quoted, true),
            None => (text, false),
        };
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        if !opaque.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        Some((if weak { EntityTag::Weak(opaque) } else { EntityTag::Strong(opaque) }, rest))
    }

    /// The tag without quotes.
    pub fn opaque(self) -> &'a str {
        match self {
            EntityTag::Strong(opaque) | EntityTag::Weak(opaque) => opaque,
        }
    }
}

/// The value of an `ETag` field for a strong tag.
pub fn format_tag(opaque: &str) -> String {
    format!("\"{opaque}\"")
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Debug)]
enum Tags<'a> {
    Any,
    List(Vec<EntityTag<'a>>),
}

impl Tags<'_> {
    /// Section 8.8.3.2: both strong, and equal.
    fn match_strongly(&self, current: Option<&str>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::List(tags), Some(current)) => tags.contains(&EntityTag::Strong(current)),
        }
    }

    /// Section 8.8.3.2: equal, strong or not.
    fn match_weakly(&self, current: Option<&str>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::List(tags), Some(current)) => tags.iter().any(|tag| tag.opaque() == current),
        }
    }
}

/// The tags of a field over all its lines; `None` if it is absent.
fn parse_tags<'a>(fields: &'a Fields, name: &'static str) -> Result<Option<Tags<'a>>, HeadError> {
    let malformed = HeadError::BadField { name, reason: "not a list of entity tags" };
    let lines: Vec<&str> = fields.all(name).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    if lines == ["*"] {
        return Ok(Some(Tags::Any));
    }
    let mut tags = Vec::new();
    for line in lines {
        tags.append(&mut parse_tag_line(line).ok_or(malformed.clone())?);
    }
    if tags.is_empty() { Err(malformed) } else { Ok(Some(Tags::List(tags))) }
}

/// ```text
/// #entity-tag = [ entity-tag ] *( OWS "," OWS [ entity-tag ] )
/// ```
fn parse_tag_line(line: &str) -> Option<Vec<EntityTag<'_>>> {
    let (mut tags, mut rest) = (Vec::new(), line);
    loop {
        rest = trim(rest);
        if !rest.is_empty() && !rest.starts_with(',') {
            let (tag, after) = EntityTag::parse_first(rest)?;
            tags.push(tag);
            rest = trim(after);
        }
        if rest.is_empty() {
            return Some(tags);
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// Evaluates the preconditions of a request in the order of section 13.2.2.
///
/// `etag` is the tag of what is there now, `None` if nothing is; `last_modified` is in seconds since 1970.
pub fn evaluate(
    method: Method,
    fields: &Fields,
    etag: Option<&str>,
    last_modified: Option<i64>,
) -> Result<Precondition, HeadError> {
    let reads = matches!(method, Method::Get | Method::Head);
    let not_younger = |name| -> Result<Option<bool>, HeadError> {
        let date = fields.unique(name)?.and_then(parse_date);
        Ok(date.zip(last_modified).map(|(date, modified)| modified <= date))
    };

    let holds = match parse_tags(fields, "if-match")? {
        Some(tags) => tags.match_strongly(etag),
        None => not_younger("if-unmodified-since")?.unwrap_or(true),
    };
    if !holds {
        return Ok(Precondition::Failed);
    }

    let has_it = match parse_tags(fields, "if-none-match")? {
        Some(tags) => tags.match_weakly(etag),
        None => reads && not_younger("if-modified-since")?.unwrap_or(false),
    };
    Ok(match (has_it, reads) {
        (false, _) => Precondition::Proceed,
        (true, true) => Precondition::NotModified,
        (true, false) => Precondition::Failed,
    })
}

/// The precondition of a write. More than one, or one that a write has no use for, is a 400.
pub fn write_precondition(fields: &Fields) -> Result<WritePrecondition, HeadError> {
    match (parse_tags(fields, "if-match")?, parse_tags(fields, "if-none-match")?) {
        (None, None) => Ok(WritePrecondition::Missing),
        (None, Some(Tags::Any)) => Ok(WritePrecondition::CreateOnly),
        (Some(Tags::Any), None) => Ok(WritePrecondition::AnyExisting),
        (Some(Tags::List(tags)), None) => Ok(WritePrecondition::Match(strong_only(&tags))),
        (None, Some(Tags::List(_))) => {
            Err(HeadError::BadField { name: "if-none-match", reason: "a write takes only *" })
        }
        (Some(_), Some(_)) => {
            Err(HeadError::BadField { name: "if-match", reason: "not together with if-none-match" })
        }
    }
}

/// The tags of a field that makes `If-Match`'s condition about something else than the target; `None` if it is absent. It has to name the
/// versions themselves: `*` is a 400. Weak tags are left out, for they match nothing.
pub fn listed_tags(fields: &Fields, name: &'static str) -> Result<Option<Vec<String>>, HeadError> {
    match parse_tags(fields, name)? {
        None => Ok(None),
        Some(Tags::List(tags)) => Ok(Some(strong_only(&tags))),
        Some(Tags::Any) => Err(HeadError::BadField { name, reason: "it names versions, not *" }),
    }
}

fn strong_only(tags: &[EntityTag<'_>]) -> Vec<String> {
    let strong = tags.iter().filter_map(|tag| match tag {
        EntityTag::Strong(opaque) => Some((*opaque).to_owned()),
        EntityTag::Weak(_) => None,
    });
    strong.collect()
}

/// Whether `Range` counts as far as `If-Range` (section 13.1.5) is concerned: it does if there is none, or if it names exactly what is
/// there.
///
/// Two changes within one second look the same to a date. A caller for whom that is possible passes no `last_modified`.
pub fn if_range(fields: &Fields, etag: Option<&str>, last_modified: Option<i64>) -> bool {
    let Ok(value) = fields.unique("if-range") else { return false };
    let Some(value) = value else { return true };
    match EntityTag::parse(value) {
        Some(EntityTag::Strong(opaque)) => Some(opaque) == etag,
        Some(EntityTag::Weak(_)) => false,
        None => parse_date(value).is_some_and(|date| Some(date) == last_modified),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const THEN_SECONDS: i64 = 784_111_777;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        lines.iter().fold(Fields::new(), |fields, (name, value)| fields.with(name, *value))
    }

    #[test]
    fn a_condition_about_something_else() {
        let tags = |lines: &[(&str, &str)]| listed_tags(&fields(lines), "x-if-match");
        assert_eq!(tags(&[]), Ok(None));
        let listed = tags(&[("x-if-match", "\"a\", W/\"b\", \"c,d\"")]);
        assert_eq!(listed, Ok(Some(vec!["a".into(), "c,d".into()])));
        for text in ["*", "", "a", "\"a\" \"b\""] {
            assert!(tags(&[("x-if-match", text)]).is_err(), "{text:?}");
        }
    }

    #[test]
    fn tags() {
        for (text, want) in [
            ("\"\"", Some(EntityTag::Strong(""))),
            ("\"a,b\"", Some(EntityTag::Strong("a,b"))),
            ("W/\"a\"", Some(EntityTag::Weak("a"))),
            ("\"W/\"", Some(EntityTag::Strong("W/"))),
            ("w/\"a\"", None),
            ("W/ \"a\"", None),
            ("a", None),
            ("\"a", None),
            ("\"a\"b", None),
            ("\"a b\"", None),
            ("\"", None),
            ("", None),
        ] {
            assert_eq!(EntityTag::parse(text), want, "{text}");
        }
        assert_eq!(format_tag("a"), "\"a\"");
    }

    /// What is there has the tag `a` and was modified THEN.
    #[test]
    fn order_of_evaluation() {
        use Precondition::{Failed, NotModified, Proceed};
        // Fields, the result of GET, the result of PUT.
        let table = [
            (&[][..], Proceed, Proceed),
            (&[("if-match", "\"a\"")], Proceed, Proceed),
            (&[("if-match", "\"b\", \"a\"")], Proceed, Proceed),
            (&[("if-match", "\"b\""), ("if-match", "\"a\"")], Proceed, Proceed),
            (&[("if-match", "*")], Proceed, Proceed),
            (&[("if-match", "\"b\"")], Failed, Failed),
            (&[("if-match", "W/\"a\"")], Failed, Failed),
            (&[("if-none-match", "\"a\"")], NotModified, Failed),
            (&[("if-none-match", "W/\"a\"")], NotModified, Failed),
            (&[("if-none-match", ",\"b\" ,, \"a\",")], NotModified, Failed),
            (&[("if-none-match", "*")], NotModified, Failed),
            (&[("if-none-match", "\"b\"")], Proceed, Proceed),
            (&[("if-unmodified-since", THEN)], Proceed, Proceed),
            (&[("if-unmodified-since", BEFORE)], Failed, Failed),
            (&[("if-unmodified-since", "yesterday")], Proceed, Proceed),
            (&[("if-modified-since", THEN)], NotModified, Proceed),
            (&[("if-modified-since", BEFORE)], Proceed, Proceed),
            (&[("if-match", "\"a\""), ("if-unmodified-since", BEFORE)], Proceed, Proceed),
            (&[("if-none-match", "\"b\""), ("if-modified-since", THEN)], Proceed, Proceed),
            (&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], NotModified, Failed),
            (&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Failed, Failed),
        ];
        for (lines, get, put) in table {
            let result = |method| evaluate(method, &fields(lines), Some("a"), Some(THEN_SECONDS));
            assert_eq!(result(Method::Get), Ok(get), "GET {lines:?}");
            assert_eq!(result(Method::Head), Ok(get), "HEAD {lines:?}");
            assert_eq!(result(Method::Put), Ok(put), "PUT {lines:?}");
        }
    }

    #[test]
    fn nothing_is_there() {
        let result = |name, value| evaluate(Method::Put, &fields(&[(name, value)]), None, None);
        assert_eq!(result("if-match", "*"), Ok(Precondition::Failed));
        assert_eq!(result("if-match", "\"a\""), Ok(Precondition::Failed));
        assert_eq!(result("if-none-match", "*"), Ok(Precondition::Proceed));
        assert_eq!(result("if-unmodified-since", THEN), Ok(Precondition::Proceed));
    }

    #[test]
    fn malformed_lists_are_refused() {
        for value in ["", ",", "a", "\"a\" \"b\"", "\"a\"\"b\"", "*, \"a\"", "\"a\", *", "\"a", "**"] {
            for name in ["if-match", "if-none-match"] {
                let fields = fields(&[(name, value)]);
                assert_eq!(
                    evaluate(Method::Get, &fields, Some("a"), None).unwrap_err().status(),
                    400,
                    "{value:?}"
                );
                assert_eq!(write_precondition(&fields).unwrap_err().status(), 400, "{value:?}");
            }
        }
        let twice = fields(&[("if-none-match", "*"), ("if-none-match", "*")]);
        assert!(write_precondition(&twice).is_err());
    }

    #[test]
    fn writes() {
        let matches =
            |tags: &[&str]| WritePrecondition::Match(tags.iter().map(|&tag| tag.to_owned()).collect());
        for (lines, want) in [
            (&[][..], WritePrecondition::Missing),
            (&[("if-none-match", "*")], WritePrecondition::CreateOnly),
            (&[("if-match", "*")], WritePrecondition::AnyExisting),
            (&[("if-match", "\"a\", W/\"b\", \"c\"")], matches(&["a", "c"])),
            (&[("if-match", "W/\"b\"")], matches(&[])),
        ] {
            assert_eq!(write_precondition(&fields(lines)), Ok(want), "{lines:?}");
        }
        assert!(write_precondition(&fields(&[("if-none-match", "\"a\"")])).is_err());
        assert!(write_precondition(&fields(&[("if-match", "\"a\""), ("if-none-match", "*")])).is_err());
    }

    #[test]
    fn if_range_names_exactly_what_is_there() {
        let result = |value| if_range(&fields(&[("if-range", value)]), Some("a"), Some(THEN_SECONDS));
        assert!(if_range(&Fields::new(), None, None));
        assert!(result("\"a\"") && result(THEN));
        for value in ["\"b\"", "W/\"a\"", BEFORE, "", "a", "*"] {
            assert!(!result(value), "{value:?}");
        }
        assert!(!if_range(&fields(&[("if-range", THEN)]), Some("a"), None));
        assert!(!if_range(&fields(&[("if-range", "\"a\""), ("if-range", "\"a\"")]), Some("a"), None));
    }
}
