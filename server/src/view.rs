//! The box as one client may see it: what handlers get instead of the store.
//!
//! ```text
//!     handlers      the client's paths
//!     ------------------------------------  View: adds the realm's folder on the way in, takes it off on the way out,
//!     store, hub    the box's paths               and leaves out what is not below it
//! ```
//!
//! This is the only place where the two meet. A handler names a path as the client does and gets back what the client may hear, so that
//! no handler can forget about the realm, and none has to think of it. To a client that is confined, a move out of its folder is a
//! deletion and a move into it a creation, without anybody having to say so: the index records both ends of a move path by path.
//!
//! The folder of a realm is not part of what is seen, so it can't be changed from within. It is made when its client first syncs, if the
//! box never had one. Was it deleted, moved, or replaced by a file, the client is told that instead of deletions: whoever moves a folder
//! in the box does not mean to empty others' machines.

use std::io;
use std::iter::successors;
use std::sync::{Arc, RwLockReadGuard};
use std::time::Instant;

use common::cli::log::Log;
use common::disk::{FoundPartial, Partial, PartialKey, Stage, Stat, StatKind};
use common::protocol::{Allowance, Amount, Cursor, ProblemKind, RemoteEntry};
use common::sync::Remote;
use common::tree::{Content, Entry, Kind, Path};
use common::wire::jwt::Scope;
use common::wire::sha256::Hash;

use crate::answer::Refusal;
use crate::auth::{Denied, Grant, insufficient_scope};
use crate::hub::{Listener, Subscription};
use crate::intake::Room;
use crate::realm::{Account, Realm};
use crate::service::Service;
use crate::store::{
    Action, Asker, Claim, Committed, Copied, Index, Label, OpenFile, Prepared, Record, Refused, Replaced,
    Require, Step, Store, usual_mode,
};

/// The box as a client sees it.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    service: &'a Service,
    grant: Grant,
    /// Over which connection, by its number.
    connection: u64,
}

/// What a client may see, without the server.
#[derive(Debug)]
pub(crate) struct DetachedView {
    grant: Grant,
    connection: u64,
}

impl DetachedView {
    /// What the client sees of this server.
    pub(crate) fn of(self, service: &Service) -> View<'_> {
        View::new(service, self.grant, self.connection)
    }
}

/// Its index, for reading. Changes wait meanwhile, so let go of it soon.
#[derive(Debug)]
pub(crate) struct IndexView<'a> {
    index: RwLockReadGuard<'a, Index>,
    realm: &'a Realm,
}

/// A change on its way, and its outcome as the client sees it.
#[derive(Debug)]
pub(crate) struct PreparedView {
    prepared: Prepared,
    realm: Realm,
}

// ---- What is allowed -----------------------------------------------------------------------------------------------------------------

impl<'a> View<'a> {
    /// What a grant opens to whoever is at this connection.
    pub(crate) fn new(service: &'a Service, grant: Grant, connection: u64) -> View<'a> {
        View { service, grant, connection }
    }

    /// The same without the server, to be taken from one thread to another.
    pub(crate) fn detach(self) -> DetachedView {
        DetachedView { grant: self.grant, connection: self.connection }
    }

    /// Whether the client sees all of the box.
    pub(crate) fn is_whole(&self) -> bool {
        self.grant.realm.root().is_none()
    }

    /// Refuses a client that may only see part of the box.
    pub(crate) fn require_whole(&self) -> Result<(), Refusal> {
        match self.is_whole() {
            true => Ok(()),
            false => Err(insufficient_scope("the token is confined to a folder").into()),
        }
    }

    /// Refuses a client that may only read.
    pub(crate) fn require_write(&self) -> Result<(), Refusal> {
        match self.grant.scope {
            Scope::Write => Ok(()),
            Scope::Read => Err(insufficient_scope("the token only lets read").into()),
        }
    }

    /// Whether the client may still do what it was let in for: to be asked where time went by since.
    pub(crate) fn check_again(&self) -> Result<(), Denied> {
        self.service.auth.check_again(&self.grant)
    }

    /// As [`Grant::identity`].
    pub(crate) fn identity(&self, id: &str) -> String {
        self.grant.identity(id)
    }

    /// As [`Realm::rests_on`].
    pub(crate) fn rests_on(&self, path: &Path) -> bool {
        self.grant.realm.rests_on(path)
    }

    /// Whether what the client was let in for has no end.
    pub(crate) fn is_lasting(&self) -> bool {
        self.grant.is_lasting()
    }
}

// ---- The folder of the realm ---------------------------------------------------------------------------------------------------------

impl View<'_> {
    /// Refuses a client whose folder is not there.
    pub(crate) fn require_root(&self) -> Result<(), Refusal> {
        match self.has_root() {
            true => Ok(()),
            false => Err(Refusal::new(ProblemKind::RootMissing, NO_ROOT)),
        }
    }

