//! What comes of operations that clients make without knowing of each other: a table for every two, a rule for every three, and the
//! programs held against both.
//!
//! Every case gets a directory of its own, all with the same things in it, so that hundreds of cases need only a few starts of the
//! programs. One client is called *first*, because its operation reaches the server before the others', the next *second*.
//!
//! ```text
//!     case-017/file.txt             "base"
//!     case-017/other.txt            "other"
//!     case-017/directory/old.txt    "old"
//!     case-017/link                 -> base
//!     case-017/empty/
//! ```
//!
//! The results are written as what `ls` would show: `new.txt=first` is a file with the content that the first client wrote,
//! `file.txt->second` a symlink to where the second client wants it, `directory/` a directory.

/// A case: who does what, and what is there afterwards.
mod case;
/// What can be done.
mod operation;
/// What comes of every two operations.
mod pairs;
/// What comes of any number of operations, path by path.
mod rule;

use std::fs;

use tempfile::TempDir;

use crate::harness::{Client, Kind, Server, Tree, World, agreement, eventually_by_steps};
use case::{Case, Lines, NAMES, read_cases};
use operation::Operation::{self, *};
use pairs::ALONE;
use rule::Rule;

/// Whose operation reaches the server first: places in a case.
type Order = [usize];

/// Every pair of operations, either way round.
fn pairs() -> Vec<Case> {
    let operations = ALONE.map(|(operation, _)| operation);
    let pairs = operations.iter().flat_map(|&a| operations.iter().map(move |&b| vec![a, b]));
    Case::number(pairs)
}

/// Operations that meet each other on three clients, in groups that share a subject; within a group every three in every order.
const GROUPS: [&[Operation]; 6] = [
    &[Edit, Delete, Chmod, Rename, RenameAway, ToDirectory, ToSymlink],
    &[CreateSame, Create, CreateDirectory, Rename],
    &[Create, Rename, Edit],
    &[DeleteDirectory, AddInside, EditInside, RenameDirectory, DirectoryToFile],
    &[DeleteEmpty, AddToEmpty, RenameEmpty, EmptyToFile],
    &[Relink, DeleteLink, LinkToFile, LinkToDirectory],
];

fn triples() -> Vec<Case> {
    let of_group = |group: &'static [Operation]| {
        group
            .iter()
            .flat_map(move |&a| group.iter().flat_map(move |&b| group.iter().map(move |&c| vec![a, b, c])))
    };
    Case::number(GROUPS.into_iter().flat_map(of_group))
}

