//! A case: an operation for each client, in a directory of its own; and what is in that directory, in the words of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::operation::{Operation, SUBJECTS, mode_of, time_of};
use super::pairs::TOGETHER;
use crate::harness::{Node, Tree};

/// The clients of a case, by place.
pub const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

#[derive(Clone, Debug)]
pub struct Case {
    number: usize,
    /// What each client does, by place.
    pub operations: Vec<Operation>,
}

/// What is in the directory of a case, a line for each thing.
pub type Lines = BTreeSet<String>;

impl Case {
    pub fn number(cases: impl IntoIterator<Item = Vec<Operation>>) -> Vec<Case> {
        let cases = cases.into_iter().enumerate();
        cases.map(|(number, operations)| Case { number, operations }).collect()
    }

    pub fn directory(&self) -> String {
        format!("case-{:03}", self.number)
    }

    /// Content that no other case has: what one case holds must not be of use to another.
    fn content(&self, word: &str) -> String {
        format!("{word} in {}", self.directory())
    }

    /// Makes what is there before anybody does anything.
    pub fn fill(&self, folder: &Path) {
        let directory = folder.join(self.directory());
        fs::create_dir_all(directory.join("directory")).unwrap();
        fs::create_dir(directory.join("empty")).unwrap();
        for (name, word) in [("file.txt", "base"), ("other.txt", "other"), ("directory/old.txt", "old")] {
            fs::write(directory.join(name), self.content(word)).unwrap();
        }
        symlink("base", directory.join("link")).unwrap();
    }

    /// Does in a folder what the client at a place does.
    pub fn apply(&self, place: usize, folder: &Path) {
        let directory = folder.join(self.directory());
        self.operations[place].apply(&directory, NAMES[place], &|word| self.content(word));
    }

    /// What the table says of a pair whose operations reach the server in this order.
    pub fn expected(&self, order: &[usize]) -> Lines {
        let [first, second] = [0, 1].map(|turn| self.operations[order[turn]]);
        let [first_name, second_name] = [0, 1].map(|turn| NAMES[order[turn]]);
        let rest = SUBJECTS
            .iter()
            .filter(|(name, _)| ![first, second].iter().any(|it| it.subjects().contains(name)));
        let mut lines: Lines = rest.flat_map(|(_, there)| split(there)).collect();
        match TOGETHER.iter().find(|row| (row.0, row.1) == (first, second)) {
            Some((_, _, result)) => {
                lines.extend(split(&result.replace("first", first_name).replace("second", second_name)));
            }
            None => {
                assert!(!first.meets(second), "{first:?} and {second:?} are not in the table");
                lines.extend(split(&first.alone(first_name)));
                lines.extend(split(&second.alone(second_name)));
            }
        }
        lines
    }

    /// What has to be true of every case, whatever the table says.
    pub fn check_invariants(&self, lines: &Lines) -> Result<(), String> {
        let mut written =
            self.operations.iter().zip(NAMES).filter_map(|(operation, name)| operation.writes(name));
        if let Some(lost) =
            written.find(|content| !lines.iter().any(|line| content_of(line).ends_with(content.as_str())))
        {
            return Err(format!("the content {lost:?} is lost"));
        }
        for line in lines {
            if let Some((stem, rest)) = line.split_once(" (conflict ") {
                let (_, rest) = rest.split_once(')').ok_or("a conflict name without end")?;
                if lines.contains(&format!("{stem}{rest}")) {
                    return Err(format!("a conflict of equal content: {line}"));
                }
            }
        }
        Ok(())
    }
}

/// A line without what it says of metadata.
fn content_of(line: &str) -> &str {
    line.split_once(" with the ").map_or(line, |(content, _)| content)
}

fn split(lines: &str) -> impl Iterator<Item = String> {
    lines.split(", ").filter(|line| !line.is_empty()).map(str::to_owned)
}

/// The directories of the cases in a folder, in the words of the table.
#[track_caller]
pub fn read_cases(folder: &Path, tree: &Tree) -> BTreeMap<String, Lines> {
    let mut cases: BTreeMap<String, Lines> = BTreeMap::new();
    for (path, node) in tree {
        let path = str::from_utf8(path).expect("all names of this test are text");
        let (case, name) = path.split_once('/').unwrap_or((path, ""));
        let lines = cases.entry(case.to_owned()).or_default();
        if !name.is_empty() {
            let Thing { what, mode, time } = describe(&folder.join(path), case, node);
            lines.insert(format!("{}{what}{mode}{time}", without_time(name)));
        }
    }
    cases
}

/// What something is, and what metadata somebody gave it, as the table writes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thing {
    /// `/`, `=word`, `->target`.
    pub what: String,
    pub mode: String,
    pub time: String,
}

#[track_caller]
pub fn describe(path: &Path, case: &str, node: &Node) -> Thing {
    let plain = |what: String| Thing { what, ..Thing::default() };
    match node {
        Node::Directory { .. } => plain("/".to_owned()),
        Node::Symlink { target } => plain(format!("->{}", String::from_utf8_lossy(target))),
        Node::Special => panic!("{} is nothing that a case makes", path.display()),
        Node::File { mode, mtime, .. } => {
            let content = fs::read_to_string(path).unwrap();
            let word = content
                .strip_suffix(&format!(" in {case}"))
                .unwrap_or_else(|| panic!("{} has what belongs elsewhere: {content:?}", path.display()));
            let has_time = |client: &&str| *mtime == i128::from(time_of(client)) * 1_000_000_000;
            let of_mode = NAMES.into_iter().find(|client| *mode == mode_of(client));
            let of_time = NAMES.into_iter().find(has_time);
            Thing {
                what: format!("={word}"),
                mode: of_mode.map_or(String::new(), |client| format!(" with the mode of {client}")),
                time: of_time.map_or(String::new(), |client| format!(" with the time of {client}")),
            }
        }
    }
}

/// Takes ` YYYY-MM-DD HHMMSS` out of a conflict name, which has to be well-formed: one mark, of one of the clients, and the extension
/// after it.
#[track_caller]
fn without_time(name: &str) -> String {
    let Some((stem, rest)) = name.split_once(" (conflict ") else { return name.to_owned() };
    let (mark, extension) = rest.split_once(')').unwrap_or_else(|| panic!("{name:?} has no end"));
    let (client, time) = mark.split_once(' ').unwrap_or_else(|| panic!("{name:?} has no time"));
    let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00 000000", "the time in {name:?}");
    assert!(NAMES.contains(&client), "the client in {name:?}");
    assert!(["", ".txt"].contains(&extension), "the extension of {name:?}");
    format!("{stem} (conflict {client}){extension}")
}
