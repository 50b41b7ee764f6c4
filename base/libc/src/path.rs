//! From a path as programs write it to the form the kernel takes. Pure; the rules are those of redox-facts 1.8.
//!
//! A program may write `/home/x` or `x` (scheme `file`), `/scheme/NAME/REF`, or the older `NAME:REF`. The kernel takes
//! `NAME/REF`, `NAME` (empty reference) or the empty path (the namespace itself). Parts that are empty, `.` or `..` are
//! removed here, by text alone, except in the reference of `NAME:REF`, which goes to its scheme verbatim.
//!
//! The canonical form, which `getcwd` and `realpath` show, is `/REF` for scheme `file` and `/scheme/NAME/REF` otherwise.

use valence_abi::PATH_MAX;
use valence_abi::errno::{EINVAL, ENAMETOOLONG, ENOENT, Errno};

/// The scheme of a path that names none.
pub const DEFAULT_SCHEME: &[u8] = b"file";
/// The directory of all schemes.
pub const SCHEME_DIR: &[u8] = b"/scheme";

/// A path in a buffer of its own, at most `PATH_MAX - 1` bytes.
#[derive(Clone)]
pub struct PathBuf {
    bytes: [u8; PATH_MAX],
    len: usize,
}

impl PathBuf {
    /// The empty path.
    pub const fn new() -> PathBuf {
        PathBuf {
            bytes: [0; PATH_MAX],
            len: 0,
        }
    }

    /// A copy of `text`.
    pub fn from_bytes(text: &[u8]) -> Result<PathBuf, Errno> {
        let mut path = PathBuf::new();
        path.push(text)?;
        Ok(path)
    }

    /// The path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The path followed by a NUL.
    pub fn with_nul(&self) -> &[u8] {
        &self.bytes[..self.len + 1]
    }

    /// Appends `text` as it is.
    pub fn push(&mut self, text: &[u8]) -> Result<(), Errno> {
        if text.len() >= PATH_MAX - self.len {
            return Err(ENAMETOOLONG);
        }
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
        self.bytes[self.len] = 0;
        Ok(())
    }

    /// Cuts the path to `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.bytes[self.len] = 0;
    }

    /// Appends the parts of `text` to an absolute canonical path, resolving `.` and `..`. The root is `/`.
    fn push_parts(&mut self, text: &[u8]) -> Result<(), Errno> {
        for part in text.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => self.pop_part(),
                _ => {
                    if self.as_bytes() != b"/" {
                        self.push(b"/")?;
                    }
                    self.push(part)?;
                }
            }
        }
        Ok(())
    }

    fn pop_part(&mut self) {
        let slash = self
            .as_bytes()
            .iter()
            .rposition(|&byte| byte == b'/')
            .unwrap_or(0);
        self.truncate(slash.max(1));
    }
}

impl Default for PathBuf {
    fn default() -> PathBuf {
        PathBuf::new()
    }
}

/// Where a path leads: the kernel's form and what else the spelling said.
#[derive(Clone)]
pub struct Location {
    text: PathBuf,
    /// The path ended in `/`, `/.` or `/..`: it must name a directory.
    pub names_directory: bool,
}

impl Location {
    /// `NAME/REF`, `NAME` or empty.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The scheme's name; empty for the namespace itself.
    pub fn scheme(&self) -> &[u8] {
        let text = self.as_bytes();
        &text[..text
            .iter()
            .position(|&byte| byte == b'/')
            .unwrap_or(text.len())]
    }

    /// What the scheme is asked for.
    pub fn reference(&self) -> &[u8] {
        let text = self.as_bytes();
        text.get(self.scheme().len() + 1..).unwrap_or(b"")
    }

    /// The canonical absolute path.
    pub fn canonical(&self) -> Result<PathBuf, Errno> {
        let mut path = PathBuf::new();
        if self.scheme() == DEFAULT_SCHEME {
            path.push(b"/")?;
            path.push_parts(self.reference())?;
        } else {
            path.push(SCHEME_DIR)?;
            if !self.as_bytes().is_empty() {
                path.push(b"/")?;
                path.push(self.as_bytes())?;
            }
        }
        Ok(path)
    }
}

/// Splits `NAME:REF`; `None` when the path is not of that form.
fn split_legacy(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().position(|&byte| byte == b':' || byte == b'/')?;
    (path[end] == b':' && end > 0).then(|| (&path[..end], &path[end + 1..]))
}

