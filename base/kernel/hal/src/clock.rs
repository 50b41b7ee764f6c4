//! Turning counter ticks into nanoseconds and calendar fields into seconds. Pure.

/// A counter's rate, kept as a fixed-point factor so that conversion is one multiplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds per tick, times 2^32.
    factor: u64,
    /// Ticks per second.
    hertz: u64,
}

impl Rate {
    /// The rate of a counter that made `ticks` ticks in `ns` nanoseconds. Zero counts as one.
    pub fn measured(ticks: u64, ns: u64) -> Self {
        let hertz = u128::from(ticks.max(1)) * 1_000_000_000 / u128::from(ns.max(1));
        Self::from_hertz(hertz as u64)
    }

    /// The rate of a counter with this frequency.
    pub fn from_hertz(hertz: u64) -> Self {
        let hertz = hertz.max(1);
        let factor = (1_000_000_000u128 << 32) / u128::from(hertz);
        Self {
            factor: factor.min(u128::from(u64::MAX)) as u64,
            hertz,
        }
    }

    /// Ticks per second.
    pub fn hertz(&self) -> u64 {
        self.hertz
    }

    /// The time that `ticks` take.
    pub fn to_ns(&self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.factor)) >> 32) as u64
    }

    /// The ticks in a time, rounded up.
    pub fn to_ticks(&self, ns: u64) -> u64 {
        let ticks = u128::from(ns) * u128::from(self.hertz);
        ticks.div_ceil(1_000_000_000).min(u128::from(u64::MAX)) as u64
    }
}

/// Date and time as the real-time clock tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Four digits.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 60.
    pub second: u64,
}

impl Date {
    /// Reads the clock's bytes `[second, minute, hour, day, month, year]` and its register B, which tells their format.
    pub fn from_rtc(raw: [u8; 6], format: u8) -> Self {
        const BINARY: u8 = 1 << 2;
        const HOURS_24: u8 = 1 << 1;
        const AFTERNOON: u8 = 1 << 7;
        let number = |byte: u8| -> u64 {
            if format & BINARY != 0 {
                byte.into()
            } else {
                u64::from(byte & 0xF) + 10 * u64::from(byte >> 4)
            }
        };
        let mut hour = number(raw[2] & !AFTERNOON);
        if format & HOURS_24 == 0 {
            hour = hour % 12 + if raw[2] & AFTERNOON != 0 { 12 } else { 0 };
        }
        Self {
            second: number(raw[0]),
            minute: number(raw[1]),
            hour,
            day: number(raw[3]),
            month: number(raw[4]),
            year: 2000 + number(raw[5]),
        }
    }

    /// Seconds since 1970-01-01 00:00 (Gregorian, no leap seconds). Impossible fields give 0.
    pub fn unix_seconds(&self) -> u64 {
        if !(1..=12).contains(&self.month) || self.day == 0 || self.year < 1970 {
            return 0;
        }
        // Years begin in March, so that the leap day is the last of its year.
        let year = if self.month <= 2 {
            self.year - 1
        } else {
            self.year
        };
        let month = (self.month + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
        days * 86_400 + self.hour * 3_600 + self.minute * 60 + self.second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_converts_both_ways_without_overflow() {
        let rate = Rate::measured(30_000_000, 10_000_000);
        assert_eq!(rate.hertz(), 3_000_000_000);
        assert_eq!(rate.to_ticks(1_000), 3_000);
        let year = 365 * 86_400 * 1_000_000_000;
        let back = rate.to_ns(rate.to_ticks(year));
        assert!(back.abs_diff(year) < year / 1_000_000_000);
        assert_eq!(Rate::measured(0, 0).hertz(), 1_000_000_000);
    }

    #[test]
    fn rtc_formats_agree() {
        let noon = Date {
            year: 2026,
            month: 11,
            day: 20,
            hour: 12,
            minute: 34,
            second: 56,
        };
        assert_eq!(
            Date::from_rtc([0x56, 0x34, 0x12, 0x20, 0x11, 0x26], 2),
            noon
        );
        assert_eq!(Date::from_rtc([56, 34, 12, 20, 11, 26], 6), noon);
        assert_eq!(
            Date::from_rtc([0x56, 0x34, 0x92, 0x20, 0x11, 0x26], 0),
            noon
        );
        assert_eq!(
            Date::from_rtc([0x56, 0x34, 0x12, 0x20, 0x11, 0x26], 0).hour,
            0
        );
    }

    #[test]
    fn dates_become_unix_seconds() {
        let date = |year, month, day| Date {
            year,
            month,
            day,
            hour: 0,
            minute: 0,
            second: 0,
        };
        assert_eq!(date(1970, 1, 1).unix_seconds(), 0);
        assert_eq!(date(2000, 2, 29).unix_seconds(), 951_782_400);
        assert_eq!(date(2026, 11, 20).unix_seconds(), 1_795_132_800);
        assert_eq!(date(2026, 0, 20).unix_seconds(), 0);
    }
}