    /// Whether the folder that the client sees is there: in the index, and on the disk, which knows it first when a folder is moved by
    /// hand with all that is in it.
    pub(crate) fn has_root(&self) -> bool {
        let Some(root) = self.grant.realm.root() else { return true };
        let store = &self.service.store;
        let is_directory = |stat: Stat| stat.kind == StatKind::Directory;
        store.index().is_directory(root)
            && store.root().stat(root).is_ok_and(|stat| stat.is_some_and(is_directory))
    }

    /// The same; but if the box never had anything of its name, the folder is made, with those above it.
    pub(crate) fn found_root(&self) -> Result<(), Refusal> {
        let Some(root) = self.grant.realm.root() else { return Ok(()) };
        let mut missing = Vec::new();
        {
            let index = self.service.store.index();
            if index.get(root).is_none() {
                let above = successors(Some(root.clone()), Path::parent);
                missing.extend(above.take_while(|directory| !index.is_directory(directory)));
            }
        }
        for directory in missing.into_iter().rev() {
            // Whatever else may have come of it shows in a moment: somebody else was faster, or something else is there.
            if let Err(Refused::Disk(error)) =
                make_directory(&self.service.store, directory, self.asker(Claim::default()))
            {
                return Err(Refusal::disk(&error));
            }
        }
        self.require_root()
    }
}

/// What a client is told whose folder is not there.
pub(crate) const NO_ROOT: &str = "the folder that the token is for was deleted, moved or replaced in the box; nothing happens until it is back";

/// Makes a directory with the usual permission bits, unless something is there.
fn make_directory(store: &Store, path: Path, asker: Asker) -> Result<(), Refused> {
    let mode = usual_mode(Kind::Directory);
    let staged = store.stage().directory(mode).map_err(Refused::Disk)?;
    let action = Action::Put {
        content: Content::Directory,
        label: Label::now(None),
        staged,
        file: None,
        require: Require::Nothing,
        replaced: Replaced::Removed,
    };
    match store.submit(path, action, asker) {
        Ok(_) | Err(Refused::Precondition(_)) => Ok(()),
        Err(refused) => Err(refused),
    }
}

// ---- Reading -------------------------------------------------------------------------------------------------------------------------

impl View<'_> {
    /// The index.
    pub(crate) fn index(&self) -> IndexView<'_> {
        IndexView { index: self.service.store.index(), realm: &self.grant.realm }
    }

    /// A change as the client may hear of it; `None` if it happened elsewhere.
    pub(crate) fn see(&self, change: &RemoteEntry) -> Option<RemoteEntry> {
        see(&self.grant.realm, change.clone())
    }

    /// As [`Store::open_file`].
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<Option<OpenFile>> {
        match self.grant.realm.inwards(path) {
            Ok(path) => self.service.store.open_file(&path),
            Err(_) => Ok(None),
        }
    }

    /// As [`Store::copy_version`].
    pub(crate) fn copy_version(&self, path: &Path, version: &Content) -> io::Result<Option<Copied>> {
        match self.grant.realm.inwards(path) {
            Ok(path) => self.service.store.copy_version(&path, version),
            Err(_) => Ok(None),
        }
    }

    /// As [`Store::retained`].
    pub(crate) fn retained(&self, path: &Path, versions: &Require) -> Option<Entry> {
        self.service.store.retained(&self.grant.realm.inwards(path).ok()?, versions)
    }

    /// The target of a symbolic link.
    pub(crate) fn read_link(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = self.grant.realm.inwards(path).map_err(|_| io::ErrorKind::NotFound)?;
        self.service.store.root().read_link(&path)
    }

    /// Begins to listen, at this seq. To be called while the index is held.
    pub(crate) fn subscribe(&self, client: &str, name: &str, seq: u64) -> Subscription {
        self.service.hub.subscribe(self.connection, client, name, &self.grant.realm, seq)
    }

    /// Who listens, of those who see the same.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        let mut listeners = self.service.hub.listeners();
        listeners.retain(|listener| self.is_whole() || listener.realm == self.grant.realm);
        listeners
    }

    /// How much there is.
    pub(crate) fn amount(&self) -> Amount {
        self.service.store.amount(&self.account())
    }

    /// How much the client's token allows.
    pub(crate) fn allowed(&self) -> Allowance {
        self.grant.allowed
    }

    /// Where to log.
    pub(crate) fn logger(&self) -> Log {
        self.service.log
    }

    /// Logs something about a path, by the name that it has in the box.
    pub(crate) fn log(&self, path: &Path, words: &str) {
        let path = self.grant.realm.inwards(path).unwrap_or_else(|_| path.clone());
        self.service.log.info(format!("{path}: {words}"));
    }
}