/// True for a path that does not depend on a directory.
pub fn is_absolute(path: &[u8]) -> bool {
    path.starts_with(b"/") || split_legacy(path).is_some()
}

/// True when a part of `path` is `..`.
pub fn has_parent_part(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|part| part == b"..")
}

/// Resolves `path` against the canonical directory `base`.
pub fn locate(base: &[u8], path: &[u8]) -> Result<Location, Errno> {
    if path.is_empty() {
        return Err(ENOENT);
    }
    if path.len() >= PATH_MAX {
        return Err(ENAMETOOLONG);
    }
    if path.contains(&0) {
        return Err(EINVAL);
    }
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or(b"");
    let names_directory = matches!(last, b"" | b"." | b"..");
    let mut absolute = PathBuf::from_bytes(b"/")?;
    match split_legacy(path) {
        Some((name, reference)) if name != DEFAULT_SCHEME => {
            let mut text = PathBuf::from_bytes(name)?;
            text.push(b"/")?;
            text.push(reference)?;
            return Ok(Location {
                text,
                names_directory: false,
            });
        }
        Some((_, reference)) => absolute.push_parts(reference)?,
        None => {
            if !path.starts_with(b"/") {
                absolute.push_parts(base)?;
            }
            absolute.push_parts(path)?;
        }
    }
    Ok(Location {
        text: to_kernel(absolute.as_bytes())?,
        names_directory,
    })
}

/// The kernel's form of a canonical absolute path.
fn to_kernel(absolute: &[u8]) -> Result<PathBuf, Errno> {
    match absolute.strip_prefix(SCHEME_DIR) {
        Some(b"") => Ok(PathBuf::new()),
        Some(rest) if rest[0] == b'/' => PathBuf::from_bytes(&rest[1..]),
        _ => {
            let mut text = PathBuf::from_bytes(DEFAULT_SCHEME)?;
            if absolute != b"/" {
                text.push(absolute)?;
            }
            Ok(text)
        }
    }
}

/// The path that a symbolic link leads to: `link` is the link's own canonical path, `target` its text, `rest` what
/// followed the link in the path that met it.
pub fn follow(link: &[u8], target: &[u8], rest: &[u8]) -> Result<Location, Errno> {
    let directory = link.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    let reached = locate(&link[..directory.max(1)], target)?;
    if rest.is_empty() {
        return Ok(reached);
    }
    locate(reached.canonical()?.as_bytes(), rest)
}

/// A name under `/dev` that the library serves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device<'a> {
    /// Another path in the kernel's form, to be followed by the name.
    Scheme(&'static [u8], &'a [u8]),
    /// A copy of an open descriptor.
    Descriptor(usize),
    /// The controlling terminal.
    Terminal,
}

/// The device that a location (kernel's form) names, if it is one of the library's.
pub fn device(text: &[u8]) -> Option<Device<'_>> {
    if let Some(name) = text.strip_prefix(b"libc/") {
        return standard_stream(name);
    }
    let name = text.strip_prefix(b"file/dev/")?;
    if let Some(number) = name.strip_prefix(b"fd/") {
        return parse_number(number).map(Device::Descriptor);
    }
    if let Some(rest) = name.strip_prefix(b"shm/") {
        return Some(Device::Scheme(b"shm/", rest));
    }
    if let Some(rest) = name.strip_prefix(b"pts/") {
        return Some(Device::Scheme(b"pty/", rest));
    }
    match name {
        b"null" => Some(Device::Scheme(b"null", b"")),
        b"zero" => Some(Device::Scheme(b"zero", b"")),
        b"random" | b"urandom" => Some(Device::Scheme(b"rand", b"")),
        b"ptmx" => Some(Device::Scheme(b"pty/ptmx", b"")),
        _ => standard_stream(name),
    }
}

fn standard_stream(name: &[u8]) -> Option<Device<'_>> {
    match name {
        b"stdin" => Some(Device::Descriptor(0)),
        b"stdout" => Some(Device::Descriptor(1)),
        b"stderr" => Some(Device::Descriptor(2)),
        b"tty" => Some(Device::Terminal),
        _ => None,
    }
}

