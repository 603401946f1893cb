//! The grammar of JSON (RFC 8259, sections 2, 4 and 5) as a machine that is pulled, and the values built from it.
//!
//! ```text
//!                  +-- key (objects) --+        scalar, or the end of a container
//!                  v                   |                     |
//!     -> Value ----------> First/Next -+                     v
//!          |    { or [        ^                   stack empty? Done : Next
//!          +------------------+
//! ```
//!
//! Strategy: one function, `step`, reads the next thing whatever it is; its state is [`Expect`] and the stack of open containers.
//! `value` and `skip` are loops over it, the other public functions ask for one step of a certain kind.
//!
//! A reader that has returned an error has lost its place and is of no further use.

use std::collections::HashSet;
use std::io::Read;

use super::input::Input;
use super::scalar::{scalar, string};
use super::{JsonError, JsonErrorKind, Value};
use crate::limits::{JSON_DEPTH, JSON_KEY_BYTES, JSON_KEYS, JSON_VALUE_BYTES};

/// The value of a text that is all there. For values of up to [`JSON_VALUE_BYTES`].
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut reader = Reader::of(Input::of_at_most(bytes.len(), bytes));
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}

/// Reads one JSON text from its source, piece by piece, as the caller asks for it.
///
/// An object is `begin_object`, then `next_key` and one value in turn until there is no key; an array is `begin_array`, then `next_item`
/// and one value in turn until there is no item. A value is any of `value`, `skip`, or again an object or array. Last comes `end`.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    open: Vec<Container>,
    /// Bytes of all keys in `open`.
    key_bytes: usize,
    expect: Expect,
}

#[derive(Debug)]
enum Container {
    Array,
    /// With the keys it had so far.
    Object(Keys),
}

/// The keys of one object. Nearly all objects have few, and among few a search one by one is faster than hashing.
#[derive(Debug, Default)]
struct Keys {
    first: Vec<String>,
    /// Those beyond [`FIRST_KEYS`]: nobody can make a search long.
    more: HashSet<String>,
}

/// Keys that are searched one by one.
const FIRST_KEYS: usize = 16;

/// What has to come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    /// In a container that has just begun: something in it, or its end.
    First,
    /// In a container after something in it: a comma and something more, or its end.
    Next,
    /// Nothing but white space.
    Done,
}

/// What came next.
enum Step {
    BeginArray,
    BeginObject,
    Key(String),
    /// The end of the innermost container.
    End,
    Scalar(Value),
}

/// A container of a value that is being built.
enum Partial {
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl<R: Read> Reader<R> {
    /// A reader at the beginning of a text.
    pub fn new(source: R) -> Self {
        Self::of(Input::new(source))
    }

    fn of(input: Input<R>) -> Self {
        Self { input, open: Vec::new(), key_bytes: 0, expect: Expect::Value }
    }

    /// Enters an object.
    pub fn begin_object(&mut self) -> Result<(), JsonError> {
        self.begin(b'{', "an object")
    }

    /// Enters an array.
    pub fn begin_array(&mut self) -> Result<(), JsonError> {
        self.begin(b'[', "an array")
    }

    /// The next key of the innermost object, whose value has to be read next; `None` when the object has ended.
    pub fn next_key(&mut self) -> Result<Option<String>, JsonError> {
        if !matches!(self.open.last(), Some(Container::Object(_))) || self.expect == Expect::Value {
            return Err(self.input.error(JsonErrorKind::OutOfTurn));
        }
        match self.step()? {
            Step::Key(key) => Ok(Some(key)),
            _ => Ok(None),
        }
    }

    /// Whether the innermost array has a next item, which has to be read next; `false` when the array has ended.
    pub fn next_item(&mut self) -> Result<bool, JsonError> {
        if !matches!(self.open.last(), Some(Container::Array)) || self.expect == Expect::Value {
            return Err(self.input.error(JsonErrorKind::OutOfTurn));
        }
        self.next_or_end(b']')
    }

    /// The next value as a whole, of at most [`JSON_VALUE_BYTES`] of text.
    ///
    /// In memory it is larger: `[1],` takes four bytes of text and about eighty of memory, and nothing does worse by much.
    pub fn value(&mut self) -> Result<Value, JsonError> {
        self.turn_of_a_value()?;
        self.input.skip_white_space()?;
        self.input.set_fence(JSON_VALUE_BYTES);
        let mut open = Vec::new();
        let mut keys = Vec::new();
        loop {
            let complete = match self.step()? {
                Step::BeginArray => {
                    open.push(Partial::Array(Vec::new()));
                    continue;
                }
                Step::BeginObject => {
                    open.push(Partial::Object(Vec::new()));
                    continue;
                }
                Step::Key(key) => {
                    keys.push(key);
                    continue;
                }
                Step::End => open.pop().map(Partial::complete),
                Step::Scalar(value) => Some(value),
            };
            // An end has its beginning, and a member its key: `step` sees to it.
            let Some(value) = complete else { return Err(self.input.error(JsonErrorKind::OutOfTurn)) };
            match open.last_mut() {
                None => {
                    self.input.remove_fence();
                    return Ok(value);
                }
                Some(Partial::Array(items)) => items.push(value),
                Some(Partial::Object(members)) => members.extend(keys.pop().map(|key| (key, value))),
            }
        }
    }

    /// Reads the next value as strictly as any other, whatever its length, and forgets it.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        self.turn_of_a_value()?;
        let depth = self.open.len();
        loop {
            self.step()?;
            if self.open.len() == depth {
                return Ok(());
            }
        }
    }

