//! Text, numbers, time, users, and what the system says of itself.

use std::ffi::CStr;

use guest_tests::{Group, Outcome, check, check_eq, group};

use crate::call::{done, zero};

/// All about the system.
pub(crate) const GROUP: Group = group!(
    "libc-system",
    guest_tests::DEFAULT_LIMIT,
    [
        errors_have_texts,
        calendar_time_is_right,
        both_clocks_run,
        users_are_found,
        the_system_has_a_name,
        the_system_has_sizes,
        limits_can_be_read,
        mathematics_is_exact_enough,
        settings_of_paths,
    ]
);

fn errors_have_texts() -> Outcome {
    let mut seen = Vec::new();
    for number in [libc::ENOENT, libc::EINVAL, libc::EIO, libc::ENOSYS] {
        let mut text = [0 as libc::c_char; 100];
        // SAFETY: a writable buffer of that size; the text is terminated.
        let text = unsafe {
            libc::strerror_r(number, text.as_mut_ptr(), text.len());
            CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
        };
        check!(text.len() > 4 && !seen.contains(&text));
        seen.push(text);
    }
    check_eq!(seen[0], "No such file or directory");
    Ok(())
}

fn calendar_time_is_right() -> Outcome {
    for (seconds, expected) in [
        (0i64, (70, 0, 1, 0, 0, 0, 4)),
        (951_782_400, (100, 1, 29, 0, 0, 0, 2)),
        (1_234_567_890, (109, 1, 13, 23, 31, 30, 5)),
        (4_102_444_799, (199, 11, 31, 23, 59, 59, 4)),
        (-1, (69, 11, 31, 23, 59, 59, 3)),
    ] {
        // SAFETY: an all-zero tm is valid, and the call fills it.
        let tm = unsafe {
            let mut tm: libc::tm = std::mem::zeroed();
            check!(!libc::gmtime_r(&seconds, &mut tm).is_null());
            tm
        };
        check_eq!(
            (
                tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_wday
            ),
            expected
        );
        let mut copy = tm;
        // SAFETY: a valid tm; the machine runs on UTC.
        check_eq!(unsafe { libc::mktime(&mut copy) }, seconds);
    }
    Ok(())
}

fn both_clocks_run() -> Outcome {
    for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC] {
        let now = || {
            // SAFETY: a valid place for the time.
            unsafe {
                let mut time: libc::timespec = std::mem::zeroed();
                libc::clock_gettime(clock, &mut time);
                (time.tv_sec, time.tv_nsec)
            }
        };
        let before = now();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let after = now();
        check!(after > before && (0..1_000_000_000).contains(&after.1));
    }
    Ok(())
}

fn users_are_found() -> Outcome {
    let mut buffer = [0 as libc::c_char; 1024];
    // SAFETY: valid places, and the strings of a found entry are terminated and lie in the buffer.
    unsafe {
        let mut entry: libc::passwd = std::mem::zeroed();
        let mut found = std::ptr::null_mut();
        let result = libc::getpwnam_r(
            c"root".as_ptr(),
            &mut entry,
            buffer.as_mut_ptr(),
            buffer.len(),
            &mut found,
        );
        zero(result, "getpwnam_r")?;
        check!(!found.is_null() && entry.pw_uid == 0);
        check_eq!(CStr::from_ptr(entry.pw_dir), c"/root");
        let number = entry.pw_uid;
        zero(
            libc::getpwuid_r(
                number,
                &mut entry,
                buffer.as_mut_ptr(),
                buffer.len(),
                &mut found,
            ),
            "getpwuid_r",
        )?;
        check_eq!(CStr::from_ptr(entry.pw_name), c"root");
        let result = libc::getpwnam_r(
            c"nobody-at-all".as_ptr(),
            &mut entry,
            buffer.as_mut_ptr(),
            buffer.len(),
            &mut found,
        );
        check!(result == 0 && found.is_null());
        let result = libc::getpwnam_r(
            c"root".as_ptr(),
            &mut entry,
            buffer.as_mut_ptr(),
            3,
            &mut found,
        );
        check_eq!(result, libc::ERANGE);
    }
    Ok(())
}

