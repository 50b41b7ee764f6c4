//! HTML: text between block elements, headings open sections; markup, scripts and styles are not text.
//!
//! A scanner, not a parser: it must make something sensible of any bytes that call themselves HTML, in one pass. Spans
//! are of the source, so they include inline markup; [`strip`] gives the text.

use super::Block;

enum Token<'a> {
    Text(&'a str),
    /// Name in lower case, and whether it is an end tag.
    Tag(String, bool),
    Other,
}

/// Elements whose content is not text.
const SKIPPED: [&str; 5] = ["script", "style", "template", "noscript", "svg"];
const INLINE: [&str; 21] = [
    "a", "abbr", "b", "bdi", "cite", "code", "dfn", "em", "font", "i", "img", "kbd", "mark", "q",
    "s", "samp", "small", "span", "strong", "u", "var",
];

/// Gives the next token and its length; `text` is not empty.
fn next(text: &str) -> (Token<'_>, usize) {
    if let Some(rest) = text.strip_prefix("<!--") {
        return (Token::Other, rest.find("-->").map_or(text.len(), |i| i + 7));
    }
    let is_tag = text.starts_with('<')
        && text[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
    if !is_tag {
        let end = text
            .bytes()
            .skip(1)
            .position(|b| b == b'<')
            .map_or(text.len(), |i| i + 1);
        return (Token::Text(&text[..end]), end);
    }
    let len = text.find('>').map_or(text.len(), |i| i + 1);
    let inner = text[1..len].trim_end_matches('>');
    let (inner, is_end) = inner
        .strip_prefix('/')
        .map_or((inner, false), |inner| (inner, true));
    let name_len = inner
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(inner.len());
    let name = inner[..name_len].to_ascii_lowercase();
    if name.is_empty() {
        return (Token::Other, len);
    }
    if !is_end && SKIPPED.contains(&&name[..]) {
        return (Token::Other, len + skipped_len(&text[len..], &name));
    }
    (Token::Tag(name, is_end), len)
}

fn skipped_len(rest: &str, name: &str) -> usize {
    let close = format!("</{name}");
    let lower = rest.as_bytes().windows(close.len());
    let at = lower
        .into_iter()
        .position(|window| window.eq_ignore_ascii_case(close.as_bytes()));
    let Some(at) = at else { return rest.len() };
    rest[at..].find('>').map_or(rest.len(), |i| at + i + 1)
}

fn is_heading(name: &str) -> bool {
    matches!(name.as_bytes(), [b'h', b'1'..=b'6'])
}

pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut out = Vec::new();
    let (mut at, mut start) = (0, 0);
    let (mut heading, mut opens) = (String::new(), false);
    let mut heading_start = None;
    while at < text.len() {
        let (token, len) = next(&text[at..]);
        match token {
            Token::Tag(name, is_end) if !INLINE.contains(&&name[..]) => {
                out.push(Block {
                    start,
                    end: at,
                    opens_section: opens,
                    heading: heading.clone(),
                });
                (start, opens) = (at + len, false);
                if is_heading(&name) && !is_end {
                    (heading_start, opens) = (Some(at + len), true);
                } else if let (true, Some(from)) = (is_heading(&name), heading_start.take()) {
                    heading = strip(&text[from..at]);
                    if let Some(block) = out.last_mut() {
                        block.heading.clone_from(&heading);
                    }
                }
            }
            Token::Other => {
                out.push(Block {
                    start,
                    end: at,
                    opens_section: opens,
                    heading: heading.clone(),
                });
                (start, opens) = (at + len, false);
            }
            _ => {}
        }
        at += len;
    }
    out.push(Block {
        start,
        end: text.len(),
        opens_section: opens,
        heading,
    });
    out
}

/// The text without markup, entities replaced, white space folded.
pub(super) fn strip(text: &str) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < text.len() {
        let (token, len) = next(&text[at..]);
        match token {
            Token::Text(part) => unescape(part, &mut out),
            Token::Tag(name, _) if INLINE.contains(&&name[..]) => {}
            _ => out.push(' '),
        }
        at += len;
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unescape(mut text: &str, out: &mut String) {
    while let Some(at) = text.find('&') {
        out.push_str(&text[..at]);
        text = &text[at..];
        let entity = text[1..]
            .split_once(';')
            .map(|(name, _)| name)
            .filter(|name| name.len() <= 8);
        match entity.and_then(|name| Some((entity_char(name)?, name.len() + 2))) {
            Some((c, len)) => {
                out.push(c);
                text = &text[len..];
            }
            None => {
                out.push('&');
                text = &text[1..];
            }
        }
    }
    out.push_str(text);
}

fn entity_char(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "mdash" => '—',
        "ndash" => '–',
        "hellip" => '…',
        "copy" => '©',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}