impl<'a> IndexView<'a> {
    /// Where the history stands.
    pub(crate) fn cursor(&self) -> Cursor {
        self.realm.cursor(self.index.cursor())
    }

    /// As [`Index::can_continue`].
    pub(crate) fn can_continue(&self, cursor: Cursor) -> bool {
        self.index.can_continue(self.realm.cursor(cursor))
    }

    /// What is known of a path.
    pub(crate) fn get(&self, path: &Path) -> Option<&Record> {
        self.index.get(&self.realm.inwards(path).ok()?)
    }

    /// What is at a path.
    pub(crate) fn live_entry(&self, path: &Path) -> Option<&Entry> {
        self.get(path).and_then(Record::entry)
    }

    /// As [`Index::remote`].
    pub(crate) fn remote(&self, path: &Path) -> Remote {
        self.realm.inwards(path).map_or(Remote::Unknown, |path| self.index.remote(&path))
    }

    /// What an event or a problem says of a path.
    pub(crate) fn describe(&self, path: &Path) -> Option<RemoteEntry> {
        let found = self.index.describe(&self.realm.inwards(path).ok()?)?;
        Some(RemoteEntry { path: path.clone(), ..found })
    }

    /// Whether the directory above `path` is there.
    pub(crate) fn has_parent(&self, path: &Path) -> bool {
        self.realm.inwards(path).is_ok_and(|path| self.index.has_parent(&path))
    }

    /// Whether a directory is at `path`.
    pub(crate) fn is_directory(&self, path: &Path) -> bool {
        self.realm.inwards(path).is_ok_and(|path| self.index.is_directory(&path))
    }

    /// Whether a path meets a condition.
    pub(crate) fn meets(&self, require: &Require, path: &Path) -> bool {
        let require = required(self.realm, require.clone());
        self.realm.inwards(path).is_ok_and(|path| require.is_met(&self.index, &path))
    }

    /// All records after `path`, in the order of paths.
    pub(crate) fn after<'s>(
        &'s self,
        path: Option<&Path>,
    ) -> impl Iterator<Item = (Path, &'s Record)> + use<'s, 'a> {
        let after = path.map(|path| self.realm.bytes_inwards(path));
        let records = self.index.below_after(self.realm.root(), after.as_deref());
        records.filter_map(|(path, record)| Some((self.realm.outwards(path)?, record)))
    }

    /// As [`Index::changes_after`]: every step, with `None` where nothing is to be seen.
    pub(crate) fn changes_after(&self, step: Step) -> impl Iterator<Item = (Step, Option<RemoteEntry>)> {
        self.index.changes_after(step).map(|(step, change)| (step, see(self.realm, change)))
    }
}

fn see(realm: &Realm, change: RemoteEntry) -> Option<RemoteEntry> {
    Some(RemoteEntry { path: realm.outwards(&change.path)?, ..change })
}

// ---- Changing ------------------------------------------------------------------------------------------------------------------------

impl PreparedView {
    /// As [`Prepared::submit`].
    pub(crate) fn submit(&mut self) {
        self.prepared.submit();
    }

    /// As [`Prepared::close_file`].
    pub(crate) fn close_file(&mut self) {
        self.prepared.close_file();
    }

