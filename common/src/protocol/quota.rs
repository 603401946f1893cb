//! How much an account holds, and how much it may hold.
//!
//! ```text
//!     "quota":{"used":{"bytes":1048576,"entries":12},"allowed":{"bytes":2097152}}         entries: as many as it likes
//! ```

use crate::wire::json::{Value, Writer};

/// How much there is, or is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// The length of all files, and of the targets of all symbolic links.
    pub bytes: u64,
    /// Files, symbolic links and directories.
    pub entries: u64,
}

/// How much there may be. `None`: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The most bytes.
    pub bytes: Option<u64>,
    /// The most entries.
    pub entries: Option<u64>,
}

/// What is used of what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What is there.
    pub used: Amount,
    /// What may be there.
    pub allowed: Allowance,
}

impl Amount {
    /// Both together; what can't be counted any more is as much as can be.
    #[must_use]
    pub fn plus(self, other: Amount) -> Amount {
        Amount {
            bytes: self.bytes.saturating_add(other.bytes),
            entries: self.entries.saturating_add(other.entries),
        }
    }

    /// What is left without the other.
    #[must_use]
    pub fn minus(self, other: Amount) -> Amount {
        Amount {
            bytes: self.bytes.saturating_sub(other.bytes),
            entries: self.entries.saturating_sub(other.entries),
        }
    }

    /// Whether the other has no more of either.
    pub fn covers(self, other: Amount) -> bool {
        other.bytes <= self.bytes && other.entries <= self.entries
    }
}

impl Allowance {
    /// Whether there may be any number of everything.
    pub fn is_boundless(self) -> bool {
        self == Allowance::default()
    }

    /// Whether so much may be added to what is there. What does not grow is never in the way, not even where there is too much already.
    pub fn admits(self, used: Amount, growth: Amount) -> bool {
        let fits = |allowed: Option<u64>, used: u64, growth: u64| {
            growth == 0 || allowed.is_none_or(|allowed| used.saturating_add(growth) <= allowed)
        };
        fits(self.bytes, used.bytes, growth.bytes) && fits(self.entries, used.entries, growth.entries)
    }
}

impl Quota {
    /// Writes the value.
    pub(crate) fn encode(&self, json: &mut Writer) {
        let Quota { used, allowed } = self;
        json.begin_object().key("used").begin_object();
        json.field_u64("bytes", used.bytes).field_u64("entries", used.entries).end_object();
        json.key("allowed");
        allowed.encode(json);
        json.end_object();
    }

    /// Reads the value. `None`: it is none.
    pub(crate) fn read(value: &Value) -> Option<Quota> {
        let number = |object: &str, name: &str| match value.get(object)?.get(name) {
            None => Some(None),
            Some(number) => number.as_u64().map(Some),
        };
        let used = Amount { bytes: number("used", "bytes")??, entries: number("used", "entries")?? };
        let allowed =
            Allowance { bytes: number("allowed", "bytes")?, entries: number("allowed", "entries")? };
        Some(Quota { used, allowed })
    }
}

impl Allowance {
    /// Writes the value: an object of what is bounded.
    pub fn encode(&self, json: &mut Writer) {
        json.begin_object();
        for (name, most) in [("bytes", self.bytes), ("entries", self.entries)] {
            if let Some(most) = most {
                json.field_u64(name, most);
            }
        }
        json.end_object();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    fn amount(bytes: u64, entries: u64) -> Amount {
        Amount { bytes, entries }
    }

    #[test]
    fn what_may_be_added() {
        let both = Allowance { bytes: Some(100), entries: Some(10) };
        let bytes = Allowance { bytes: Some(100), entries: None };
        let entries = Allowance { bytes: None, entries: Some(10) };
        let none = Allowance::default();
        for (used, growth, admitted_by) in [
            (amount(0, 0), amount(100, 10), [true; 4]),
            (amount(0, 0), amount(101, 10), [false, false, true, true]),
            (amount(0, 0), amount(100, 11), [false, true, false, true]),
            (amount(60, 9), amount(40, 1), [true; 4]),
            (amount(60, 9), amount(41, 1), [false, false, true, true]),
            (amount(60, 10), amount(1, 1), [false, true, false, true]),
            (amount(60, 10), amount(1, 0), [true; 4]),
            // There is more than is allowed: nothing of that kind is added, and anything else is.
            (amount(500, 50), amount(0, 0), [true; 4]),
            (amount(500, 5), amount(0, 1), [true; 4]),
            (amount(5, 50), amount(1, 0), [true; 4]),
            (amount(500, 5), amount(1, 0), [false, false, true, true]),
            (amount(u64::MAX, 0), amount(u64::MAX, 1), [false, false, true, true]),
        ] {
            let admitted = [both, bytes, entries, none].map(|allowance| allowance.admits(used, growth));
            assert_eq!(admitted, admitted_by, "{used:?} {growth:?}");
        }
        assert!(none.is_boundless() && !bytes.is_boundless() && !entries.is_boundless());
    }

    #[test]
    fn amounts_do_not_overflow() {
        assert_eq!(amount(u64::MAX, 1).plus(amount(1, 1)), amount(u64::MAX, 2));
        assert_eq!(amount(1, 2).minus(amount(2, 1)), amount(0, 1));
        assert!(amount(2, 2).covers(amount(2, 1)) && !amount(2, 2).covers(amount(3, 1)));
        assert!(!amount(2, 2).covers(amount(1, 3)));
    }

    #[test]
    fn round_trip() {
        for allowed in [
            Allowance::default(),
            Allowance { bytes: Some(u64::MAX), entries: None },
            Allowance { bytes: Some(0), entries: Some(7) },
        ] {
            let quota = Quota { used: amount(3, 4), allowed };
            let mut json = Writer::new();
            quota.encode(&mut json);
            assert_eq!(Quota::read(&json::parse(&json.finish()).unwrap()), Some(quota));
        }
        for text in [
            "{}",
            r#"{"used":{"bytes":1},"allowed":{}}"#,
            r#"{"used":{"bytes":1,"entries":1}}"#,
            r#"{"used":{"bytes":1,"entries":"1"},"allowed":{}}"#,
            r#"{"used":{"bytes":1,"entries":1},"allowed":{"bytes":null}}"#,
        ] {
            assert_eq!(Quota::read(&json::parse(text.as_bytes()).unwrap()), None, "{text}");
        }
    }
}
