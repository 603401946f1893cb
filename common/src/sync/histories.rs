//! Random histories of the decision: a server and three clients, as nothing but maps, and users at work at all four.
//!
//! ```text
//!     history:  user, user, news, decide, crash, user, ...     any order: news late, answers lost, state lost or set back
//!     then:     rounds of news and decisions in a random order, until all agree
//! ```
//!
//! In the end all trees are equal, within [`ROUNDS_MAX`] rounds; every version that a user wrote is there, unless a user who saw it
//! replaced or deleted it *since*; and no delete was made that no user had asked for. A version that is written again where it is not
//! any more is a new one: that it was deleted before excuses nothing.
//!
//! News is what it was when it was sent: it may lie in a client's inbox while answers to the client's own requests overtake it.
//!
//! Paths are flat: what a tree adds, a directory before what is in it and such, is the engine's affair, and that of the end-to-end
//! histories. `FILESYNC_SEED=17` runs one history, `FILESYNC_SEEDS=1000000` so many. A history that fails is made smaller by dropping
//! steps as long as it still fails, and what is left of it is printed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};

use super::{Base, Remote, Verdict, conflict_path, decide, is_conflict_name};
use crate::tree::{Path, Tag};
use crate::wire::sha256::Hash;

const CLIENTS: usize = 3;
const STEPS: usize = 40;
const SEEDS: u64 = 100_000;
const ROUNDS_MAX: usize = 200;
const NAMES: [&str; 3] = ["a", "b.txt", "c"];

type Tree = BTreeMap<Path, Tag>;

// ---- A history --------------------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A user writes a version that was never there before.
    Write(Place, Name, u16),
    /// A user writes one of two versions that others may write, too.
    WriteSame(Place, Name, u16),
    Delete(Place, Name),
    Rename(Place, Name, Name),
    /// A user changes metadata in the box.
    Label(Name),
    /// The client asks for a verdict on the path and obeys. If the answer is lost, the server has done it and the client does not know.
    Decide(usize, Name, Answer),
    /// The server sends the client so many changes.
    Send(usize, usize),
    /// The client hears of so many changes that were sent.
    Hear(usize, usize),
    /// The client's state becomes durable as it is.
    Save(usize),
    /// The client starts again, with the state saved so many times ago, and connects.
    Crash(usize, usize),
    /// The client starts again without any state, and connects.
    LoseState(usize),
    /// The server forgets what was deleted; clients that were not told compare everything.
    ForgetTombstones,
    /// The server loses its history, not its files.
    NewEpoch,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Box,
    Folder(usize),
}

/// An index into [`NAMES`].
type Name = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Arrives,
    IsLost,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

fn draw(seed: u64) -> Vec<Step> {
    let mut random = Random(seed);
    (0..STEPS).map(|number| draw_step(&mut random, number as u16)).collect()
}

fn draw_step(random: &mut Random, number: u16) -> Step {
    let (client, name) = (random.below(CLIENTS), random.below(NAMES.len()));
    let place = if random.below(4) == 0 { Place::Box } else { Place::Folder(client) };
    match random.below(100) {
        0..22 => Step::Write(place, name, number),
        22..25 => Step::WriteSame(place, name, number % 2),
        25..34 => Step::Delete(place, name),
        34..42 => Step::Rename(place, name, random.below(NAMES.len())),
        42..43 => Step::Label(name),
        43..72 => {
            Step::Decide(client, name, if random.below(5) == 0 { Answer::IsLost } else { Answer::Arrives })
        }
        72..81 => Step::Send(client, 1 + random.below(4)),
        81..88 => Step::Hear(client, 1 + random.below(4)),
        88..92 => Step::Save(client),
        92..96 => Step::Crash(client, random.below(3)),
        96..97 => Step::LoseState(client),
        97..99 => Step::ForgetTombstones,
        _ => Step::NewEpoch,
    }
}

// ---- The world --------------------------------------------------------------------------------------------------------------------

