//! What comes of any number of operations, by the rules and not by the row: each client in its turn meets what the server then holds,
//! and both are merged path by path with what they last had in common.
//!
//! 1. What was renamed is renamed on the server, with all that is in it by now, if it is still there and nothing has the new name. A
//!    directory is only known again by what is in it, and only if it is noticed before what others put into it arrives: of a directory,
//!    both are right.
//! 2. Who did not change a path takes what the other made of it. Content counts; metadata alone is no change, but follows the same rule,
//!    mode and time each for itself: the mode of a file whatever is in it, the time where the content agrees.
//! 3. An edit beats a delete. Of two edits the server's keeps the name, but a directory keeps it before anything else; the other gets a
//!    conflict name, with the name of the client that found the conflict.
//! 4. A directory stays as long as something is in it, and keeps its name.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::case::{Case, Lines, NAMES, Thing, describe};
use super::operation::Operation;
use super::pairs::ALONE;
use crate::harness::snapshot;

/// What a directory holds, by name.
type Things = BTreeMap<String, Thing>;

impl Thing {
    fn is_directory(&self) -> bool {
        self.what == "/"
    }

    fn is_file(&self) -> bool {
        self.what.starts_with('=')
    }
}

/// What each operation makes of what is there, and the rule by which that is merged.
pub struct Rule {
    base: Things,
    done: BTreeMap<(Operation, usize), Things>,
}

impl Rule {
    /// Has every operation done by every client.
    pub fn learn() -> Rule {
        let each =
            ALONE.iter().flat_map(|(operation, _)| (0..NAMES.len()).map(move |place| (*operation, place)));
        let done = each.map(|(operation, place)| ((operation, place), things(Some((operation, place)))));
        Rule { base: things(None), done: done.collect() }
    }

    /// What the server may hold after all clients have brought their operations, in this order.
    pub fn outcomes(&self, case: &Case, order: &[usize]) -> Vec<Lines> {
        [true, false].map(|directories| self.outcome(case, order, directories)).to_vec()
    }

    /// What the server holds in the end if renamed directories are known again, or are not.
    pub fn outcome(&self, case: &Case, order: &[usize], directories: bool) -> Lines {
        let merged = order.iter().fold(self.base.clone(), |server, &place| {
            let operation = case.operations[place];
            let local = &self.done[&(operation, place)];
            let renames = operation.renames(NAMES[place]);
            let known = renames.filter(|(old, _)| directories || !self.base[*old].is_directory());
            merge(server, self.base.clone(), local, known, NAMES[place])
        });
        merged
            .into_iter()
            .map(|(name, thing)| format!("{name}{}{}{}", thing.what, thing.mode, thing.time))
            .collect()
    }
}

/// What is in the directory of a case, before or after what a client does there.
fn things(done: Option<(Operation, usize)>) -> Things {
    let folder = TempDir::new().unwrap();
    // What others do, and where, makes no difference.
    let operations = vec![done.map_or(Operation::Edit, |(operation, _)| operation); NAMES.len()];
    let case = Case::number([operations]).remove(0);
    case.fill(folder.path());
    if let Some((_, place)) = done {
        case.apply(place, folder.path());
    }
    let directory = folder.path().join(case.directory());
    let thing = |(path, node): (Vec<u8>, _)| {
        let name = String::from_utf8(path).expect("all names of this test are text");
        let thing = describe(&directory.join(&name), &case.directory(), &node);
        (name, thing)
    };
    snapshot(&directory).unwrap().into_iter().map(thing).collect()
}

