//! C's functions on streams.

use super::{
    Buffering, EOF, Stream, close_stream, flush_all, mode_flags, open_stream, standard_output, with,
};
use crate::fs::{AT_FDCWD, Fd, c_path, open_at};
use crate::memory::realloc;
use crate::string::bytes_or_empty;
use crate::types::*;
use crate::{Errno, e, error};
use core::{ptr, slice};
use valence_abi::flags::{O_CLOEXEC, O_CREAT, O_RDWR, SEEK_SET};

const NEW_FILE_MODE: u32 = 0o666;
/// First size of `getline`'s buffer.
const LINE_ROOM: usize = 128;

fn pointer(result: Result<*mut Stream, Errno>) -> *mut Stream {
    result.unwrap_or_else(|errno| {
        error::set(errno);
        ptr::null_mut()
    })
}

fn eof(result: Result<(), Errno>) -> c_int {
    error::int(result.map(|()| 0))
}

/// Reads up to and with `delimiter`, growing the caller's buffer.
///
/// # Safety
/// As for `getdelim`.
unsafe fn read_line(
    line: *mut *mut u8,
    room: *mut usize,
    delimiter: u8,
    stream: &mut Stream,
) -> Result<Option<usize>, Errno> {
    let mut len = 0;
    // SAFETY: the caller's buffer has `*room` bytes; it is grown before a byte that does not fit.
    unsafe {
        if (*line).is_null() {
            *room = 0;
        }
        loop {
            let Some(byte) = stream.read_byte() else {
                return Ok((len > 0).then_some(len));
            };
            if len + 2 > *room {
                let wanted = (*room * 2).max(LINE_ROOM);
                let grown = realloc(*line, wanted);
                if grown.is_null() {
                    return Err(e::ENOMEM);
                }
                (*line, *room) = (grown, wanted);
            }
            *(*line).add(len) = byte;
            len += 1;
            *(*line).add(len) = 0;
            if byte == delimiter {
                return Ok(Some(len));
            }
        }
    }
}

