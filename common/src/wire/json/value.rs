//! A JSON value in memory.
//!
//! Members keep their order, so that what is read and written again is the same text; the reader has made sure that no key comes twice.

/// Any JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An exact integer.
    Number(Number),
    /// A string, unescaped.
    String(String),
    /// The items in order.
    Array(Vec<Value>),
    /// The members in order; their keys are distinct.
    Object(Vec<(String, Value)>),
}

/// An integer from `i64::MIN` to `u64::MAX`. Each has exactly one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Zero or more.
    Unsigned(u64),
    /// Less than zero.
    Negative(i64),
}

impl Value {
    /// The value of a member; `None` too if this is no object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.iter().find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(Number::Unsigned(number)) => Some(*number),
            _ => None,
        }
    }

    /// The number, if it is one that i64 holds.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(Number::Unsigned(number)) => i64::try_from(*number).ok(),
            Self::Number(Number::Negative(number)) => Some(*number),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The items, if it is an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::parse;

    #[test]
    fn helpers_answer_for_their_own_type_only() {
        let value =
            parse(br#"{"n":null,"b":true,"u":18446744073709551615,"i":-1,"s":"x","a":[1],"o":{}}"#).unwrap();
        let get = |key| value.get(key).unwrap();
        let answers = |value: &Value| {
            [
                value.is_null(),
                value.as_bool().is_some(),
                value.as_u64().is_some(),
                value.as_i64().is_some(),
                value.as_str().is_some(),
                value.as_array().is_some(),
                value.as_object().is_some(),
            ]
            .map(u8::from)
        };
        assert_eq!(answers(get("n")), [1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(answers(get("b")), [0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(answers(get("u")), [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answers(get("i")), [0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(answers(get("s")), [0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(answers(get("a")), [0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(answers(get("o")), [0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(value.get("missing"), None);
        assert_eq!(get("a").get("x"), None);
        assert_eq!(get("a").as_array().unwrap()[0].as_i64(), Some(1));
    }
}