    /// Makes sure that the text has ended.
    pub fn end(&mut self) -> Result<(), JsonError> {
        if self.expect != Expect::Done {
            return Err(self.input.error(JsonErrorKind::OutOfTurn));
        }
        self.input.skip_white_space()?;
        match self.input.peek()? {
            None => Ok(()),
            Some(_) => Err(self.input.error(JsonErrorKind::Trailing)),
        }
    }

    /// How many bytes of the text have been consumed.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    fn turn_of_a_value(&self) -> Result<(), JsonError> {
        match self.expect {
            Expect::Value => Ok(()),
            Expect::First | Expect::Next | Expect::Done => Err(self.input.error(JsonErrorKind::OutOfTurn)),
        }
    }

    fn begin(&mut self, bracket: u8, wanted: &'static str) -> Result<(), JsonError> {
        self.turn_of_a_value()?;
        self.input.skip_white_space()?;
        match self.input.peek_some()? {
            byte if byte == bracket => self.step().map(drop),
            // What begins no value at all is bad syntax rather than a wrong type.
            b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                Err(self.input.error(JsonErrorKind::WrongType { wanted }))
            }
            byte => Err(self.input.error(JsonErrorKind::UnexpectedByte(byte))),
        }
    }

    // ---- The machine --------------------------------------------------------------------------------------------------------

    fn step(&mut self) -> Result<Step, JsonError> {
        match (self.expect, self.open.last()) {
            (Expect::Value, _) => self.step_value(),
            (Expect::First | Expect::Next, Some(Container::Array)) => match self.next_or_end(b']')? {
                true => self.step_value(),
                false => Ok(Step::End),
            },
            (Expect::First | Expect::Next, Some(Container::Object(_))) => match self.next_or_end(b'}')? {
                true => self.step_key(),
                false => Ok(Step::End),
            },
            (Expect::First | Expect::Next, None) | (Expect::Done, _) => {
                Err(self.input.error(JsonErrorKind::OutOfTurn))
            }
        }
    }

    fn step_value(&mut self) -> Result<Step, JsonError> {
        self.input.skip_white_space()?;
        match self.input.peek_some()? {
            b'{' => self.push(Container::Object(Keys::default())).map(|()| Step::BeginObject),
            b'[' => self.push(Container::Array).map(|()| Step::BeginArray),
            _ => {
                let value = scalar(&mut self.input)?;
                self.value_is_over();
                Ok(Step::Scalar(value))
            }
        }
    }

    /// `member = string name-separator value`, up to the separator.
    fn step_key(&mut self) -> Result<Step, JsonError> {
        self.input.skip_white_space()?;
        let offset = self.input.offset();
        let key = string(&mut self.input)?;
        self.remember(&key).map_err(|kind| JsonError { kind, offset })?;
        self.input.skip_white_space()?;
        self.input.expect(b':')?;
        self.expect = Expect::Value;
        Ok(Step::Key(key))
    }

    fn remember(&mut self, key: &str) -> Result<(), JsonErrorKind> {
        let Some(Container::Object(keys)) = self.open.last_mut() else {
            return Err(JsonErrorKind::OutOfTurn);
        };
        if keys.contains(key) {
            return Err(JsonErrorKind::DuplicateKey(key.to_string()));
        }
        if keys.len() == JSON_KEYS {
            return Err(JsonErrorKind::TooManyKeys);
        }
        if JSON_KEY_BYTES < self.key_bytes + key.len() {
            return Err(JsonErrorKind::KeysTooLong);
        }
        self.key_bytes += key.len();
        keys.insert(key.to_owned());
        Ok(())
    }

    /// In a container: consumes the comma before something more (`true`), or the end (`false`).
    fn next_or_end(&mut self, bracket: u8) -> Result<bool, JsonError> {
        self.input.skip_white_space()?;
        match (self.expect, self.input.peek_some()?) {
            (_, byte) if byte == bracket => {
                self.input.consume(1);
                self.pop();
                return Ok(false);
            }
            (Expect::Next, b',') => self.input.consume(1),
            (Expect::Next, byte) => return Err(self.input.error(JsonErrorKind::UnexpectedByte(byte))),
            _ => {}
        }
        self.expect = Expect::Value;
        Ok(true)
    }

    fn push(&mut self, container: Container) -> Result<(), JsonError> {
        if self.open.len() == JSON_DEPTH {
            return Err(self.input.error(JsonErrorKind::TooDeep));
        }
        self.input.consume(1);
        self.open.push(container);
        self.expect = Expect::First;
        Ok(())
    }

    fn pop(&mut self) {
        if let Some(Container::Object(keys)) = self.open.pop() {
            self.key_bytes -= keys.bytes();
        }
        self.value_is_over();
    }

    fn value_is_over(&mut self) {
        self.expect = if self.open.is_empty() { Expect::Done } else { Expect::Next };
    }
}

impl Keys {
    fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    fn contains(&self, key: &str) -> bool {
        self.first.iter().any(|first| first == key) || self.more.contains(key)
    }

    fn insert(&mut self, key: String) {
        match self.first.len() < FIRST_KEYS {
            true => self.first.push(key),
            false => drop(self.more.insert(key)),
        }
    }

    fn bytes(&self) -> usize {
        self.first.iter().chain(&self.more).map(String::len).sum()
    }
}

impl Partial {
    /// Gives back what it has reserved in vain: many small containers would add up.
    fn complete(self) -> Value {
        match self {
            Self::Array(mut items) => {
                items.shrink_to_fit();
                Value::Array(items)
            }
            Self::Object(mut members) => {
                members.shrink_to_fit();
                Value::Object(members)
            }
        }
    }
}