/// Holds every case against what is expected of it, for one of the orders, and says all that is wrong at once.
#[track_caller]
fn check(server: &Server, tree: &Tree, cases: &[Case], expected: impl Fn(&Case) -> Vec<Lines>) {
    let found = read_cases(&server.folder, tree);
    assert_eq!(found.len(), cases.len(), "nothing is outside the directories of the cases");
    let mut wrong = Vec::new();
    for case in cases {
        let lines = &found[&case.directory()];
        let expected = expected(case);
        if let Err(error) = case.check_invariants(lines) {
            wrong.push(format!("{case:?}: {error}\n    found {lines:?}"));
        } else if !expected.is_empty() && !expected.contains(lines) {
            wrong.push(format!("{case:?}\n    found    {lines:?}\n    expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[track_caller]
fn check_staging<'a>(server: &'a Server, clients: impl IntoIterator<Item = &'a Client>) {
    let folders = clients.into_iter().map(|client| &client.folder);
    for folder in folders.chain([&server.folder]) {
        let staging = fs::read_dir(folder.join(".filesync/staging")).unwrap();
        assert_eq!(staging.count(), 0, "staging of {}", folder.display());
    }
}

// ---- Two clients -------------------------------------------------------------------------------------------------------------------------

/// Both clients have the directories of the cases.
#[track_caller]
fn prepare(cases: &[Case]) -> World {
    World::live_with(|folder| cases.iter().for_each(|case| case.fill(folder)))
}

fn apply_pairs(cases: &[Case], world: &World) {
    for case in cases {
        case.apply(0, &world.a.folder);
        case.apply(1, &world.b.folder);
    }
}

/// Both clients are stopped when the operations are made, and come back one after the other.
#[track_caller]
fn meet_after_a_while(order: &Order) {
    let cases = pairs();
    let mut world = prepare(&cases);
    world.stop_clients();
    apply_pairs(&cases, &world);
    for &client in order {
        [&mut world.a, &mut world.b][client].start();
        world.settle();
    }
    let tree = world.settle();
    check(&world.server, &tree, &cases, |case| vec![case.expected(order)]);
    check_staging(&world.server, [&world.a, &world.b]);
}

/// Both clients run and are connected, but neither has a moment to notice what the other does before it has its own.
#[test]
fn every_pair_made_online_at_once() {
    let cases = pairs();
    let mut world = prepare(&cases);
    world.a.process().signal("STOP");
    world.b.process().signal("STOP");
    apply_pairs(&cases, &world);
    world.a.process().signal("CONT");
    world.b.process().signal("CONT");
    let tree = world.settle();
    check(&world.server, &tree, &cases, |case| vec![case.expected(&[0, 1]), case.expected(&[1, 0])]);
    check_staging(&world.server, [&world.a, &world.b]);
}

#[test]
fn every_pair_made_offline_a_back_first() {
    meet_after_a_while(&[0, 1]);
}

#[test]
fn every_pair_made_offline_b_back_first() {
    meet_after_a_while(&[1, 0]);
}

/// The rule, which three clients are held against, says of every two operations what the table says.
#[test]
fn the_rule_is_the_table() {
    let rule = Rule::learn();
    let mut wrong = Vec::new();
    for case in pairs() {
        for order in [[0, 1], [1, 0]] {
            let (by_rule, table) = (rule.outcome(&case, &order, true), case.expected(&order));
            if by_rule != table {
                wrong.push(format!(
                    "{case:?} in the order {order:?}\n    rule  {by_rule:?}\n    table {table:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// File systems give the inode of a deleted directory to the next new one. That is no rename, and nothing may follow it.
#[test]
fn a_new_directory_with_the_inode_of_a_deleted_one_is_another() {
    let cases = Case::number([vec![AddInside, DeleteDirectory]]);
    let mut world = prepare(&cases);
    world.stop_clients();
    apply_pairs(&cases, &world);
    // One of them gets it.
    for number in 0..8 {
        fs::create_dir(world.b.at(format!("case-000/unrelated {number}"))).unwrap();
    }
    world.a.start();
    world.settle();
    world.b.start();
    let tree = world.settle();
    assert!(tree.contains_key(b"case-000/directory/added.txt".as_slice()), "{tree:?}");
}

// ---- Three clients -----------------------------------------------------------------------------------------------------------------------

/// A server and three clients, which have the directories of the cases.
struct Three {
    clients: [Client; 3],
    server: Server,
    _directory: TempDir,
}

impl Three {
    #[track_caller]
    fn prepare(cases: &[Case]) -> Three {
        let directory = TempDir::new().unwrap();
        let mut server = Server::new(directory.path());
        server.start();
        let kinds = [Kind::A, Kind::B, Kind::B];
        let mut number = 0;
        let clients = NAMES.map(|name| {
            number += 1;
            let mut client = Client::new(kinds[number - 1], name, &server, directory.path());
            if number == 1 {
                cases.iter().for_each(|case| case.fill(&client.folder));
            }
            client.start();
            client
        });
        let mut three = Three { server, clients, _directory: directory };
        three.settle();
        three
    }

    #[track_caller]
    fn settle(&mut self) -> Tree {
        let Three { server, clients, .. } = self;
        eventually_by_steps("server and clients to agree", || agreement(server, clients.iter_mut()))
    }

    fn apply(&self, cases: &[Case]) {
        for case in cases {
            for (place, client) in self.clients.iter().enumerate() {
                case.apply(place, &client.folder);
            }
        }
    }

    #[track_caller]
    fn check(&self, tree: &Tree, cases: &[Case], orders: &[&Order]) {
        let rule = Rule::learn();
        let expected = |case: &Case| orders.iter().flat_map(|order| rule.outcomes(case, order)).collect();
        check(&self.server, tree, cases, expected);
        check_staging(&self.server, &self.clients);
    }
}

/// Every three, in every order in which they can reach the server: the clients come back one after the other, and stay. The one that is
/// back first is told of all that the others bring.
#[test]
fn every_three_made_offline_back_one_after_the_other() {
    let cases = triples();
    let mut three = Three::prepare(&cases);
    three.clients.iter_mut().for_each(Client::stop);
    three.apply(&cases);
    for client in 0..3 {
        three.clients[client].start();
        three.settle();
    }
    let tree = three.settle();
    three.check(&tree, &cases, &[&[0, 1, 2]]);
}

/// Never are two clients there at the same time, and they come in another order than they are called.
#[test]
fn every_three_made_offline_never_two_at_a_time() {
    let cases = triples();
    let mut three = Three::prepare(&cases);
    three.clients.iter_mut().for_each(Client::stop);
    three.apply(&cases);
    for client in [2, 0, 1, 2, 0] {
        three.clients[client].start();
        three.settle();
        three.clients[client].stop();
    }
    three.clients.iter_mut().for_each(Client::start);
    let tree = three.settle();
    three.check(&tree, &cases, &[&[2, 0, 1]]);
}

/// All three notice at the same time what each did. Operations on several paths may then reach the server in turns, so that there is no one
/// order; but nothing is lost, and all agree.
#[test]
fn every_three_made_online_at_once() {
    let cases = triples();
    let mut three = Three::prepare(&cases);
    three.clients.iter_mut().for_each(|client| client.process().signal("STOP"));
    three.apply(&cases);
    three.clients.iter_mut().for_each(|client| client.process().signal("CONT"));
    let tree = three.settle();
    three.check(&tree, &cases, &[]);
}