    /// As [`Prepared::outcome`].
    pub(crate) fn outcome(self) -> Result<Committed, Refused> {
        let PreparedView { prepared, realm } = self;
        match prepared.outcome() {
            Ok(done) => Ok(Committed { cursor: realm.cursor(done.cursor), ..done }),
            Err(Refused::Precondition(current)) => {
                Err(Refused::Precondition(current.and_then(|current| see(&realm, current))))
            }
            Err(refused) => Err(refused),
        }
    }
}

impl<'a> View<'a> {
    fn account(&self) -> Account {
        self.grant.realm.account()
    }

    fn asker(&self, claim: Claim) -> Asker {
        Asker { account: self.account(), client: None, claim }
    }

    /// Claims room for something of this size at a path, as far as the client's token allows.
    pub(crate) fn claim(&self, path: &Path, bytes: u64) -> Result<Claim, Refused> {
        let path = self.grant.realm.inwards(path).map_err(Refused::BadName)?;
        self.service.store.claim(self.account(), self.grant.allowed, path, bytes)
    }

    /// As [`Store::submit`]. What puts something at a path comes with the room that was claimed for it.
    pub(crate) fn submit(
        &self,
        path: &Path,
        action: Action,
        client: Option<&str>,
        claim: Claim,
    ) -> Result<Committed, Refused> {
        self.prepare(path, action, client, claim)?.outcome()
    }

    /// As [`Store::prepare`].
    pub(crate) fn prepare(
        &self,
        path: &Path,
        action: Action,
        client: Option<&str>,
        claim: Claim,
    ) -> Result<PreparedView, Refused> {
        let realm = &self.grant.realm;
        let path = realm.inwards(path).map_err(Refused::BadName)?;
        let asker = Asker { client: client.map(str::to_owned), ..self.asker(claim) };
        let prepared = self.service.store.prepare(path, inwards(realm, action)?, asker);
        Ok(PreparedView { prepared, realm: realm.clone() })
    }

    /// Makes a directory with the usual permission bits, unless something is there.
    pub(crate) fn make_directory(&self, path: &Path) -> Result<(), Refused> {
        let claim = self.claim(path, 0)?;
        let path = self.grant.realm.inwards(path).map_err(Refused::BadName)?;
        make_directory(&self.service.store, path, self.asker(claim))
    }

    /// Where new content is written before it is submitted.
    pub(crate) fn stage(&self) -> &Arc<Stage> {
        self.service.store.stage()
    }

    /// How many bytes there is room for.
    pub(crate) fn free_space(&self) -> io::Result<u64> {
        let free = self.service.store.root().free_space()?;
        self.service.headroom.note(free, Instant::now());
        Ok(free)
    }

    /// Whether there was plenty of room for so many bytes a moment ago.
    pub(crate) fn has_ample_room(&self, bytes: u64) -> bool {
        self.service.headroom.is_ample(bytes, Instant::now())
    }

    /// Where a list is kept while it comes.
    pub(crate) fn list_room(&self) -> Room<'a> {
        self.service.lists.room(self.account())
    }

    /// Gives up what is kept of cut uploads, until so many bytes are free. Whether that was enough.
    pub(crate) fn give_way(&self, needed: u64) -> bool {
        self.service.store.partials().give_way(needed)
    }

    /// Begins an upload that can go on after a cut; see [`Partials::begin`](common::disk::Partials::begin).
    pub(crate) fn begin_partial(
        &self,
        path: &Path,
        client: &str,
        content: Hash,
        length: u64,
    ) -> io::Result<Option<Partial>> {
        match self.partial_key(path, client, content) {
            Some(key) => self.service.store.partials().begin(key, length),
            None => Ok(None),
        }
    }

    /// What came of an upload that was cut; see [`Partials::resume`](common::disk::Partials::resume).
    pub(crate) fn resume_partial(
        &self,
        path: &Path,
        client: &str,
        content: Hash,
    ) -> io::Result<FoundPartial> {
        match self.partial_key(path, client, content) {
            Some(key) => self.service.store.partials().resume(key),
            None => Ok(FoundPartial::Nothing),
        }
    }

    fn partial_key(&self, path: &Path, client: &str, content: Hash) -> Option<PartialKey> {
        self.grant.realm.inwards(path).ok().map(|path| PartialKey::new(&path, client, content))
    }
}

