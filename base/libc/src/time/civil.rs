//! Calendar functions: <https://pubs.opengroup.org/onlinepubs/9799919799/functions/localtime.html>.
//!
//! Local time is a fixed offset given by `TZ`; there are no daylight-saving rules and no zone files (CAVEATS.md).

use crate::calendar::{self, Civil, Zone};
use crate::sync::Mutex;
use crate::types::*;
use crate::{e, environment, error};
use core::ptr;

const NAME_LEN: usize = 16;

/// Zone names handed out in `tm_zone` must stay: the last few `TZ` values are kept.
static mut ZONE_NAME: [u8; NAME_LEN] = *b"UTC\0\0\0\0\0\0\0\0\0\0\0\0\0";
static ZONE_LOCK: Mutex<()> = Mutex::new(());
static UTC_NAME: &[u8; 4] = b"UTC\0";
static mut TM: Tm = Tm {
    sec: 0,
    min: 0,
    hour: 0,
    mday: 0,
    mon: 0,
    year: 0,
    wday: 0,
    yday: 0,
    isdst: 0,
    gmtoff: 0,
    zone: ptr::null(),
};

#[unsafe(no_mangle)]
static mut tzname: [*const c_char; 2] = [ptr::null(); 2];
#[unsafe(no_mangle)]
static mut timezone: c_long = 0;
#[unsafe(no_mangle)]
static mut daylight: c_int = 0;

fn zone() -> Zone<'static> {
    environment::get(b"TZ").map_or(calendar::UTC, |text| {
        calendar::parse_zone(text.strip_prefix(b":").unwrap_or(text))
    })
}

fn zone_name(zone: &Zone<'_>) -> *const c_char {
    if zone.name == calendar::UTC.name {
        return UTC_NAME.as_ptr().cast();
    }
    let _locked = ZONE_LOCK.lock();
    let len = zone.name.len().min(NAME_LEN - 1);
    let name = (&raw mut ZONE_NAME).cast::<u8>();
    // SAFETY: written under the lock; readers may see a name change, as with every change of TZ.
    unsafe {
        ptr::copy_nonoverlapping(zone.name.as_ptr(), name, len);
        *name.add(len) = 0;
    }
    name.cast_const().cast()
}

fn to_tm(civil: &Civil, zone: &Zone<'_>) -> Tm {
    let Civil {
        sec,
        min,
        hour,
        mday,
        mon,
        year,
        wday,
        yday,
    } = *civil;
    Tm {
        sec,
        min,
        hour,
        mday,
        mon,
        year,
        wday,
        yday,
        isdst: 0,
        gmtoff: zone.offset,
        zone: zone_name(zone),
    }
}

pub(super) fn from_tm(tm: &Tm) -> Civil {
    let Tm {
        sec,
        min,
        hour,
        mday,
        mon,
        year,
        wday,
        yday,
        ..
    } = *tm;
    Civil {
        sec,
        min,
        hour,
        mday,
        mon,
        year,
        wday,
        yday,
    }
}

/// # Safety
/// `out` must be valid.
unsafe fn break_down(seconds: i64, zone: &Zone<'_>, out: *mut Tm) -> *mut Tm {
    match seconds
        .checked_add(zone.offset)
        .and_then(calendar::from_seconds)
    {
        Some(civil) => {
            // SAFETY: the caller's struct.
            unsafe { out.write(to_tm(&civil, zone)) };
            out
        }
        None => {
            error::set(e::EOVERFLOW);
            ptr::null_mut()
        }
    }
}

/// # Safety
/// `tm` must be valid.
unsafe fn put_together(tm: *mut Tm, zone: &Zone<'_>) -> i64 {
    // SAFETY: the caller's struct.
    unsafe {
        let seconds = calendar::to_seconds(&from_tm(&*tm)) - zone.offset;
        if break_down(seconds, zone, tm).is_null() {
            -1
        } else {
            seconds
        }
    }
}

c_api! {
    fn gmtime_r(seconds: *const i64, out: *mut Tm) -> *mut Tm {
        break_down(*seconds, &calendar::UTC, out)
    }
    fn localtime_r(seconds: *const i64, out: *mut Tm) -> *mut Tm {
        break_down(*seconds, &zone(), out)
    }
    /// Not safe against threads, as POSIX allows; likewise `localtime`.
    fn gmtime(seconds: *const i64) -> *mut Tm {
        gmtime_r(seconds, &raw mut TM)
    }
    fn localtime(seconds: *const i64) -> *mut Tm {
        localtime_r(seconds, &raw mut TM)
    }
    fn mktime(tm: *mut Tm) -> i64 {
        put_together(tm, &zone())
    }
    fn timegm(tm: *mut Tm) -> i64 {
        put_together(tm, &calendar::UTC)
    }
    fn tzset() {
        let zone = zone();
        let name = zone_name(&zone);
        tzname = [name, name];
        timezone = -zone.offset;
    }
}