/// What is at a path, or that it was deleted.
#[derive(Clone, Copy, Debug)]
struct Record {
    tag: Option<Tag>,
    seq: u64,
    /// Since when it is so.
    since: u64,
}

impl Record {
    fn remote(&self) -> Remote {
        let since = self.since;
        self.tag.map_or(Remote::Tombstone { since }, |tag| Remote::Present { tag, since })
    }
}

#[derive(Default)]
struct Server {
    epoch: u64,
    index: BTreeMap<Path, Record>,
    seq: u64,
    /// What was deleted up to here may be forgotten.
    forgotten: u64,
}

impl Server {
    fn live(&self, path: &Path) -> Option<Tag> {
        self.index.get(path).and_then(|record| record.tag)
    }

    fn put(&mut self, path: &Path, tag: Option<Tag>) {
        self.seq += 1;
        self.index.insert(path.clone(), Record { tag, seq: self.seq, since: self.seq });
    }

    /// Metadata is changed: another seq, the same version.
    fn label(&mut self, path: &Path) {
        if let Some(record) = self.index.get_mut(path).filter(|record| record.tag.is_some()) {
            self.seq += 1;
            record.seq = self.seq;
        }
    }

    /// Whether a change may be made that replaces this.
    fn holds(&self, path: &Path, replaced: Option<Base>) -> bool {
        let there = self.index.get(path).map_or(Remote::Unknown, Record::remote);
        replaced.map_or(self.live(path).is_none(), |seen| seen.is_held_by(there))
    }

    fn forget_tombstones(&mut self) {
        self.index.retain(|_, record| record.tag.is_some());
    }

    fn tree(&self) -> Tree {
        self.index.iter().filter_map(|(path, record)| Some((path.clone(), record.tag?))).collect()
    }
}

/// What survives a crash besides the folder.
#[derive(Clone, Default)]
struct Saved {
    base: BTreeMap<Path, Base>,
    /// Bases of paths that were seen absent since: no evidence against the same content if it is back.
    absent: BTreeSet<Path>,
    cursor: Option<(u64, u64)>,
}

impl Saved {
    /// Whether a path that holds this has not been touched since it was known to agree.
    fn is_base(&self, path: &Path, tag: Tag) -> bool {
        self.base.get(path).is_some_and(|base| base.tag == tag) && !self.absent.contains(path)
    }
}

#[derive(Default)]
struct Client {
    local: Tree,
    state: Saved,
    /// What the server told and the base does not say.
    told: BTreeMap<Path, Told>,
    /// Deletions that it asked for and whose answers overtook the news: by which change.
    freed: BTreeMap<Path, u64>,
    /// Sent, not heard.
    inbox: VecDeque<(Path, Record)>,
    /// Up to where it was sent, and told.
    sent: u64,
    heard: u64,
    saved: Vec<Saved>,
}

#[derive(Clone, Copy)]
struct Told {
    remote: Remote,
    seq: u64,
}

#[derive(Default)]
struct World {
    server: Server,
    clients: [Client; CLIENTS],
    made: BTreeSet<Tag>,
    spent: BTreeSet<Tag>,
    /// Were spent, and written again where they were not any more.
    renewed: BTreeSet<Tag>,
    /// Paths from which a user took something, and at which client.
    removed: BTreeSet<(usize, Path)>,
    removed_anywhere: BTreeSet<Path>,
}

fn path(name: Name) -> Path {
    Path::new(NAMES[name].as_bytes()).unwrap()
}

