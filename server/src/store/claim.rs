//! Room in an account, claimed for one change before its content comes, and given back when it is in the index or is nothing any more.
//!
//! ```text
//!     declared length ---> claim: used + promised to others + growth <= allowed? ---> body ---> commit: once more, against what is there
//!                                 no: refused, nothing is written                                now ---> index, and the claim is dropped
//! ```
//!
//! Without it many uploads at once, each of which fits, would pass an allowance together. *Growth* is what a change adds to what is at its
//! path, so what replaces something needs room for the difference only, and what makes room needs none. A length that is not known
//! before its end is claimed as it comes.
//!
//! What is used is the index's to say, and the commit thread is the last to ask: a claim that it finds to be as large as it has to be is
//! kept whatever else has happened since, and one that has become too small is judged anew.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use common::cli::format::size;
use common::protocol::{Allowance, Amount, Quota};
use common::threads::{lock, read};
use common::tree::{Entry, Path};

use super::index::Index;
use super::shared::Shared;
use crate::realm::Account;

/// What is promised to changes that are on their way. Accounts without any are not in it.
#[derive(Debug, Default)]
pub(crate) struct Promised(Mutex<HashMap<Account, Amount>>);

impl Promised {
    /// Raises what is promised to one change from `held` to `growth`, if the account has room for it.
    fn raise(
        &self,
        account: &Account,
        allowed: Allowance,
        used: Amount,
        held: Amount,
        growth: Amount,
    ) -> Result<(), Exceeded> {
        let mut promised = lock(&self.0);
        let others = promised.get(account).copied().unwrap_or_default().minus(held);
        if !allowed.admits(used.plus(others), growth) {
            return Err(Exceeded { quota: Quota { used, allowed }, promised: others, growth });
        }
        promised.insert(account.clone(), others.plus(growth));
        Ok(())
    }

    fn give_back(&self, account: &Account, held: Amount) {
        let mut promised = lock(&self.0);
        let left = promised.get(account).copied().unwrap_or_default().minus(held);
        match left == Amount::default() {
            true => promised.remove(account),
            false => promised.insert(account.clone(), left),
        };
    }
}

/// Room for a change. The one of whoever may have any amount is empty.
#[derive(Debug, Default)]
pub(crate) struct Claim(Option<Held>);

#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
    account: Account,
    allowed: Allowance,
    path: Path,
    held: Amount,
}

impl Claim {
    /// A claim to what is to be at a path, that holds nothing yet.
    pub(super) fn new(shared: Arc<Shared>, account: Account, allowed: Allowance, path: Path) -> Claim {
        Claim((!allowed.is_boundless()).then(|| Held {
            shared,
            account,
            allowed,
            path,
            held: Amount::default(),
        }))
    }

    /// Makes sure that there is room for something of this size at the path.
    ///
    /// # Errors
    /// There is none. What was claimed before stays so.
    pub(crate) fn cover(&mut self, bytes: u64) -> Result<(), Exceeded> {
        match &mut self.0 {
            None => Ok(()),
            Some(held) => {
                let shared = held.shared.clone();
                held.cover(&read(&shared.index), bytes)
            }
        }
    }

    /// The same, for who holds the index.
    pub(super) fn cover_in(&mut self, index: &Index, bytes: u64) -> Result<(), Exceeded> {
        self.0.as_mut().map_or(Ok(()), |held| held.cover(index, bytes))
    }
}

impl Held {
    fn cover(&mut self, index: &Index, bytes: u64) -> Result<(), Exceeded> {
        let growth = growth(index.live_entry(&self.path), bytes);
        if self.held.covers(growth) {
            return Ok(());
        }
        let used = index.amount(self.account.folder());
        self.shared.promised.raise(&self.account, self.allowed, used, self.held, growth)?;
        self.held = growth;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.promised.give_back(&self.account, self.held);
    }
}

/// What something of this size adds to what is there.
fn growth(there: Option<&Entry>, bytes: u64) -> Amount {
    match there {
        None => Amount { bytes, entries: 1 },
        Some(entry) => Amount { bytes: bytes.saturating_sub(entry.content.size()), entries: 0 },
    }
}