/// What a client asks for, in terms of the box.
fn inwards(realm: &Realm, action: Action) -> Result<Action, Refused> {
    Ok(match action {
        Action::Put { content, label, staged, file, require, replaced } => {
            Action::Put { content, label, staged, file, require: required(realm, require), replaced }
        }
        Action::Delete { require } => Action::Delete { require: required(realm, require) },
        Action::Move { to, require } => Action::Move {
            to: realm.inwards(&to).map_err(Refused::BadName)?,
            require: required(realm, require),
        },
        Action::SetMeta { mtime, mode, require } => {
            Action::SetMeta { mtime, mode, require: required(realm, require) }
        }
        Action::Renamed { to } => Action::Renamed { to: realm.inwards(&to).map_err(Refused::BadName)? },
        Action::Found { .. } | Action::Lost => action,
    })
}

fn required(realm: &Realm, require: Require) -> Require {
    match require {
        Require::HeldSince(tags, at) => Require::HeldSince(tags, realm.cursor(at)),
        require => require,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Grant;
    use crate::testing::Workshop;
    use common::limits::PATH_BYTES;
    use common::tree::Tag;

    fn path(text: &str) -> Path {
        Path::new(text.as_bytes()).unwrap()
    }

    fn below<'a>(workshop: &'a Workshop, root: &str) -> View<'a> {
        View::new(&workshop.service, Grant::of_a_test(Realm::below(path(root))), 0)
    }

    /// Directories `a`, `a/d`, `b`, and a link in each, made through the whole box.
    fn workshop() -> Workshop {
        let workshop = Workshop::new();
        let whole = View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0);
        for directory in ["a", "a/d", "b"] {
            whole.make_directory(&path(directory)).unwrap();
        }
        for link in ["a/d/l", "a/l", "b/l", "l"] {
            put(&whole, link, Require::Nothing).unwrap();
        }
        workshop
    }

    fn put(view: &View<'_>, link: &str, require: Require) -> Result<Committed, Refused> {
        let target = b"somewhere";
        let content = Content::Symlink { size: 9, hash: common::wire::sha256::sha256(target) };
        let staged = view.stage().symlink(target).unwrap();
        let (label, replaced) = (Label::now(None), Replaced::Removed);
        view.submit(
            &path(link),
            Action::Put { content, label, staged, file: None, require, replaced },
            None,
            Claim::default(),
        )
    }

    fn relocate(view: &View<'_>, from: &str, to: &str) -> Result<Committed, Refused> {
        let action = Action::Move { to: path(to), require: Require::Something };
        view.submit(&path(from), action, None, Claim::default())
    }

    fn told(view: &View<'_>, after: u64) -> Vec<String> {
        let line = |(_, change): (Step, Option<RemoteEntry>)| {
            let change = change?;
            Some(format!("{}{}", if change.entry.is_some() { "+" } else { "-" }, change.path))
        };
        view.index().changes_after(Step::end_of(after)).filter_map(line).collect()
    }

    #[test]
    fn what_is_seen_is_what_is_below() {
        let workshop = workshop();
        let view = below(&workshop, "a");
        let names = |after: Option<&str>| {
            let after = after.map(path);
            view.index().after(after.as_ref()).map(|(path, _)| path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(None), ["d", "d/l", "l"]);
        assert_eq!(names(Some("d")), ["d/l", "l"]);
        // A name that would be too long in the box has its place all the same.
        let long = format!("e{}", "/e".repeat(PATH_BYTES / 2 - 1));
        assert_eq!(names(Some(&long)), ["l"]);
        assert_eq!(view.amount(), Amount { entries: 3, bytes: 18 });
        assert_eq!(told(&view, 0), ["+d", "+d/l", "+l"]);
        assert_eq!(view.index().changes_after(Step::end_of(0)).count(), 7, "every step counts");
        assert!(view.index().live_entry(&path("l")).is_some() && view.index().get(&path("b")).is_none());
        assert!(view.index().get(&path("a")).is_none() && view.index().get(&path("a/l")).is_none());
        assert!(view.index().has_parent(&path("new")) && !view.index().has_parent(&path("x/new")));
        assert!(matches!(view.read_link(&path("l")), Ok(target) if target == b"somewhere"));
        assert!(view.read_link(&path("b/l")).is_err());
    }

    #[test]
    fn changes_stay_within_and_are_answered_by_their_names_there() {
        let workshop = workshop();
        let (view, whole) =
            (below(&workshop, "a"), View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0));
        put(&view, "new", Require::Nothing).unwrap();
        assert!(whole.index().live_entry(&path("a/new")).is_some());
        let other = Require::OneOf(vec![Tag::Directory]);
        match put(&view, "d/l", Require::Nothing) {
            Ok(committed) => assert!(!committed.created, "it is there already"),
            Err(refused) => panic!("{refused:?}"),
        }
        match view.submit(&path("l"), Action::Delete { require: other }, None, Claim::default()) {
            Err(Refused::Precondition(Some(current))) => assert_eq!(current.path, path("l")),
            other => panic!("{other:?}"),
        }
        match relocate(&view, "new", "l") {
            Err(Refused::Precondition(Some(current))) => assert_eq!(current.path, path("l")),
            other => panic!("{other:?}"),
        }
        // Seqs are of the history that the client knows by its own name.
        let (own, other) = (view.index().cursor(), whole.index().cursor());
        for (at, wanted) in [(own, true), (other, false)] {
            let since =
                Require::HeldSince(vec![view.index().live_entry(&path("l")).unwrap().content.into()], at);
            assert_eq!(view.index().meets(&since, &path("l")), wanted);
            assert_eq!(view.index().can_continue(at), wanted);
        }
        let done = relocate(&view, "new", "b").unwrap();
        assert_eq!(done.cursor, view.index().cursor());
        assert!(whole.index().live_entry(&path("a/b")).is_some(), "not what is called so in the box");
        let long = format!("{}x", "y/".repeat(PATH_BYTES / 2));
        assert!(matches!(put(&view, &long, Require::Nothing), Err(Refused::BadName(_))));
    }

    #[test]
    fn a_move_over_the_border_is_a_deletion_or_a_creation() {
        let workshop = workshop();
        let whole = View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0);
        let (a, b) = (below(&workshop, "a"), below(&workshop, "b"));
        let before = whole.index().cursor().seq;
        relocate(&whole, "a/d", "b/d").unwrap();
        assert_eq!(told(&a, before), ["-d/l", "-d"]);
        assert_eq!(told(&b, before), ["+d", "+d/l"]);
        assert_eq!(told(&whole, before).len(), 4);
    }

    #[test]
    fn the_folder_of_a_realm_is_made_once_and_never_again() {
        let workshop = workshop();
        let whole = View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0);
        let new = below(&workshop, "c/d/e");
        assert!(!new.has_root() && new.require_root().is_err());
        new.found_root().unwrap();
        assert!(new.has_root() && workshop.dir.join("c/d/e").is_dir());
        new.found_root().unwrap();

        relocate(&whole, "c/d", "c/elsewhere").unwrap();
        assert!(new.found_root().is_err() && !workshop.dir.join("c/d").exists(), "it was moved");
        relocate(&whole, "c/elsewhere", "c/d").unwrap();
        assert!(new.found_root().is_ok());

        let in_the_way = below(&workshop, "l/x");
        assert!(in_the_way.found_root().is_err() && below(&workshop, "l").found_root().is_err());
        std::fs::rename(workshop.dir.join("b"), workshop.dir.join("unseen")).unwrap();
        assert!(!below(&workshop, "b").has_root(), "the disk knows first");
    }

    #[test]
    fn a_view_has_its_own_listeners() {
        let workshop = workshop();
        let whole = View::new(&workshop.service, Grant::of_a_test(Realm::default()), 0);
        let (a, also_a, b) = (below(&workshop, "a"), below(&workshop, "a"), below(&workshop, "b"));
        let _subscriptions = [("1", &whole), ("2", &a), ("3", &also_a), ("4", &b)]
            .map(|(client, view)| view.subscribe(client, "", 0));
        let heard = |view: &View<'_>| {
            let mut clients: Vec<String> = view.listeners().into_iter().map(|who| who.client).collect();
            clients.sort();
            clients.concat()
        };
        assert_eq!([&whole, &a, &b].map(heard), ["1234", "23", "4"]);
    }
}