fn version(number: u16, series: u8) -> Tag {
    let mut hash = [series; 32];
    hash[..2].copy_from_slice(&number.to_be_bytes());
    Tag::File(Hash(hash))
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Write(place, name, number) => self.write(place, &path(name), version(number, 1)),
            Step::WriteSame(place, name, number) => self.write(place, &path(name), version(number, 2)),
            Step::Delete(place, name) => {
                if let Some(seen) = self.remove(place, &path(name)) {
                    self.spent.insert(seen);
                }
            }
            Step::Rename(place, from, to) if from != to => {
                if let Some(moved) = self.remove(place, &path(from)) {
                    self.write(place, &path(to), moved);
                }
            }
            Step::Rename(..) => {}
            Step::Decide(client, name, answer) => self.decide(client, &path(name), answer),
            Step::Send(client, count) => self.send(client, count),
            Step::Hear(client, count) => self.hear(client, count),
            Step::Label(name) => self.server.label(&path(name)),
            Step::Save(client) => {
                let state = self.clients[client].state.clone();
                self.clients[client].saved.push(state);
            }
            Step::Crash(client, ago) => {
                let client_state = &mut self.clients[client];
                let keep = client_state.saved.len().saturating_sub(ago);
                client_state.saved.truncate(keep);
                let old = client_state.saved.last().cloned().unwrap_or_default();
                let was = std::mem::replace(&mut client_state.state, old);
                self.excuse_what_looks_untouched(client, &was);
                self.connect(client);
            }
            Step::LoseState(client) => {
                self.clients[client].saved.clear();
                self.clients[client].state = Saved::default();
                self.connect(client);
            }
            Step::ForgetTombstones => {
                self.server.forgotten = self.server.seq;
                self.server.forget_tombstones();
            }
            Step::NewEpoch => {
                self.server.epoch += 1;
                self.server.forget_tombstones();
            }
        }
    }

    // ---- Users --------------------------------------------------------------------------------------------------------------------

    fn write(&mut self, place: Place, path: &Path, tag: Tag) {
        let there = self.server.live(path);
        let mut is_known = there == Some(tag);
        let seen = match place {
            Place::Folder(client) => {
                is_known |= self.clients[client].takes_for_known(path, tag);
                self.clients[client].local.insert(path.clone(), tag)
            }
            Place::Box => {
                if there != Some(tag) {
                    self.server.put(path, Some(tag));
                }
                there
            }
        };
        self.made.insert(tag);
        // Even if it is the same: whoever moves one copy over the other has seen both, and wants one of them gone.
        self.spent.extend(seen);
        match is_known || seen == Some(tag) {
            // Nobody can have meant this one.
            false if self.spent.remove(&tag) => drop(self.renewed.insert(tag)),
            // It is one with that which was there, and shares its fate.
            true if self.renewed.remove(&tag) => drop(self.spent.insert(tag)),
            _ => {}
        }
    }

    /// With a state that was set back a client may not know any more that a file was gone for a while: if it holds what it held before,
    /// nothing happened as far as the client can see.
    fn excuse_what_looks_untouched(&mut self, client: usize, was: &Saved) {
        let Client { local, state, .. } = &self.clients[client];
        let excused =
            local.iter().filter(|(path, tag)| state.is_base(path, **tag) && !was.is_base(path, **tag));
        self.spent.extend(excused.map(|(_, tag)| *tag));
    }

    fn remove(&mut self, place: Place, path: &Path) -> Option<Tag> {
        let seen = match place {
            Place::Folder(client) => {
                self.removed.insert((client, path.clone()));
                if self.clients[client].state.base.contains_key(path) {
                    self.clients[client].state.absent.insert(path.clone());
                }
                self.clients[client].local.remove(path)?
            }
            Place::Box => {
                let seen = self.server.live(path)?;
                self.server.put(path, None);
                seen
            }
        };
        self.removed_anywhere.insert(path.clone());
        Some(seen)
    }

    // ---- News ---------------------------------------------------------------------------------------------------------------------

    /// The list and its answer, in one go.
    fn connect(&mut self, client: usize) {
        let (server, client) = (&self.server, &mut self.clients[client]);
        client.told.clear();
        client.inbox.clear();
        client.freed.clear();
        let seq = match client.state.cursor {
            Some((epoch, _)) if epoch != server.epoch => {
                client.state = Saved::default();
                0
            }
            Some((_, seq)) if server.forgotten <= seq => seq,
            _ => 0,
        };
        for (path, record) in server.index.iter().filter(|(_, record)| seq < record.seq) {
            client.is_told(path, record);
        }
        if seq == 0 {
            let listed: BTreeSet<&Path> = client.local.keys().chain(client.state.base.keys()).collect();
            for path in listed.into_iter().filter(|path| !server.index.contains_key(*path)) {
                client.told.insert(path.clone(), Told { remote: Remote::Unknown, seq: 0 });
            }
        }
        (client.sent, client.heard) = (server.seq, server.seq);
        client.advance(server);
    }

    fn is_behind(&self, client: usize) -> bool {
        let known = &self.clients[client];
        let is_of_this_history = known.state.cursor.is_some_and(|(epoch, _)| epoch == self.server.epoch);
        !is_of_this_history || known.sent < self.server.forgotten
    }

    /// The next changes, oldest first. What was changed again meanwhile goes as it is by then.
    fn send(&mut self, client: usize, count: usize) {
        if self.is_behind(client) {
            return;
        }
        let (server, client) = (&self.server, &mut self.clients[client]);
        let mut news: Vec<_> = server.index.iter().filter(|(_, record)| client.sent < record.seq).collect();
        news.sort_by_key(|(_, record)| record.seq);
        for (path, record) in news.into_iter().take(count) {
            client.inbox.push_back((path.clone(), *record));
            client.sent = record.seq;
        }
    }

    fn hear(&mut self, client: usize, count: usize) {
        let (server, client) = (&self.server, &mut self.clients[client]);
        if client.state.cursor.is_none_or(|(epoch, _)| epoch != server.epoch) {
            return;
        }
        for _ in 0..count {
            let Some((path, record)) = client.inbox.pop_front() else { break };
            client.is_told(&path, &record);
            client.heard = record.seq;
            client.freed.retain(|_, seq| record.seq < *seq);
        }
        client.advance(server);
    }

    // ---- Verdicts -----------------------------------------------------------------------------------------------------------------

    fn decide(&mut self, number: usize, path: &Path, answer: Answer) {
        let (server, client) = (&mut self.server, &mut self.clients[number]);
        if client.state.cursor.is_none_or(|(epoch, _)| epoch != server.epoch) {
            // Not connected, or to something else than it knows.
            return;
        }
        let local = client.local.get(path).copied();
        let mut base = client.state.base.get(path).copied();
        let (mut remote, seq) = client.remote(path);
        let is_back = client.state.absent.contains(path) && local == base.map(|base| base.tag);
        if is_back && local.is_some() {
            if base.is_some_and(|base| base.is_held_by(remote)) {
                remote = Remote::Unknown;
            }
            base = None;
        }
        let there = server.live(path);
        match (decide(base, local, remote), local, remote) {
            (Verdict::InSync, Some(tag), _) => client.settle(path, Some(tag), seq),
            (Verdict::Forget, ..) => client.settle(path, None, seq),
            (Verdict::Download, _, Remote::Present { tag, .. }) if there == Some(tag) => {
                client.local.insert(path.clone(), tag);
                if answer == Answer::Arrives {
                    client.settle(path, Some(tag), seq);
                }
            }
            // The server has moved on, and will tell.
            (Verdict::Download, ..) => {}
            (Verdict::DeleteLocal, Some(_), _) => {
                assert!(self.removed_anywhere.contains(path), "nobody deleted {path}");
                client.local.remove(path);
                client.settle(path, None, seq);
            }
            (Verdict::Upload { replacing }, Some(tag), _) => {
                if there != Some(tag) && server.holds(path, replacing) {
                    server.put(path, Some(tag));
                }
                client.answered(server, path, Some(tag), answer);
            }
            (Verdict::DeleteRemote { seen }, ..) => {
                let is_meant = self.removed.contains(&(number, path.clone()));
                assert!(is_meant, "{path} was never deleted at client {number}");
                // It is durable before the request goes, and what is durable is not lost.
                client.saved = vec![client.state.clone()];
                if server.holds(path, Some(seen)) {
                    server.put(path, None);
                }
                client.answered(server, path, None, answer);
            }
            (Verdict::Conflict, Some(tag), _) => {
                let copy = client.free_conflict_path(path, number);
                client.local.remove(path);
                client.local.insert(copy, tag);
                client.state.base.remove(path);
            }
            other => panic!("a verdict about a side that is not there: {other:?}"),
        }
        client.advance(server);
    }

    // ---- The end ------------------------------------------------------------------------------------------------------------------

    fn settle(&mut self, random: &mut Random) {
        for _ in 0..ROUNDS_MAX {
            let mut clients = [0, 1, 2];
            random.shuffle(&mut clients);
            for client in clients {
                self.settle_client(client, random);
            }
            let tree = self.server.tree();
            let is_settled = |client: &Client| {
                let bases = client.state.base.iter().map(|(path, base)| (path, &base.tag));
                client.local == tree && bases.eq(&tree) && client.told.is_empty() && client.inbox.is_empty()
            };
            if self.clients.iter().all(is_settled) {
                return;
            }
        }
        panic!("they don't come to agree");
    }

    fn settle_client(&mut self, client: usize, random: &mut Random) {
        self.send(client, usize::MAX);
        self.hear(client, usize::MAX);
        if self.is_behind(client) {
            self.connect(client);
        }
        let known = &self.clients[client];
        let mut paths: Vec<Path> =
            known.local.keys().chain(known.state.base.keys()).chain(known.told.keys()).cloned().collect();
        random.shuffle(&mut paths);
        for path in paths {
            self.decide(client, &path, Answer::Arrives);
        }
    }

    fn judge(&self) {
        let tree = self.server.tree();
        let there: BTreeSet<Tag> = tree.values().copied().collect();
        for version in &self.made {
            assert!(self.spent.contains(version) || there.contains(version), "lost: {version}");
        }
        for version in &there {
            assert!(self.made.contains(version), "nobody made {version}");
        }
        for path in tree.keys().filter(|path| is_conflict_name(path.name())) {
            let marks = path.to_string().matches("(conflict").count();
            assert_eq!(marks, 1, "{path}");
        }
    }
}