/// An account has no room for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) quota: Quota,
    /// What other changes that are on their way will take.
    promised: Amount,
    /// What this one would add.
    growth: Amount,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exceeded { quota: Quota { used, allowed }, promised, growth } = self;
        let mut separator = "";
        if let Some(most) = allowed.bytes {
            let on_their_way = match promised.bytes {
                0 => String::new(),
                bytes => format!(", {} are on their way", size(bytes)),
            };
            let (used, most, more) = (size(used.bytes), size(most), size(growth.bytes));
            write!(f, "{used} of {most} are used{on_their_way}, and this takes {more} more")?;
            separator = "; ";
        }
        if let Some(most) = allowed.entries {
            let on_their_way = match promised.entries {
                0 => String::new(),
                entries => format!(", {entries} are on their way"),
            };
            let (used, more) = (used.entries, growth.entries);
            write!(
                f,
                "{separator}{used} of {most} entries are used{on_their_way}, and this takes {more} more"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::tree::{Content, Meta, Mtime};
    use common::wire::sha256::Hash;

    fn amount(bytes: u64, entries: u64) -> Amount {
        Amount { bytes, entries }
    }

    #[test]
    fn what_many_claim_is_added_up() {
        let promised = Promised::default();
        let allowed = Allowance { bytes: Some(100), entries: Some(3) };
        let (one, other) = (Account::default(), Account(Some(Path::new(b"a").unwrap())));
        let raise = |account, used, held, growth| promised.raise(account, allowed, used, held, growth);
        let (nothing, used) = (amount(0, 0), amount(20, 1));
        assert_eq!(raise(&one, used, nothing, amount(50, 1)), Ok(()));
        let refused = raise(&one, used, nothing, amount(31, 1)).unwrap_err();
        assert_eq!((refused.quota.used, refused.promised), (used, amount(50, 1)));
        assert_eq!(raise(&other, used, nothing, amount(80, 2)), Ok(()), "accounts do not share");
        assert_eq!(raise(&one, used, nothing, amount(30, 1)), Ok(()));
        assert!(raise(&one, used, nothing, amount(0, 1)).is_err(), "no entry is left");
        // A claim that grows is judged without what it holds already.
        promised.give_back(&one, amount(30, 1));
        assert_eq!(raise(&one, used, amount(50, 1), amount(80, 1)), Ok(()));
        assert!(raise(&one, used, amount(80, 1), amount(81, 1)).is_err());
        promised.give_back(&one, amount(80, 1));
        promised.give_back(&other, amount(80, 2));
        assert!(lock(&promised.0).is_empty());
    }

    #[test]
    fn what_replaces_something_needs_the_difference() {
        let meta = Meta { mtime: Mtime(0), mode: 0o644 };
        let file = Entry { content: Content::File { size: 10, hash: Hash([1; 32]) }, meta };
        let directory = Entry { content: Content::Directory, meta };
        for (there, bytes, want) in [
            (None, 5, amount(5, 1)),
            (None, 0, amount(0, 1)),
            (Some(&file), 15, amount(5, 0)),
            (Some(&file), 5, amount(0, 0)),
            (Some(&directory), 5, amount(5, 0)),
        ] {
            assert_eq!(growth(there, bytes), want, "{there:?} {bytes}");
        }
    }

    #[test]
    fn a_refusal_names_what_is_used_and_allowed() {
        let exceeded = |bytes, entries| Exceeded {
            quota: Quota { used: amount(1536, 7), allowed: Allowance { bytes, entries } },
            promised: amount(0, 2),
            growth: amount(2048, 1),
        };
        let bytes = "1.5 KiB of 2.0 KiB are used, and this takes 2.0 KiB more";
        let entries = "7 of 9 entries are used, 2 are on their way, and this takes 1 more";
        assert_eq!(exceeded(Some(2048), None).to_string(), bytes);
        assert_eq!(exceeded(None, Some(9)).to_string(), entries);
        assert_eq!(exceeded(Some(2048), Some(9)).to_string(), format!("{bytes}; {entries}"));
    }
}
