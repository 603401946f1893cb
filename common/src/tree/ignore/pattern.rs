//! One line of a rules file, compiled: names, what may stand between them, and whether it is about directories alone.
//!
//! ```text
//!     *.o              no slash but a last one: a name at any depth          Name(*.o)
//!     /target/         a slash at the start: from the root of the folder     Path(target), directories only
//!     docs/*.html      or in the middle: the same                            Path(docs, *.html)
//!     a/**/b           any number of directories, none included              Path(a, **, b)
//!     a/**             everything inside, at any depth, but not `a`          Path(a, *, **)
//! ```
//!
//! A path is fed to a pattern name by name, and the pattern remembers in the bits of one word how far it has got on every way that is
//! still open ([`Progress`]). So all directories above a path are judged on the way to it, and no pattern can make a path cost more than
//! one look at each pair of a name and a component.

use super::glob::{Glob, Token, bracket};
use crate::limits::IGNORE_PATTERN_NAMES;

/// A pattern, ready to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// It only matches directories.
    pub(super) directory_only: bool,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// Matches the last name of a path, wherever that is.
    Name(Glob),
    /// Matches a path as a whole, from the root.
    Path(Vec<Component>),
    /// Not a valid pattern. As with git it is no error; it matches nothing.
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Component {
    /// One name.
    Name(Glob),
    /// `**`: any number of names, none included.
    Any,
}

/// More names than [`IGNORE_PATTERN_NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

/// How far a pattern has got with the names it was given: bit `n` says that the first `n` components match them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress(u64);

impl Pattern {
    /// Compiles the text of a pattern, without the `!` before it.
    pub(super) fn compile(text: &[u8]) -> Result<Pattern, TooDeep> {
        let (text, directory_only) = match text.strip_suffix(b"/") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let shape = match text.contains(&b'/') {
            _ if text.is_empty() => Shape::Nothing,
            true => path_shape(text.strip_prefix(b"/").unwrap_or(text))?,
            false => tokens(text).map_or(Shape::Nothing, |names| Shape::Name(Glob::new(names.concat()))),
        };
        Ok(Pattern { directory_only, shape })
    }

    /// The progress before the first name.
    pub(super) fn begin(&self) -> Progress {
        self.skip_any(Progress(1))
    }

    /// The progress after one more name.
    pub(super) fn advance(&self, before: Progress, name: &[u8]) -> Progress {
        let Shape::Path(components) = &self.shape else { return before };
        let mut after = Progress(0);
        for (at, component) in components.iter().enumerate().filter(|(at, _)| before.has(*at)) {
            match component {
                Component::Any => after.set(at),
                Component::Name(glob) if glob.matches(name) => after.set(at + 1),
                Component::Name(_) => {}
            }
        }
        self.skip_any(after)
    }

    /// Whether the names so far, the last of which is `name`, are matched.
    pub(super) fn matches(&self, progress: Progress, name: &[u8]) -> bool {
        match &self.shape {
            Shape::Name(glob) => glob.matches(name),
            Shape::Path(components) => progress.has(components.len()),
            Shape::Nothing => false,
        }
    }

    /// `**` also matches no name at all.
    fn skip_any(&self, mut progress: Progress) -> Progress {
        if let Shape::Path(components) = &self.shape {
            for (at, component) in components.iter().enumerate() {
                if *component == Component::Any && progress.has(at) {
                    progress.set(at + 1);
                }
            }
        }
        progress
    }
}

impl Progress {
    fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }

    fn set(&mut self, at: usize) {
        self.0 |= 1 << at;
    }
}

/// A pattern that is matched from the root. `**` is special where it is a whole name; elsewhere its stars are ordinary ones.
fn path_shape(text: &[u8]) -> Result<Shape, TooDeep> {
    let Some(names) = tokens(text) else { return Ok(Shape::Nothing) };
    let (last, count) = (names.len() - 1, names.len());
    // One more for a `**` at the end, which is two components.
    if IGNORE_PATTERN_NAMES < count + 1 {
        return Err(TooDeep);
    }
    let mut components = Vec::with_capacity(count + 1);
    for (at, name) in names.into_iter().enumerate() {
        let is_any = 2 <= name.len() && name.iter().all(|token| *token == Token::Star);
        if is_any && at == last {
            components.push(Component::Name(Glob::new(vec![Token::Star])));
        }
        components.push(if is_any { Component::Any } else { Component::Name(Glob::new(name)) });
    }
    Ok(Shape::Path(components))
}

/// The tokens of a pattern, name by name; `None` if it is not valid: a `\` at the end, or a bracket without one.
fn tokens(text: &[u8]) -> Option<Vec<Vec<Token>>> {
    let mut names = vec![Vec::new()];
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        let token = match byte {
            b'*' => Token::Star,
            b'?' => Token::One,
            b'[' => {
                let (set, length) = bracket(&text[at..])?;
                at += length;
                Token::Class(Box::new(set))
            }
            b'\\' => {
                at += 1;
                Token::Byte(*text.get(at - 1)?)
            }
            byte => Token::Byte(byte),
        };
        match token {
            // Escaped or not: a name can't hold it.
            Token::Byte(b'/') => names.push(Vec::new()),
            token => names.last_mut()?.push(token),
        }
    }
    Some(names)
}
