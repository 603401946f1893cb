//! `Retry-After` (RFC 9110, 10.2.3): when whoever refuses wants to be asked again.
//!
//! It is a number of seconds, or a date. A date is held against the answer's own `Date`, because two clocks need not agree.

use super::date::parse_date;
use super::fields::Fields;
use crate::limits::RETRY_AFTER_LONGEST;
use std::time::Duration;

/// How long to wait, at most [`RETRY_AFTER_LONGEST`]. `None` if nothing is said, or nothing that makes sense.
pub fn retry_after(fields: &Fields) -> Option<Duration> {
    let text = fields.get("retry-after")?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = match is_number {
        // More digits than fit are a very long time.
        true => text.parse().unwrap_or(u64::MAX),
        false => {
            let until = parse_date(text)?;
            let now = parse_date(fields.get("date")?)?;
            u64::try_from(until.saturating_sub(now)).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_nonsense() {
        let now = "Mon, 02 Nov 2026 08:00:00 GMT";
        for (text, want) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("999999", Some(RETRY_AFTER_LONGEST.as_secs())),
            ("99999999999999999999999999", Some(RETRY_AFTER_LONGEST.as_secs())),
            ("Mon, 02 Nov 2026 08:00:07 GMT", Some(7)),
            ("Mon, 02 Nov 2026 07:00:00 GMT", Some(0)),
            ("Sat, 02 Nov 2930 08:00:00 GMT", Some(RETRY_AFTER_LONGEST.as_secs())),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            let fields = Fields::new().with("date", now).with("retry-after", text);
            assert_eq!(retry_after(&fields), want.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&Fields::new().with("retry-after", now)), None, "without a Date");
        assert_eq!(retry_after(&Fields::new()), None);
    }
}