fn the_system_has_a_name() -> Outcome {
    // SAFETY: valid places; the strings are terminated.
    unsafe {
        let mut name: libc::utsname = std::mem::zeroed();
        done(libc::uname(&mut name), "uname")?;
        check!(CStr::from_ptr(name.sysname.as_ptr()).count_bytes() > 0);
        check_eq!(CStr::from_ptr(name.machine.as_ptr()), c"x86_64");
        let mut host = [0 as libc::c_char; 100];
        done(
            libc::gethostname(host.as_mut_ptr(), host.len()),
            "gethostname",
        )?;
        check_eq!(
            CStr::from_ptr(host.as_ptr()),
            CStr::from_ptr(name.nodename.as_ptr())
        );
    }
    Ok(())
}

fn the_system_has_sizes() -> Outcome {
    // SAFETY: plain calls.
    unsafe {
        check_eq!(libc::sysconf(libc::_SC_PAGESIZE), 4096);
        check!(libc::sysconf(libc::_SC_NPROCESSORS_ONLN) >= 1);
        check!(libc::sysconf(libc::_SC_OPEN_MAX) >= 64);
        check_eq!(libc::sysconf(9999), -1);
    }
    Ok(())
}

fn limits_can_be_read() -> Outcome {
    // SAFETY: a valid place for the limits.
    unsafe {
        let mut limits: libc::rlimit = std::mem::zeroed();
        done(
            libc::getrlimit(libc::RLIMIT_NOFILE as _, &mut limits),
            "getrlimit",
        )?;
        check!(limits.rlim_cur > 0 && limits.rlim_cur <= limits.rlim_max);
    }
    Ok(())
}

fn mathematics_is_exact_enough() -> Outcome {
    unsafe extern "C" {
        fn pow(a: f64, b: f64) -> f64;
        fn exp(a: f64) -> f64;
        fn log(a: f64) -> f64;
        fn sin(a: f64) -> f64;
        fn fmod(a: f64, b: f64) -> f64;
        fn cbrt(a: f64) -> f64;
    }
    let near = |a: f64, b: f64| (a - b).abs() <= 4.0 * f64::EPSILON * b.abs().max(1.0);
    // SAFETY: pure functions.
    unsafe {
        check!(near(pow(2.0, 0.5), std::f64::consts::SQRT_2) && pow(3.0, 4.0) == 81.0);
        check!(near(exp(1.0), std::f64::consts::E) && near(log(10.0), std::f64::consts::LN_10));
        check!(
            near(sin(std::f64::consts::FRAC_PI_6), 0.5)
                && fmod(7.5, 2.0) == 1.5
                && near(cbrt(27.0), 3.0)
        );
    }
    Ok(())
}

fn settings_of_paths() -> Outcome {
    let mut path = [0 as libc::c_char; 4096];
    // SAFETY: writable buffers of the lengths given; terminated paths.
    unsafe {
        check!(!libc::realpath(c"/usr/../etc/./passwd".as_ptr(), path.as_mut_ptr()).is_null());
        check_eq!(CStr::from_ptr(path.as_ptr()), c"/etc/passwd");
        let mut ends = [0; 2];
        done(libc::pipe(ends.as_mut_ptr()), "pipe")?;
        let name = std::ffi::CString::new(format!("/dev/fd/{}", ends[0])).expect("no NUL");
        check!(!libc::realpath(name.as_ptr(), path.as_mut_ptr()).is_null());
        check_eq!(CStr::from_ptr(path.as_ptr()), name.as_c_str());
        crate::call::close(&ends);
        check!(!libc::getcwd(path.as_mut_ptr(), path.len()).is_null());
        check!(libc::getcwd(path.as_mut_ptr(), 1).is_null());
        check_eq!(
            std::io::Error::last_os_error().raw_os_error(),
            Some(libc::ERANGE)
        );
        let mut numbers = std::mem::zeroed::<libc::statvfs>();
        done(libc::statvfs(c"/".as_ptr(), &mut numbers), "statvfs")?;
        check!(numbers.f_bsize > 0 && numbers.f_blocks > 0 && numbers.f_bfree <= numbers.f_blocks);
    }
    Ok(())
}
