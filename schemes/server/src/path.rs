//! The path rules that every scheme shares: one spelling per path, and options as a query behind it.
//!
//! A path has no leading or trailing slash and no empty or `.` part; the root is `""`. `..` is refused, because
//! the caller's libc resolves it before a scheme sees it and nothing here should climb out of an attenuated root.
//! What follows the first `?` is the query; it is kept as it is.

use crate::{Errno, Result, limits};

/// The one spelling of `path`.
///
/// # Errors
/// ENAMETOOLONG past [`limits::PATH_BYTES`], EINVAL for a NUL or a `..` part.
pub fn normalise(path: &str) -> Result<String> {
    if path.len() > limits::PATH_BYTES {
        return Err(Errno::ENAMETOOLONG);
    }
    if path.contains('\0') {
        return Err(Errno::EINVAL);
    }
    let (plain, query) = split_query(path);
    let mut out = String::with_capacity(path.len());
    for part in plain.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(Errno::EINVAL),
            part => {
                if !out.is_empty() {
                    out.push('/');
                }
                out.push_str(part);
            }
        }
    }
    if let Some(query) = query {
        if plain.ends_with('/') && !out.is_empty() {
            out.push('/');
        }
        out.push('?');
        out.push_str(query);
    }
    Ok(out)
}

/// `path` below `dir` (both normalised).
pub fn join(dir: &str, path: &str) -> String {
    match (dir, path) {
        ("", path) => path.to_owned(),
        (dir, "") => dir.to_owned(),
        (dir, path) => format!("{dir}/{path}"),
    }
}

/// The path and what follows the first `?`.
pub fn split_query(path: &str) -> (&str, Option<&str>) {
    match path.split_once('?') {
        Some((plain, query)) => (plain, Some(query)),
        None => (path, None),
    }
}

/// The `key=value` pairs of a query, percent-decoded; `+` is a blank. A pair without `=` has an empty value.
///
/// # Errors
/// EINVAL for a broken percent sequence or one that is not UTF-8.
pub fn query(query: &str) -> Result<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| {
                    b.and_then(|b| char::from(b).to_digit(16))
                        .ok_or(Errno::EINVAL)
                };
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                (high << 4 | low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(out).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_dots_have_one_spelling() {
        assert_eq!(normalise("/a//./b/").unwrap(), "a/b");
        assert_eq!(normalise("").unwrap(), "");
        assert_eq!(normalise("/").unwrap(), "");
        assert_eq!(normalise("chat?x=/y/../z").unwrap(), "chat?x=/y/../z");
        assert_eq!(normalise("/notes/?q=a").unwrap(), "notes/?q=a");
        assert_eq!(normalise("a/../b"), Err(Errno::EINVAL));
    }

    #[test]
    fn a_query_is_percent_decoded() {
        let got = query("model=a%20b&x&t=1+2").unwrap();
        let want = [("model", "a b"), ("x", ""), ("t", "1 2")];
        assert_eq!(got, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(query("a=%f"), Err(Errno::EINVAL));
        assert_eq!(query("a=%ff"), Err(Errno::EINVAL));
    }
}
