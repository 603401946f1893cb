//! Rules that say what does not sync: the syntax and the meaning of git's `gitignore(5)`.
//!
//! ```text
//!     # comment            *.o   build/   /target   docs/**/draft-?.txt   [Cc]ache   !keep.o
//! ```
//!
//! The last rule that matches a path decides, and one with `!` takes the path in again; but what is in an ignored directory is ignored,
//! whatever other rules say. Several sources are read one after the other, as if they were one.
//!
//! The first rule is always `/.syncignore`: the file in which a folder keeps its rules is that folder's own, as another machine may well
//! want other rules. Whoever wants it to sync writes `!/.syncignore` into it.
//!
//! Format notes:
//! - A line ends with LF or CR LF; a byte order mark before the first is passed over. Bytes need not be UTF-8.
//! - Spaces at the end are dropped unless there is a `\` before them; tabs are not.
//! - `#` and `!` are special as first bytes only, and not after a `\`.
//! - `a**/b` is `a*/b`, as the manual has it. (git itself lets `**` reach over slashes there, which none of its users can have meant.)
//! - What is no valid pattern (a `[` without `]`, a `\` at the end) matches nothing, as with git. Too much of anything is an error: rules
//!   that are dropped in silence upload what was to stay at home.

mod glob;
mod pattern;

use std::fmt;

use super::Path;
use crate::limits::{IGNORE_BYTES, IGNORE_PATTERN_BYTES, IGNORE_PATTERN_NAMES, IGNORE_RULES};
use crate::wire::sha256::{Hash, Sha256};
use pattern::{Pattern, Progress, TooDeep};

/// Name of the file, at the root of a folder, that holds its rules.
pub const RULES_FILE: &[u8] = b".syncignore";

/// What stands before everything else.
const BUILT_IN: (&str, &[u8]) = ("built in", b"/.syncignore");

/// All rules of a folder, in order.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Rule>);

/// One rule, and where it comes from.
#[derive(Clone, Debug)]
pub struct Rule {
    origin: &'static str,
    line: usize,
    text: Vec<u8>,
    takes_in: bool,
    pattern: Pattern,
}

/// What the rules say about a path.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// It syncs.
    Synced,
    /// It does not exist for us, because of this rule.
    Ignored {
        /// The rule that decided, be it about the path itself or about a directory above it.
        rule: &'a Rule,
    },
}

/// Too much of something, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RulesError {
    origin: &'static str,
    line: usize,
    excess: Excess,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excess {
    Bytes,
    Rules,
    PatternBytes,
    PatternNames,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.origin, self.line)?;
        match self.excess {
            Excess::Bytes => write!(f, "the rules are longer than {IGNORE_BYTES} bytes"),
            Excess::Rules => write!(f, "there are more than {IGNORE_RULES} rules"),
            Excess::PatternBytes => write!(f, "the pattern is longer than {IGNORE_PATTERN_BYTES} bytes"),
            Excess::PatternNames => {
                write!(f, "the pattern has more than {} names", IGNORE_PATTERN_NAMES - 1)
            }
        }
    }
}

impl std::error::Error for RulesError {}

/// As `check-ignore` shows it: `.syncignore:3: *.o`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.origin, self.line)?;
        for chunk in self.text.utf8_chunks() {
            write!(f, "{}{}", chunk.valid().escape_debug(), chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

impl Rules {
    /// Reads rules from their sources, each with the name to show it by. Later rules win over earlier ones.
    ///
    /// # Errors
    /// There is too much of something; see the limits.
    pub fn parse<'a>(
        sources: impl IntoIterator<Item = (&'static str, &'a [u8])>,
    ) -> Result<Rules, RulesError> {
        let mut rules = Vec::new();
        let mut room = IGNORE_BYTES;
        for (origin, text) in [BUILT_IN].into_iter().chain(sources) {
            let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
                let error = |excess| RulesError { origin, line: index + 1, excess };
                room = room.checked_sub(line.len()).ok_or(error(Excess::Bytes))?;
                let Some(text) = rule_text(line) else { continue };
                if IGNORE_RULES <= rules.len() {
                    return Err(error(Excess::Rules));
                }
                if IGNORE_PATTERN_BYTES < text.len() {
                    return Err(error(Excess::PatternBytes));
                }
                let (takes_in, bare) = match text.strip_prefix(b"!") {
                    Some(bare) => (true, bare),
                    None => (false, text),
                };
                let pattern = Pattern::compile(bare).map_err(|TooDeep| error(Excess::PatternNames))?;
                rules.push(Rule { origin, line: index + 1, text: text.to_vec(), takes_in, pattern });
            }
        }
        Ok(Rules(rules))
    }

    /// What the rules say about a path, given whether it is a directory.
    pub fn verdict(&self, path: &Path, is_directory: bool) -> Verdict<'_> {
        let mut progress: Vec<Progress> = self.0.iter().map(|rule| rule.pattern.begin()).collect();
        let mut names = path.names().peekable();
        while let Some(name) = names.next() {
            let is_directory = is_directory || names.peek().is_some();
            let mut decided = None;
            for (rule, progress) in self.0.iter().zip(&mut progress) {
                *progress = rule.pattern.advance(*progress, name);
                if (is_directory || !rule.pattern.directory_only) && rule.pattern.matches(*progress, name) {
                    decided = Some(rule);
                }
            }
            if let Some(rule) = decided.filter(|rule| !rule.takes_in) {
                return Verdict::Ignored { rule };
            }
        }
        Verdict::Synced
    }

    /// Whether the rules ignore a path.
    pub fn ignore(&self, path: &Path, is_directory: bool) -> bool {
        matches!(self.verdict(path, is_directory), Verdict::Ignored { .. })
    }

    /// Equal for rules that mean the same because they are the same, wherever they stand and whatever comments are between them.
    pub fn digest(&self) -> Hash {
        let mut hasher = Sha256::new();
        for rule in &self.0 {
            hasher.update(&rule.text);
            hasher.update(b"\n");
        }
        hasher.finish()
    }
}

/// What a line says, without what does not count; `None` if it says nothing.
fn rule_text(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.first() == Some(&b'#') {
        return None;
    }
    let mut end = 0;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        at = (at + if *byte == b'\\' { 2 } else { 1 }).min(line.len());
        if *byte != b' ' {
            end = at;
        }
    }
    Some(&line[..end]).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