fn parse_number(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        text.iter()
            .fold(0, |number, &digit| number * 10 + usize::from(digit - b'0')),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel_form(base: &str, path: &str) -> String {
        let location = locate(base.as_bytes(), path.as_bytes()).unwrap();
        String::from_utf8(location.as_bytes().to_vec()).unwrap()
    }

    fn canonical(base: &str, path: &str) -> String {
        let path = locate(base.as_bytes(), path.as_bytes())
            .unwrap()
            .canonical()
            .unwrap();
        String::from_utf8(path.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn plain_paths_lead_to_the_file_scheme() {
        assert_eq!(kernel_form("/", "/"), "file");
        assert_eq!(kernel_form("/", "/home//user/./x"), "file/home/user/x");
        assert_eq!(kernel_form("/home", "x"), "file/home/x");
        assert_eq!(kernel_form("/home", "../etc/"), "file/etc");
        assert_eq!(kernel_form("/", "../../.."), "file");
    }

    #[test]
    fn scheme_paths_lead_to_their_scheme() {
        assert_eq!(kernel_form("/", "/scheme"), "");
        assert_eq!(kernel_form("/", "/scheme/"), "");
        assert_eq!(kernel_form("/", "/scheme/ai"), "ai");
        assert_eq!(kernel_form("/", "/scheme/ai/chat"), "ai/chat");
        assert_eq!(kernel_form("/scheme/ai", "chat"), "ai/chat");
        assert_eq!(kernel_form("/scheme/ai", ".."), "");
        assert_eq!(kernel_form("/", "/schemes/x"), "file/schemes/x");
    }

    #[test]
    fn legacy_reference_is_kept_verbatim() {
        assert_eq!(kernel_form("/", "ai:/chat"), "ai//chat");
        assert_eq!(kernel_form("/", "ai:chat?x=../y"), "ai/chat?x=../y");
        assert_eq!(kernel_form("/", "memory:"), "memory/");
        assert_eq!(kernel_form("/home", "file:/etc/../x"), "file/x");
        assert_eq!(kernel_form("/home", "./a:b"), "file/home/a:b");
        assert_eq!(kernel_form("/home", ":b"), "file/home/:b");
    }

    #[test]
    fn canonical_form_is_what_getcwd_shows() {
        assert_eq!(canonical("/", "file:home"), "/home");
        assert_eq!(canonical("/x", "."), "/x");
        assert_eq!(canonical("/", "/scheme"), "/scheme");
        assert_eq!(canonical("/", "/scheme/pty/3"), "/scheme/pty/3");
        assert_eq!(canonical("/", "pty:3"), "/scheme/pty/3");
    }

    #[test]
    fn trailing_slash_names_a_directory() {
        assert!(locate(b"/", b"a/").unwrap().names_directory);
        assert!(locate(b"/", b"a/..").unwrap().names_directory);
        assert!(!locate(b"/", b"a").unwrap().names_directory);
        assert!(!locate(b"/", b"ai:/").unwrap().names_directory);
    }

    #[test]
    fn bad_paths_are_refused() {
        assert_eq!(locate(b"/", b"").err(), Some(ENOENT));
        assert_eq!(locate(b"/", b"a\0b").err(), Some(EINVAL));
        assert_eq!(locate(b"/", &[b'a'; PATH_MAX]).err(), Some(ENAMETOOLONG));
        let long = [b'a'; PATH_MAX - 2];
        assert_eq!(locate(b"/base", &long).err(), Some(ENAMETOOLONG));
    }

    #[test]
    fn links_are_followed_from_their_own_directory() {
        let reach = |link: &str, target: &str, rest: &str| {
            let location = follow(link.as_bytes(), target.as_bytes(), rest.as_bytes()).unwrap();
            String::from_utf8(location.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(reach("/dev/null", "/scheme/null", ""), "null");
        assert_eq!(reach("/a/link", "../b", "c/d"), "file/b/c/d");
        assert_eq!(reach("/link", "b", ""), "file/b");
        assert_eq!(reach("/a/l", "disk:0", "x"), "disk/0/x");
    }

    #[test]
    fn device_names_need_no_file_system() {
        assert_eq!(
            device(b"file/dev/urandom"),
            Some(Device::Scheme(b"rand", b""))
        );
        assert_eq!(
            device(b"file/dev/shm/x"),
            Some(Device::Scheme(b"shm/", b"x"))
        );
        assert_eq!(device(b"file/dev/fd/12"), Some(Device::Descriptor(12)));
        assert_eq!(device(b"file/dev/tty"), Some(Device::Terminal));
        assert_eq!(device(b"libc/stdout"), Some(Device::Descriptor(1)));
        assert_eq!(device(b"file/dev/sda"), None);
        assert_eq!(device(b"file/dev/fd/x"), None);
    }
}
