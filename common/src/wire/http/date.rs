//! Dates of HTTP (RFC 9110, section 5.6.7) and the civil calendar under them.
//!
//! ```text
//!     Sun, 06 Nov 1994 08:49:37 GMT      IMF-fixdate, the only one that is written
//!     Sunday, 06-Nov-94 08:49:37 GMT     RFC 850, read
//!     Sun Nov  6 08:49:37 1994           asctime, read
//! ```
//!
//! The calendar is the Gregorian one, counted on in both directions. Years are taken to start in March: the leap day is then the last
//! day of its year, and months have lengths that one linear formula yields. 400 such years, an era, always have 146 097 days.
//!
//! Format notes:
//! - All is GMT; names of days and months are English, exactly as written here.
//! - The name of the day is redundant. It has to be one, but not the right one.
//! - A year of two digits would be read relative to the year it is now. Codecs have no clock, so 70 to 99 are the last century.
//! - Second 60 is a leap second, which Unix time does not have: it is the second after 59.

const DAY: i64 = 86_400;
const DAYS_IN_ERA: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01, in days.
const EPOCH: i64 = 719_468;
/// The last second of the year 9999, the last one that four digits can tell.
const LAST: i64 = 253_402_300_799;
/// The first second of the year 0.
const FIRST: i64 = -62_167_219_200;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A moment in the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Astronomical: the year before 1 is 0.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

/// The moment so many seconds after (or before) the start of 1970.
pub fn civil_from_unix(seconds: i64) -> Civil {
    let (days, in_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let shifted = days + EPOCH;
    let (era, day_of_era) = (shifted.div_euclid(DAYS_IN_ERA), shifted.rem_euclid(DAYS_IN_ERA));
    // Every 4 years have a leap day but the 100th, unless it is the 400th.
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, five months have 153 days, whichever five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Civil {
        year: era * 400 + year_of_era + i64::from(month <= 2),
        month: month as u8,
        day: day as u8,
        hour: (in_day / 3600) as u8,
        minute: (in_day / 60 % 60) as u8,
        second: (in_day % 60) as u8,
        weekday: (days + 4).rem_euclid(7) as u8,
    }
}

/// Days from 1970-01-01 to this date. The day may be any number: the excess is counted on.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let from_march = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (from_march.div_euclid(400), from_march.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_IN_ERA + day_of_era - EPOCH
}