impl Client {
    /// What the server holds, and by which change, as far as the client knows.
    fn remote(&self, path: &Path) -> (Remote, u64) {
        match (self.told.get(path), self.state.base.get(path)) {
            (Some(told), _) => (told.remote, told.seq),
            (None, Some(Base { tag, seq: Some(seq) })) => (Remote::Present { tag: *tag, since: *seq }, *seq),
            (None, _) => (Remote::Unknown, 0),
        }
    }

    /// Whether what a user writes now is no new version to the client, but one that the server had, as far as it knows or will hear.
    fn takes_for_known(&self, path: &Path, tag: Tag) -> bool {
        let is_it = |remote: Remote| matches!(remote, Remote::Present { tag: there, .. } if there == tag);
        self.state.is_base(path, tag)
            || self.told.get(path).is_some_and(|told| is_it(told.remote))
            || self.inbox.iter().any(|(there, record)| there == path && is_it(record.remote()))
    }

    /// What is not newer than what is known is no news.
    fn is_told(&mut self, path: &Path, record: &Record) {
        let based = self.state.base.get(path).and_then(|base| base.seq);
        let told = self.told.get(path).map(|told| told.seq);
        let freed = self.freed.get(path).copied();
        if [based, told, freed].into_iter().flatten().all(|known| known < record.seq) {
            self.told.insert(path.clone(), Told { remote: record.remote(), seq: record.seq });
        }
    }

