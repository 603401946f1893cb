//! One name of a pattern: `*.o`, `?`, `[a-z]`, `[[:digit:]]`, `\*`. It never sees a `/`.
//!
//! Format notes, where git's manual is silent and git's behaviour is what users know:
//! - A `]` right after `[`, `[!` or `[^` stands for itself: `[]a]` is `]` or `a`.
//! - A `-` is itself at both ends and after a range: `[a-c-e]` is `a`, `b`, `c`, `-` or `e`. A range that
//!   runs backwards holds its first byte alone.
//! - `\` takes away the meaning of what follows, in brackets too.
//! - `[:` without `:]` is an ordinary `[` and `:`; a class of a name that does not exist makes the pattern match nothing.
//!
//! Matching takes at most one step for each pair of a byte of the name and a token: only the last star ever has to take more, since
//! whatever an earlier one could take instead, the last one can too.

/// What matches one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// This byte.
    Byte(u8),
    /// `?`: any one byte.
    One,
    /// `*`: any number of bytes.
    Star,
    /// `[...]`: one of these bytes.
    Class(Box<ByteSet>),
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Token::Byte(own) => *own == byte,
            Token::One => true,
            Token::Star => false,
            Token::Class(set) => set.contains(byte),
        }
    }
}

impl Glob {
    /// The glob of these tokens.
    pub(super) fn new(tokens: Vec<Token>) -> Glob {
        Glob(tokens)
    }

    /// Whether it matches a whole name.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        // The token after the last star, and the first byte that the star does not take.
        let mut star = None;
        loop {
            match (self.0.get(token), name.get(at)) {
                (None, None) => return true,
                (Some(Token::Star), _) => {
                    token += 1;
                    star = Some((token, at));
                    continue;
                }
                (Some(one), Some(&byte)) if one.takes(byte) => {
                    (token, at) = (token + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            match star {
                Some((after, end)) if end < name.len() => {
                    (token, at) = (after, end + 1);
                    star = Some((token, at));
                }
                _ => return false,
            }
        }
    }
}

// ---- Brackets -----------------------------------------------------------------------------------------------------------------------

/// A set of bytes, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn add_all(&mut self, bytes: impl IntoIterator<Item = u8>) {
        bytes.into_iter().for_each(|byte| self.add(byte));
    }

    fn complement(self) -> ByteSet {
        ByteSet(self.0.map(|bits| !bits))
    }
}

/// Reads a bracket expression. `text` begins after the `[`; returned with the set is how much of it was read, the final `]` included.
/// `None`: it has no end, or names a class that does not exist.
pub(super) fn bracket(text: &[u8]) -> Option<(ByteSet, usize)> {
    let mut set = ByteSet::default();
    let is_negated = matches!(text.first(), Some(b'!' | b'^'));
    let begin = usize::from(is_negated);
    let mut at = begin;
    // What a `-` would make a range from.
    let mut low = None;
    loop {
        match (&text[at.min(text.len())..], low) {
            ([], _) => return None,
            ([b']', ..], _) if begin < at => break,
            // At the end it is itself.
            ([b'-', b']', ..], _) => low = take(&mut set, &mut at, b'-', 1),
            ([b'-', rest @ ..], Some(first)) => {
                let (last, length) = escaped(rest)?;
                set.add_all(first..=last);
                at += 1 + length;
                low = None;
            }
            ([b'[', b':', rest @ ..], _) => {
                let end = rest.iter().position(|&byte| byte == b']')?;
                match rest[..end].strip_suffix(b":") {
                    Some(name) => {
                        set.add_all((0..=0x7f).filter(class(name)?));
                        at += 2 + end + 1;
                        low = None;
                    }
                    None => low = take(&mut set, &mut at, b'[', 1),
                }
            }
            (rest, _) => {
                let (byte, length) = escaped(rest)?;
                low = take(&mut set, &mut at, byte, length);
            }
        }
    }
    Some((if is_negated { set.complement() } else { set }, at + 1))
}

/// Adds a single byte that took `length` bytes to write, and returns it as the possible begin of a range.
fn take(set: &mut ByteSet, at: &mut usize, byte: u8, length: usize) -> Option<u8> {
    set.add(byte);
    *at += length;
    Some(byte)
}

/// The first byte of a text and its length, where `\` and a byte stand for that byte.
fn escaped(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'\\', byte, ..] => Some((*byte, 2)),
        [b'\\'] | [] => None,
        [byte, ..] => Some((*byte, 1)),
    }
}

/// The members of a POSIX class, all of them ASCII.
fn class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}