/// An IMF-fixdate. A time outside the years 0 to 9999, which it can't express, becomes the nearest one inside.
pub fn format_date(unix_seconds: i64) -> String {
    let Civil { year, month, day, hour, minute, second, weekday } =
        civil_from_unix(unix_seconds.clamp(FIRST, LAST));
    let day_name = &DAYS[usize::from(weekday)][..3];
    let month_name = MONTHS[usize::from(month) - 1];
    format!("{day_name}, {day:02} {month_name} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Seconds since 1970 of a date in any of the three forms; `None` if it is in none, or not in the calendar.
pub fn parse_date(text: &str) -> Option<i64> {
    // Every part is ASCII and stands at a fixed place after the name of the day.
    if !text.is_ascii() {
        return None;
    }
    match text.split_once(", ") {
        Some((day_name, rest)) if day_name.len() == 3 => parse_imf(day_name, rest),
        Some((day_name, rest)) => parse_rfc_850(day_name, rest),
        None => parse_asctime(text),
    }
}

/// `06 Nov 1994 08:49:37 GMT`
fn parse_imf(day_name: &str, rest: &str) -> Option<i64> {
    let [day, month, year, time, "GMT"] = rest.split(' ').collect::<Vec<_>>()[..] else { return None };
    is_short_day(day_name).then_some(())?;
    seconds(digits(year, 4)?, month, digits(day, 2)?, time)
}

/// `06-Nov-94 08:49:37 GMT`
fn parse_rfc_850(day_name: &str, rest: &str) -> Option<i64> {
    let [date, time, "GMT"] = rest.split(' ').collect::<Vec<_>>()[..] else { return None };
    let [day, month, year] = date.split('-').collect::<Vec<_>>()[..] else { return None };
    DAYS.contains(&day_name).then_some(())?;
    let year = digits(year, 2)?;
    let century = if 70 <= year { 1900 } else { 2000 };
    seconds(century + year, month, digits(day, 2)?, time)
}

/// `Sun Nov  6 08:49:37 1994`
fn parse_asctime(text: &str) -> Option<i64> {
    let (day_name, month) = (text.get(..3)?, text.get(4..7)?);
    let (day, time, year) = (text.get(8..10)?, text.get(11..19)?, text.get(20..)?);
    let blanks = [3, 7, 10, 19].iter().all(|&at| text.as_bytes()[at] == b' ');
    (blanks && is_short_day(day_name)).then_some(())?;
    let day = match day.strip_prefix(' ') {
        Some(digit) => digits(digit, 1)?,
        None => digits(day, 2)?,
    };
    seconds(digits(year, 4)?, month, day, time)
}

fn is_short_day(name: &str) -> bool {
    DAYS.iter().any(|day| day[..3] == *name)
}

/// A number of exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.bytes().fold(0, |number, byte| number * 10 + i64::from(byte - b'0')))
}

/// Puts the parts together if they exist: there is no 31 April, and 29 February only at times.
fn seconds(year: i64, month_name: &str, day: i64, time: &str) -> Option<i64> {
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    let month = MONTHS.iter().position(|name| *name == month_name)? as i64 + 1;
    let days = days_from_civil(year, month, day);
    let civil = civil_from_unix(days * DAY);
    let in_calendar = i64::from(civil.day) == day && i64::from(civil.month) == month;
    let on_clock = hour < 24 && minute < 60 && second <= 60;
    (in_calendar && on_clock).then_some(days * DAY + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
            (-11_676_096_000, "Sat, 01 Jan 1600 00:00:00 GMT"),
            (FIRST, "Sat, 01 Jan 0000 00:00:00 GMT"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(format_date(seconds), text);
            assert_eq!(parse_date(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn three_forms() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse_date(text), Some(784_111_777), "{text}");
            for end in 0..text.len() {
                assert_eq!(parse_date(&text[..end]), None, "{:?}", &text[..end]);
            }
            for extra in [" ", "x", "0", "\n"] {
                assert_eq!(parse_date(&format!("{text}{extra}")), None, "{text}{extra}");
            }
        }
        assert_eq!(parse_date("Sun Nov 16 08:49:37 1994"), Some(784_111_777 + 10 * DAY));
        assert_eq!(parse_date("Monday, 01-Jan-70 00:00:00 GMT"), Some(0));
        assert_eq!(parse_date("Monday, 01-Jan-69 00:00:00 GMT"), parse_date("Tue, 01 Jan 2069 00:00:00 GMT"));
        assert_eq!(parse_date("Sat, 31 Dec 2016 23:59:60 GMT"), parse_date("Sun, 01 Jan 2017 00:00:00 GMT"));
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "yesterday",
            "Xxx, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Apr 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov 06 08:49:37 19945",
            "Sün, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(text), None, "{text:?}");
        }
    }

    /// Steps through a calendar kept by hand, day by day, over more than an era on both sides of 1970.
    #[test]
    fn calendar_agrees_with_counting() {
        let (mut year, mut month, mut day, mut weekday) = (1500, 1, 1, 1);
        let start = days_from_civil(year, 1, 1);
        for days in start..start + 2 * DAYS_IN_ERA {
            let civil = civil_from_unix(days * DAY + 3661);
            assert_eq!((civil.year, civil.month, civil.day, civil.weekday), (year, month, day, weekday));
            assert_eq!((civil.hour, civil.minute, civil.second), (1, 1, 1));
            assert_eq!(days_from_civil(year, month.into(), day.into()), days);
            weekday = (weekday + 1) % 7;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u8::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if length < day {
                (month, day) = (month + 1, 1);
            }
            if 12 < month {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn the_ends_of_time() {
        assert_eq!(format_date(i64::MAX), format_date(LAST));
        assert_eq!(format_date(i64::MIN), format_date(FIRST));
        assert_eq!(civil_from_unix(i64::MAX).year, 292_277_026_596);
        assert_eq!(civil_from_unix(i64::MIN).year, -292_277_022_657);
    }
}
