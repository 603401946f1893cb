//! Just enough JSON to look into answers. It believes what it reads: the programs' own tests are the strict ones.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// Kept as text: a u64 does not survive as a float.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads one value that is the whole text.
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut parser = Parser { rest: text };
        let value = parser.value().ok_or_else(|| format!("not JSON: {text:?}"))?;
        match parser.rest.trim() {
            "" => Ok(value),
            rest => Err(format!("JSON followed by {rest:?}")),
        }
    }

    /// The member `name`; `Null` if there is none.
    pub fn get(&self, name: &str) -> &Json {
        match self {
            Json::Object(members) => members.get(name).unwrap_or(&Json::Null),
            _ => &Json::Null,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            other => panic!("a text was expected, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn number(&self) -> u64 {
        match self {
            Json::Number(digits) => digits.parse().unwrap_or_else(|error| panic!("{digits}: {error}")),
            other => panic!("a number was expected, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn list(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            other => panic!("a list was expected, not {other:?}"),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn value(&mut self) -> Option<Json> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '{' => self.object(),
            '[' => self.list(),
            '"' => self.text().map(Json::Text),
            't' => self.take("true").then_some(Json::Bool(true)),
            'f' => self.take("false").then_some(Json::Bool(false)),
            'n' => self.take("null").then_some(Json::Null),
            _ => self.number(),
        }
    }

    /// Skips blanks, and `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.strip_prefix(token).map(|rest| self.rest = rest).is_some()
    }

    fn object(&mut self) -> Option<Json> {
        let mut members = BTreeMap::new();
        self.take("{");
        while !self.take("}") {
            if !members.is_empty() && !self.take(",") {
                return None;
            }
            self.rest = self.rest.trim_start();
            let name = self.text()?;
            if !self.take(":") || members.insert(name, self.value()?).is_some() {
                return None;
            }
        }
        Some(Json::Object(members))
    }

    fn list(&mut self) -> Option<Json> {
        let mut items = Vec::new();
        self.take("[");
        while !self.take("]") {
            if !items.is_empty() && !self.take(",") {
                return None;
            }
            items.push(self.value()?);
        }
        Some(Json::List(items))
    }

    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest.strip_prefix('"')?.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(match chars.next()? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                    }
                    escaped => escaped,
                }),
                plain => text.push(plain),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }

    fn number(&mut self) -> Option<Json> {
        let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        (!digits.is_empty()).then(|| Json::Number(digits.to_owned()))
    }
}

#[test]
fn reads_what_the_programs_write() {
    let json = Json::parse(
        r#" {"a":[1,-2,null,true],"b":{"c":"x\n\u00e9\""},"d":18446744073709551615,"e":[],"f":{}} "#,
    )
    .unwrap();
    assert_eq!(json.get("a").list().len(), 4);
    assert_eq!(json.get("b").get("c").text(), "x\né\"");
    assert_eq!(json.get("d").number(), u64::MAX);
    assert_eq!(json.get("nothing"), &Json::Null);
    for broken in ["", "{", "[1", "{\"a\" 1}", "1 2", "\"a", "{\"a\":1,\"a\":2}"] {
        assert!(Json::parse(broken).is_err(), "{broken}");
    }
}