c_api! {
    fn fopen(path: *const u8, mode: *const u8) -> *mut Stream {
        pointer(mode_flags(bytes_or_empty(mode)).and_then(|flags| {
            open_stream(Fd(open_at(AT_FDCWD, c_path(path)?, flags, NEW_FILE_MODE)?))
        }))
    }
    fn fdopen(fd: c_int, mode: *const u8) -> *mut Stream {
        let usable = mode_flags(bytes_or_empty(mode)).and_then(|_| crate::fs::fstat_raw(fd as usize));
        pointer(usable.and_then(|_| open_stream(Fd(fd as usize))))
    }
    fn freopen(path: *const u8, mode: *const u8, stream: *mut Stream) -> *mut Stream {
        let opened = mode_flags(bytes_or_empty(mode))
            .and_then(|flags| open_at(AT_FDCWD, c_path(path)?, flags, NEW_FILE_MODE));
        pointer(opened.and_then(|fd| {
            let fd = Fd(fd);
            with(stream, |stream| {
                let _ = stream.flush();
                (stream.at_end, stream.failed) = (false, false);
                syscall!(DUP2, fd.0, stream.fd, 0)
            })?;
            Ok(stream)
        }))
    }
    fn fclose(stream: *mut Stream) -> c_int {
        eof(close_stream(stream))
    }
    fn fflush(stream: *mut Stream) -> c_int {
        eof(if stream.is_null() { flush_all() } else { with(stream, Stream::flush) })
    }
    fn fileno(stream: *mut Stream) -> c_int {
        with(stream, |stream| stream.fd as c_int)
    }
    fn feof(stream: *mut Stream) -> c_int {
        with(stream, |stream| c_int::from(stream.at_end))
    }
    fn ferror(stream: *mut Stream) -> c_int {
        with(stream, |stream| c_int::from(stream.failed))
    }
    fn clearerr(stream: *mut Stream) {
        with(stream, |stream| (stream.at_end, stream.failed) = (false, false))
    }
    fn fwrite(items: *const u8, size: usize, count: usize, stream: *mut Stream) -> usize {
        let Some(len) = size.checked_mul(count).filter(|&len| len > 0) else { return 0 };
        let bytes = slice::from_raw_parts(items, len);
        match with(stream, |stream| stream.write(bytes)) {
            Ok(()) => count,
            Err(errno) => {
                error::set(errno);
                0
            }
        }
    }
    fn fread(items: *mut u8, size: usize, count: usize, stream: *mut Stream) -> usize {
        let Some(len) = size.checked_mul(count).filter(|&len| len > 0) else { return 0 };
        let bytes = slice::from_raw_parts_mut(items, len);
        with(stream, |stream| stream.read(bytes)) / size
    }
    fn fputc(byte: c_int, stream: *mut Stream) -> c_int {
        match with(stream, |stream| stream.write(&[byte as u8])) {
            Ok(()) => c_int::from(byte as u8),
            Err(errno) => error::int(Err(errno)),
        }
    }
    fn putc(byte: c_int, stream: *mut Stream) -> c_int {
        fputc(byte, stream)
    }
    fn putchar(byte: c_int) -> c_int {
        fputc(byte, standard_output())
    }
    fn fputs(text: *const u8, stream: *mut Stream) -> c_int {
        eof(with(stream, |stream| stream.write(bytes_or_empty(text))))
    }
    fn puts(text: *const u8) -> c_int {
        eof(with(standard_output(), |stream| {
            stream.write(bytes_or_empty(text))?;
            stream.write(b"\n")
        }))
    }
    fn fgetc(stream: *mut Stream) -> c_int {
        with(stream, Stream::read_byte).map_or(EOF, c_int::from)
    }
    fn getc(stream: *mut Stream) -> c_int {
        fgetc(stream)
    }
    fn getchar() -> c_int {
        fgetc(super::stdin.0)
    }
    fn ungetc(byte: c_int, stream: *mut Stream) -> c_int {
        if byte == EOF {
            return EOF;
        }
        with(stream, |stream| {
            if stream.pushed_back.is_some() {
                return EOF;
            }
            stream.at_end = false;
            stream.pushed_back = Some(byte as u8);
            c_int::from(byte as u8)
        })
    }
    fn fgets(out: *mut u8, room: c_int, stream: *mut Stream) -> *mut u8 {
        let Some(room) = usize::try_from(room).ok().filter(|&room| room > 0) else { return ptr::null_mut() };
        let mut len = 0;
        with(stream, |stream| {
            while len + 1 < room {
                let Some(byte) = stream.read_byte() else { break };
                *out.add(len) = byte;
                len += 1;
                if byte == b'\n' {
                    break;
                }
            }
        });
        *out.add(len) = 0;
        if len == 0 { ptr::null_mut() } else { out }
    }
    fn getdelim(line: *mut *mut u8, room: *mut usize, delimiter: c_int, stream: *mut Stream) -> isize {
        match with(stream, |stream| read_line(line, room, delimiter as u8, stream)) {
            Ok(Some(len)) => len as isize,
            Ok(None) => -1,
            Err(errno) => error::long(Err(errno)),
        }
    }
    fn getline(line: *mut *mut u8, room: *mut usize, stream: *mut Stream) -> isize {
        getdelim(line, room, c_int::from(b'\n'), stream)
    }
    fn fseek(stream: *mut Stream, offset: c_long, whence: c_int) -> c_int {
        error::int(with(stream, |stream| stream.seek(offset, whence as usize)).map(|_| 0))
    }
    fn fseeko(stream: *mut Stream, offset: i64, whence: c_int) -> c_int {
        fseek(stream, offset, whence)
    }
    fn rewind(stream: *mut Stream) {
        let _ = with(stream, |stream| stream.seek(0, SEEK_SET));
        clearerr(stream);
    }
    fn ftell(stream: *mut Stream) -> c_long {
        error::long(with(stream, |stream| stream.tell())) as c_long
    }
    fn ftello(stream: *mut Stream) -> i64 {
        ftell(stream)
    }
    /// The caller's buffer is not used; its size and the kind of buffering decide.
    fn setvbuf(stream: *mut Stream, _buffer: *mut u8, kind: c_int, _len: usize) -> c_int {
        let kind = match kind {
            0 => Buffering::Full,
            1 => Buffering::Line,
            2 => Buffering::None,
            _ => return error::int(Err(e::EINVAL)),
        };
        with(stream, |stream| {
            let _ = stream.flush();
            stream.buffering = kind;
        });
        0
    }
    fn setbuf(stream: *mut Stream, buffer: *mut u8) {
        setvbuf(stream, buffer, if buffer.is_null() { 2 } else { 0 }, 0);
    }
    fn setlinebuf(stream: *mut Stream) {
        setvbuf(stream, ptr::null_mut(), 1, 0);
    }
    fn flockfile(stream: *mut Stream) {
        super::enter(stream)
    }
    fn funlockfile(stream: *mut Stream) {
        super::leave(stream)
    }
    fn tmpfile() -> *mut Stream {
        let mut name = *b"/tmp/tmpfXXXXXX\0";
        let path = name.as_mut_ptr();
        let fd = crate::fs::mkostemps(path, 0, (O_RDWR | O_CREAT | O_CLOEXEC) as c_int);
        if fd < 0 {
            return ptr::null_mut();
        }
        crate::fs::unlink(path);
        pointer(open_stream(Fd(fd as usize)))
    }
}
