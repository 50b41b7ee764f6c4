//! Days and dates of the proleptic Gregorian calendar, and the fixed-offset part of `TZ`. Pure.
//! <https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap04.html#tag_04_19> (seconds since the Epoch).

/// Seconds in a day.
pub const DAY: i64 = 86_400;

/// A broken-down time, with C's conventions: month 0..=11, year minus 1900, Sunday 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "C's field names")]
pub struct Civil {
    pub sec: i32,
    pub min: i32,
    pub hour: i32,
    pub mday: i32,
    pub mon: i32,
    pub year: i32,
    pub wday: i32,
    pub yday: i32,
}

/// Days since 1970-01-01; `month` 1..=12.
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month 1..=12 and day of the month of a day since 1970-01-01.
pub const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// Seconds since the Epoch to a date; `None` when the year does not fit.
pub fn from_seconds(seconds: i64) -> Option<Civil> {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // A year that fits in 32 bits has fewer days than this.
    if days.unsigned_abs() > 800_000_000_000 {
        return None;
    }
    let (year, month, day) = civil_from_days(days);
    Some(Civil {
        sec: (rest % 60) as i32,
        min: (rest / 60 % 60) as i32,
        hour: (rest / 3600) as i32,
        mday: day as i32,
        mon: month as i32 - 1,
        year: i32::try_from(year - 1900).ok()?,
        wday: (days + 4).rem_euclid(7) as i32,
        yday: (days - days_from_civil(year, 1, 1)) as i32,
    })
}

/// A date to seconds since the Epoch. Fields may be out of their ranges, as `mktime` allows.
pub fn to_seconds(civil: &Civil) -> i64 {
    let months = i64::from(civil.year) * 12 + i64::from(civil.mon);
    let (year, month) = (months.div_euclid(12) + 1900, months.rem_euclid(12) + 1);
    let days = days_from_civil(year, month, 1) + i64::from(civil.mday) - 1;
    days * DAY + i64::from(civil.hour) * 3600 + i64::from(civil.min) * 60 + i64::from(civil.sec)
}

/// A zone without daylight saving: its name and the seconds it is east of Greenwich.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone<'a> {
    /// Three letters or more.
    pub name: &'a [u8],
    /// Seconds to add to universal time.
    pub offset: i64,
}

/// Universal time.
pub const UTC: Zone<'static> = Zone {
    name: b"UTC",
    offset: 0,
};

/// Parses `TZ` of the form `NAMEoffset` (`CET-1`, `<+03>-3:30`); what follows the offset (daylight saving) is ignored.
/// Anything else is universal time.
pub fn parse_zone(text: &[u8]) -> Zone<'_> {
    parse_zone_exact(text).unwrap_or(UTC)
}

fn parse_zone_exact(text: &[u8]) -> Option<Zone<'_>> {
    let (name, rest) = if let Some(quoted) = text.strip_prefix(b"<") {
        let end = quoted.iter().position(|&byte| byte == b'>')?;
        (&quoted[..end], &quoted[end + 1..])
    } else {
        let end = text
            .iter()
            .position(|byte| !byte.is_ascii_alphabetic())
            .unwrap_or(text.len());
        text.split_at(end)
    };
    if name.len() < 3 {
        return None;
    }
    let (sign, mut rest) = match rest.first()? {
        b'-' => (1, &rest[1..]),
        b'+' => (-1, &rest[1..]),
        _ => (-1, rest),
    };
    let mut seconds = 0;
    for unit in [3600, 60, 1] {
        let digits = rest
            .iter()
            .take(2)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return None;
        }
        seconds += unit
            * rest[..digits]
                .iter()
                .fold(0, |value, &digit| value * 10 + i64::from(digit - b'0'));
        rest = &rest[digits..];
        match rest.strip_prefix(b":") {
            Some(more) => rest = more,
            None => break,
        }
    }
    Some(Zone {
        name,
        offset: sign * seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_known_dates() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 3, 1), 11_017);
        assert_eq!(days_from_civil(1969, 12, 31), -1);
        assert_eq!(civil_from_days(11_016), (2000, 2, 29));
        assert_eq!(civil_from_days(-719_468), (0, 3, 1));
    }

    #[test]
    fn every_day_survives_the_round_trip() {
        for days in (-1_000_000..1_000_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn a_date_has_its_weekday_and_day_of_the_year() {
        // 2026-11-20 12:34:56 UTC, a Friday.
        let civil = from_seconds(1_795_178_096).unwrap();
        let expected = Civil {
            sec: 56,
            min: 34,
            hour: 12,
            mday: 20,
            mon: 10,
            year: 126,
            wday: 5,
            yday: 323,
        };
        assert_eq!(civil, expected);
        assert_eq!(to_seconds(&civil), 1_795_178_096);
    }

    #[test]
    fn fields_out_of_range_are_carried() {
        let civil = Civil {
            sec: -1,
            min: 60,
            hour: 24,
            mday: 0,
            mon: 14,
            year: 99,
            ..Civil::default()
        };
        // February 2000, day 0 = 31 January 2001's month carried: 2000-03 day 0 = 2000-02-29.
        let expected = days_from_civil(2000, 2, 29) * DAY + 24 * 3600 + 3600 - 1;
        assert_eq!(to_seconds(&civil), expected);
    }

    #[test]
    fn times_beyond_the_calendar_are_refused() {
        assert_eq!(from_seconds(i64::MAX), None);
        assert_eq!(from_seconds(i64::MIN), None);
    }

    #[test]
    fn zones_are_west_positive_in_tz() {
        assert_eq!(
            parse_zone(b"CET-1"),
            Zone {
                name: b"CET",
                offset: 3600
            }
        );
        assert_eq!(
            parse_zone(b"EST5EDT"),
            Zone {
                name: b"EST",
                offset: -18_000
            }
        );
        assert_eq!(
            parse_zone(b"<+0330>-3:30"),
            Zone {
                name: b"+0330",
                offset: 12_600
            }
        );
        assert_eq!(parse_zone(b"Europe/Berlin"), UTC);
        assert_eq!(parse_zone(b""), UTC);
    }
}