    /// Both sides hold this since the change with this seq at the latest, as far as the client knows.
    fn settle(&mut self, path: &Path, tag: Option<Tag>, seq: u64) {
        if self.told.get(path).is_some_and(|told| told.seq <= seq) {
            self.told.remove(path);
        }
        self.state.absent.remove(path);
        match tag {
            Some(tag) => drop(self.state.base.insert(path.clone(), Base { tag, seq: Some(seq) })),
            None => {
                self.state.base.remove(path);
                if self.heard < seq {
                    self.freed.insert(path.clone(), seq);
                }
            }
        }
    }

    /// The server was asked for this, and did it or told what it holds instead.
    fn answered(&mut self, server: &Server, path: &Path, wanted: Option<Tag>, answer: Answer) {
        if answer == Answer::IsLost {
            return;
        }
        match server.index.get(path) {
            Some(record) if record.tag == wanted => self.settle(path, wanted, record.seq),
            None if wanted.is_none() => self.settle(path, None, 0),
            Some(record) => self.is_told(path, record),
            None => drop(self.told.insert(path.clone(), Told { remote: Remote::Unknown, seq: 0 })),
        }
    }

    /// The cursor says up to where everything is applied.
    fn advance(&mut self, server: &Server) {
        if self.told.is_empty() {
            self.state.cursor = Some((server.epoch, self.heard));
        } else if self.state.cursor.is_none_or(|(epoch, _)| epoch != server.epoch) {
            self.state.cursor = Some((server.epoch, 0));
        }
    }

