//! `strftime`: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/strftime.html>, in the C locale.

use super::civil::from_tm;
use crate::calendar;
use crate::string::bytes_or_empty;
use crate::types::*;
use core::fmt::Write;
use core::slice;

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Output with a limit.
struct Out<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self
            .buf
            .get_mut(self.len..self.len + text.len())
            .ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

fn name<'a>(names: &[&'a str], index: i32) -> &'a str {
    usize::try_from(index)
        .ok()
        .and_then(|index| names.get(index))
        .copied()
        .unwrap_or("?")
}

/// ISO 8601 year and week.
fn iso_week(tm: &Tm) -> (i32, i32) {
    let monday_based = (tm.wday + 6) % 7;
    let week = (tm.yday - monday_based + 10) / 7;
    let year = tm.year + 1900;
    let long = |year: i32| {
        let first = (calendar::days_from_civil(i64::from(year), 1, 1) + 3).rem_euclid(7);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        first == 3 || (leap && first == 2)
    };
    match week {
        0 => (year - 1, if long(year - 1) { 53 } else { 52 }),
        53 if !long(year) => (year + 1, 1),
        _ => (year, week),
    }
}

fn one(out: &mut Out<'_>, letter: u8, tm: &Tm) -> core::fmt::Result {
    let year = tm.year + 1900;
    let hour12 = if tm.hour % 12 == 0 { 12 } else { tm.hour % 12 };
    let half = if tm.hour < 12 { "AM" } else { "PM" };
    match letter {
        b'a' => out.write_str(name(&DAYS, tm.wday).get(..3).unwrap_or("?")),
        b'A' => out.write_str(name(&DAYS, tm.wday)),
        b'b' | b'h' => out.write_str(name(&MONTHS, tm.mon).get(..3).unwrap_or("?")),
        b'B' => out.write_str(name(&MONTHS, tm.mon)),
        b'c' => all(out, b"%a %b %e %H:%M:%S %Y", tm),
        b'C' => write!(out, "{:02}", year.div_euclid(100)),
        b'd' => write!(out, "{:02}", tm.mday),
        b'D' | b'x' => all(out, b"%m/%d/%y", tm),
        b'e' => write!(out, "{:2}", tm.mday),
        b'F' => all(out, b"%Y-%m-%d", tm),
        b'g' => write!(out, "{:02}", iso_week(tm).0.rem_euclid(100)),
        b'G' => write!(out, "{}", iso_week(tm).0),
        b'H' => write!(out, "{:02}", tm.hour),
        b'I' => write!(out, "{hour12:02}"),
        b'j' => write!(out, "{:03}", tm.yday + 1),
        b'k' => write!(out, "{:2}", tm.hour),
        b'l' => write!(out, "{hour12:2}"),
        b'm' => write!(out, "{:02}", tm.mon + 1),
        b'M' => write!(out, "{:02}", tm.min),
        b'n' => out.write_str("\n"),
        b'p' => out.write_str(half),
        b'P' => out.write_str(if tm.hour < 12 { "am" } else { "pm" }),
        b'r' => all(out, b"%I:%M:%S %p", tm),
        b'R' => all(out, b"%H:%M", tm),
        b's' => write!(out, "{}", calendar::to_seconds(&from_tm(tm)) - tm.gmtoff),
        b'S' => write!(out, "{:02}", tm.sec),
        b't' => out.write_str("\t"),
        b'T' | b'X' => all(out, b"%H:%M:%S", tm),
        b'u' => write!(out, "{}", if tm.wday == 0 { 7 } else { tm.wday }),
        b'U' => write!(out, "{:02}", (tm.yday + 7 - tm.wday) / 7),
        b'V' => write!(out, "{:02}", iso_week(tm).1),
        b'w' => write!(out, "{}", tm.wday),
        b'W' => write!(out, "{:02}", (tm.yday + 7 - (tm.wday + 6) % 7) / 7),
        b'y' => write!(out, "{:02}", year.rem_euclid(100)),
        b'Y' => write!(out, "{year}"),
        b'z' => {
            let minutes = tm.gmtoff.abs() / 60;
            let sign = if tm.gmtoff < 0 { '-' } else { '+' };
            write!(out, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
        }
        b'Z' => {
            // SAFETY: null or one of the names that `localtime` gave out.
            let zone = unsafe { bytes_or_empty(tm.zone.cast()) };
            out.write_str(core::str::from_utf8(zone).unwrap_or("?"))
        }
        b'%' => out.write_str("%"),
        _ => Err(core::fmt::Error),
    }
}

fn all(out: &mut Out<'_>, format: &[u8], tm: &Tm) -> core::fmt::Result {
    let mut rest = format;
    while let Some((&byte, mut tail)) = rest.split_first() {
        if byte == b'%' {
            // The modifiers E and O change nothing in the C locale.
            while let Some((b'E' | b'O' | b'-' | b'_', more)) = tail.split_first() {
                tail = more;
            }
            let (&letter, more) = tail.split_first().ok_or(core::fmt::Error)?;
            one(out, letter, tm)?;
            rest = more;
        } else {
            *out.buf.get_mut(out.len).ok_or(core::fmt::Error)? = byte;
            out.len += 1;
            rest = tail;
        }
    }
    Ok(())
}

c_api! {
    fn strftime(buf: *mut u8, room: usize, format: *const u8, tm: *const Tm) -> usize {
        if room == 0 {
            return 0;
        }
        let mut out = Out { buf: slice::from_raw_parts_mut(buf, room - 1), len: 0 };
        if all(&mut out, bytes_or_empty(format), &*tm).is_err() {
            return 0;
        }
        let len = out.len;
        *buf.add(len) = 0;
        len
    }
    fn strftime_l(buf: *mut u8, room: usize, format: *const u8, tm: *const Tm, _locale: *mut c_void) -> usize {
        strftime(buf, room, format, tm)
    }
    /// 26 bytes, not safe against threads in the plain form.
    fn asctime_r(tm: *const Tm, buf: *mut u8) -> *mut u8 {
        strftime(buf, 26, c"%a %b %e %H:%M:%S %Y\n".as_ptr().cast(), tm);
        buf
    }
}