fn merge(
    mut server: Things,
    mut base: Things,
    local: &Things,
    renamed: Option<(&str, String)>,
    client: &str,
) -> Things {
    if let Some((old, new)) = renamed {
        let is_there = server.get(old).is_some_and(|thing| thing.what == base[old].what);
        let is_known = !base[old].is_directory() || base.keys().any(|name| is_below(name, old));
        if is_there && is_known && !server.contains_key(&new) {
            // What others took out of it before is not in it, under no name.
            base.retain(|name, _| !is_below(name, old) || server.contains_key(name));
            rename(&mut server, old, &new);
            rename(&mut base, old, &new);
        }
    }
    let mut merged = Things::new();
    let mut set_aside = Things::new();
    let names = server.keys().chain(local.keys());
    for name in names {
        match choose(base.get(name), local.get(name), server.get(name)) {
            Choice::One(thing) => drop(thing.map(|thing| merged.insert(name.clone(), thing))),
            Choice::Both(keeps, other) => {
                merged.insert(name.clone(), keeps.clone());
                set_aside.insert(conflict_name(name, client), other.clone());
            }
        }
    }
    keep_directories(&mut merged, &mut set_aside, client);
    merged.extend(set_aside);
    merged
}

enum Choice<'a> {
    One(Option<Thing>),
    /// The first keeps the name.
    Both(&'a Thing, &'a Thing),
}

fn choose<'a>(base: Option<&Thing>, local: Option<&'a Thing>, server: Option<&'a Thing>) -> Choice<'a> {
    let what = |thing: Option<&'a Thing>| thing.map(|thing| thing.what.as_str());
    let of_base = base.map(|thing| thing.what.as_str());
    let one = |thing: Option<&Thing>| Choice::One(thing.map(|thing| labelled(thing, base, local, server)));
    if what(local) == what(server) || what(local) == of_base {
        return one(server);
    }
    if what(server) == of_base {
        return one(local);
    }
    match (local, server) {
        (Some(local), Some(server)) if local.is_directory() => Choice::Both(local, server),
        (Some(local), Some(server)) => Choice::Both(server, local),
        (local, server) => Choice::One(local.or(server).cloned()),
    }
}

/// What was chosen, with the mode that both sides' come to, and where they agree in what it is the time as well.
fn labelled(chosen: &Thing, base: Option<&Thing>, local: Option<&Thing>, server: Option<&Thing>) -> Thing {
    let mut chosen = chosen.clone();
    let (Some(local), Some(server)) = (local, server) else { return chosen };
    let field = |base: Option<&String>, local: &String, server: &String| match base {
        Some(base) if base != local => local.clone(),
        _ => server.clone(),
    };
    if local.is_file() && server.is_file() {
        let before = base.filter(|base| base.is_file());
        chosen.mode = field(before.map(|base| &base.mode), &local.mode, &server.mode);
        if local.what == server.what {
            let before = base.filter(|base| base.what == local.what);
            chosen.time = field(before.map(|base| &base.time), &local.time, &server.time);
        }
    }
    chosen
}

/// Whatever is in something makes a directory of it.
fn keep_directories(merged: &mut Things, set_aside: &mut Things, client: &str) {
    let parents: Vec<String> =
        merged.keys().filter_map(|name| Some(name.rsplit_once('/')?.0.to_owned())).collect();
    for parent in parents {
        let directory = Thing { what: "/".to_owned(), ..Thing::default() };
        if let Some(other) = merged.insert(parent.clone(), directory)
            && !other.is_directory()
        {
            set_aside.insert(conflict_name(&parent, client), other);
        }
    }
}

fn rename(things: &mut Things, old: &str, new: &str) {
    let moved: Vec<String> =
        things.keys().filter(|name| *name == old || is_below(name, old)).cloned().collect();
    for name in moved {
        let thing = things.remove(&name).expect("it was found there");
        things.insert(format!("{new}{}", &name[old.len()..]), thing);
    }
}

fn is_below(name: &str, directory: &str) -> bool {
    name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

fn conflict_name(name: &str, client: &str) -> String {
    match name.strip_suffix(".txt") {
        Some(stem) => format!("{stem} (conflict {client}).txt"),
        None => format!("{name} (conflict {client})"),
    }
}
