//! Telling init that a daemon serves.
//!
//! Contract: the environment variable `INIT_NOTIFY` holds the number of the write end of a pipe. One zero
//! byte written there means ready; end of file without a byte means the daemon failed. A daemon started by
//! hand has no such variable, and then there is nobody to tell.

/// Name of the environment variable that holds the file descriptor.
pub const NOTIFY_VARIABLE: &str = "INIT_NOTIFY";

/// The descriptor named by the value of [`NOTIFY_VARIABLE`]; none when unset or not a number.
pub fn notify_fd(value: Option<&str>) -> Option<usize> {
    let fd = value?.trim().parse().ok()?;
    // 0, 1 and 2 are the standard streams: never a pipe of init's.
    (fd > 2).then_some(fd)
}

/// Writes the byte and closes the pipe, so that init sees the end of it when the daemon dies.
#[cfg(target_os = "redox")]
pub fn notify() {
    let value = std::env::var(NOTIFY_VARIABLE).ok();
    if let Some(fd) = notify_fd(value.as_deref()) {
        if let Err(error) = libredox::call::write(fd, &[0]) {
            crate::log!("cannot tell init that this daemon is ready: {error}");
        }
        let _ = libredox::call::close(fd);
    }
}

/// Keeps the pipe from programs that this daemon starts before it is ready itself.
#[cfg(target_os = "redox")]
pub fn keep_private() {
    let value = std::env::var(NOTIFY_VARIABLE).ok();
    if let Some(fd) = notify_fd(value.as_deref()) {
        let flag = libredox::flag::O_CLOEXEC as usize;
        let _ = libredox::call::fcntl(fd, syscall::flag::F_SETFD, flag);
    }
}

#[cfg(test)]
mod tests {
    use super::notify_fd;

    #[test]
    fn only_a_number_above_the_standard_streams_is_a_pipe() {
        assert_eq!(notify_fd(Some("7")), Some(7));
        assert_eq!(notify_fd(Some("1")), None);
        assert_eq!(notify_fd(Some("seven")), None);
        assert_eq!(notify_fd(None), None);
    }
}