    fn free_conflict_path(&self, path: &Path, number: usize) -> Path {
        let name = format!("client {number}");
        let attempts = (1..).map(|attempt| conflict_path(path, &name, "2026-11-22 150405", attempt).unwrap());
        attempts.into_iter().find(|copy| !self.local.contains_key(copy)).expect("some attempt is free")
    }
}

// ---- Running them -----------------------------------------------------------------------------------------------------------------

fn run(seed: u64, steps: &[Step]) {
    let mut world = World::default();
    (0..CLIENTS).for_each(|client| world.connect(client));
    steps.iter().for_each(|&step| world.take(step));
    world.settle(&mut Random(!seed));
    world.judge();
}

fn fails(seed: u64, steps: &[Step]) -> bool {
    catch_unwind(AssertUnwindSafe(|| run(seed, steps))).is_err()
}

/// Drops steps as long as what is left still fails.
fn shrink(seed: u64, mut steps: Vec<Step>) -> Vec<Step> {
    loop {
        let shorter = (0..steps.len()).map(|at| [&steps[..at], &steps[at + 1..]].concat());
        match shorter.into_iter().find(|shorter| fails(seed, shorter)) {
            Some(shorter) => steps = shorter,
            None => return steps,
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

/// Two users move one version in opposite directions, neither knowing of the other.
#[test]
fn a_version_that_is_moved_both_ways_at_once_is_not_lost() {
    let (here, there) = (Place::Folder(0), Place::Box);
    run(
        1,
        &[
            Step::WriteSame(here, 2, 1),
            Step::Decide(0, 2, Answer::Arrives),
            Step::Rename(there, 2, 1),
            Step::Send(0, 3),
            Step::Hear(0, 3),
            Step::Rename(there, 1, 2),
            Step::Rename(here, 2, 1),
            Step::Decide(0, 1, Answer::Arrives),
        ],
    );
}

#[test]
fn no_version_is_lost_and_all_come_to_agree() {
    let first = number("FILESYNC_SEED");
    let count = number("FILESYNC_SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    for seed in (first.unwrap_or(1)..).take(count as usize) {
        let steps = draw(seed);
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed, &steps))) else { continue };
        // Every attempt to make it smaller panics, too; once is enough to be told.
        let hook = take_hook();
        set_hook(Box::new(|_| {}));
        let steps = shrink(seed, steps);
        set_hook(hook);
        eprintln!("history {seed} fails; FILESYNC_SEED={seed} runs it again. What is left of it:");
        steps.iter().for_each(|step| eprintln!("    {step:?}"));
        resume_unwind(panic);
    }
}
