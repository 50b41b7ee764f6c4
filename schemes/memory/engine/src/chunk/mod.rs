//! Cutting documents into chunks along their structure.
//!
//! Each format's module finds blocks (paragraph, code fence, function, heading …); [`pack`](pack::pack) joins blocks to
//! chunks near the asked size. Invariants, for every input (property tests): spans are in order, do not overlap, lie on
//! character borders, are at most the asked size, and cover everything but white space and markup. Chunk borders depend
//! on nearby text only, so an edit changes the chunks near it and the others keep their hash.

mod code;
mod html;
mod markdown;
mod pack;
mod text;

use crate::words::estimate_tokens;

/// What kind of text a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Paragraphs.
    Text,
    /// CommonMark.
    Markdown,
    /// Source code of any language.
    Code,
    /// HTML.
    Html,
}

/// A run of text that should stay together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// A new section begins here: the chunk before ends.
    pub(crate) opens_section: bool,
    /// Heading above, as text.
    pub(crate) heading: String,
}

/// Place of a chunk in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSpan {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
    /// Hash of the text that is embedded: decides what must be embedded anew.
    pub hash: u64,
    /// Estimated tokens of the text.
    pub tokens: u32,
}

/// A chunk: where it is, and what is embedded and searched for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Place, hash and size.
    pub span: ChunkSpan,
    /// The heading it stands under and its text without markup.
    pub text: String,
}

const CODE_ENDINGS: [&str; 34] = [
    "rs", "c", "h", "cc", "cpp", "hpp", "py", "js", "ts", "go", "java", "kt", "swift", "rb", "pl",
    "lua", "sh", "bash", "zig", "hs", "ml", "scala", "cs", "php", "sql", "toml", "yaml", "yml",
    "json", "ron", "css", "s", "asm", "el",
];

/// The format of a document; `None` for bytes that are no text.
pub fn format_of(path: &str, body: &[u8]) -> Option<Format> {
    let text = core::str::from_utf8(body).ok()?;
    if text.bytes().take(8192).any(|byte| byte == 0) {
        return None;
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name
        .rsplit_once('.')
        .map_or("", |(_, ending)| ending)
        .to_ascii_lowercase();
    Some(match &ending[..] {
        "md" | "markdown" | "mkd" => Format::Markdown,
        "html" | "htm" | "xhtml" => Format::Html,
        other if CODE_ENDINGS.contains(&other) => Format::Code,
        _ if looks_like_html(text) => Format::Html,
        _ => Format::Text,
    })
}

fn looks_like_html(text: &str) -> bool {
    let head = text.trim_start().as_bytes();
    [&b"<!doctype html"[..], b"<html"].iter().any(|mark| {
        head.get(..mark.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(mark))
    })
}

/// Cuts a document into chunks of at most `size` bytes (and at least one character).
pub fn chunks(format: Format, text: &str, size: usize) -> Vec<Chunk> {
    let blocks = match format {
        Format::Text => text::blocks(text),
        Format::Markdown => markdown::blocks(text),
        Format::Code => code::blocks(text),
        Format::Html => html::blocks(text),
    };
    let mut out = Vec::new();
    for piece in pack::pack(text, &blocks, size.max(4)) {
        let plain = plain_text(format, &text[piece.start..piece.end]);
        if plain.trim().is_empty() {
            continue;
        }
        let tokens = estimate_tokens(&plain) as u32;
        let text = with_heading(&piece.heading, &plain);
        let hash = u64::from_le_bytes(first_8(blake3::hash(text.as_bytes()).as_bytes()));
        let span = ChunkSpan {
            start: piece.start as u32,
            end: piece.end as u32,
            hash,
            tokens,
        };
        out.push(Chunk { span, text });
        if out.len() == crate::limits::DOCUMENT_CHUNKS {
            break;
        }
    }
    out
}

fn first_8(bytes: &[u8; 32]) -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[..8]);
    out
}

fn with_heading(heading: &str, plain: &str) -> String {
    if heading.is_empty() || plain.contains(heading) {
        plain.to_owned()
    } else {
        format!("{heading}\n{plain}")
    }
}

/// The text of a span as a person reads it.
pub fn plain_text(format: Format, source: &str) -> String {
    if format == Format::Html {
        html::strip(source)
    } else {
        source.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(format: Format, text: &str, size: usize) {
        let mut before = 0;
        for chunk in chunks(format, text, size) {
            let (start, end) = (chunk.span.start as usize, chunk.span.end as usize);
            assert!(before <= start && start < end, "order");
            assert!(end - start <= size.max(4), "size {} of {size}", end - start);
            assert!(text.is_char_boundary(start) && text.is_char_boundary(end));
            if format != Format::Html {
                assert!(
                    text[before..start].trim().is_empty(),
                    "lost {:?}",
                    &text[before..start]
                );
            }
            before = end;
        }
        if format != Format::Html {
            assert!(
                text[before..].trim().is_empty(),
                "lost end {:?}",
                &text[before..]
            );
        }
    }

    proptest! {
        #[test]
        fn chunks_cover_any_text_in_order(
            words in prop::collection::vec(prop::sample::select(vec![
                "# Head\n", "word ", "\n\n", "```\n", "é", "fn a() {\n", "}\n", "    x;\n", "<p>", "</p>", "<script>",
                "<!-- ", "-->", "- item\n", "&amp;", "a\n===\n", "<", "> quote\n", "|a|b|\n|-|-|\n", "\u{2028}", "\t"]), 0..80),
            noise in any::<String>(), size in 1usize..200,
        ) {
            let text = words.concat() + &noise;
            for format in [Format::Text, Format::Markdown, Format::Code, Format::Html] {
                check(format, &text, size);
            }
        }
    }

    #[test]
    fn an_edit_changes_only_the_chunks_near_it() {
        let paragraph = |i: usize| {
            format!(
                "Paragraph number {i} says something about topic {}.\n\n",
                i * 7 % 31
            )
        };
        let text: String = (0..400).map(paragraph).collect();
        let edited = text.replacen("number 20 says", "number 20 really says", 1);
        let old: std::collections::HashSet<u64> = chunks(Format::Text, &text, 600)
            .iter()
            .map(|c| c.span.hash)
            .collect();
        let new = chunks(Format::Text, &edited, 600);
        let changed = new.iter().filter(|c| !old.contains(&c.span.hash)).count();
        assert!(new.len() > 30 && changed <= 4, "{changed} of {}", new.len());
    }

    #[test]
    fn formats_are_recognised() {
        assert_eq!(format_of("a/b.MD", b"# x").unwrap(), Format::Markdown);
        assert_eq!(format_of("x.rs", b"fn main() {}").unwrap(), Format::Code);
        assert_eq!(
            format_of("page", b" <!DOCTYPE html><p>x").unwrap(),
            Format::Html
        );
        assert_eq!(format_of("x", b"\xff\xfe"), None);
        assert_eq!(format_of("x", b"a\0b"), None);
    }

    #[test]
    fn a_markdown_chunk_knows_its_heading() {
        let text = format!(
            "# Guide\n\nIntro.\n\n## Install\n\n{}\n\n{}\n",
            "word ".repeat(60),
            "more ".repeat(60)
        );
        let found = chunks(Format::Markdown, &text, 320);
        assert!(
            found.last().unwrap().text.starts_with("Guide > Install\n"),
            "{found:?}"
        );
    }

    #[test]
    fn html_is_read_without_its_markup() {
        let text = "<html><head><style>p{}</style></head><body><h1>Title</h1><p>One &amp; two</p><script>bad()</script></body>";
        let all: String = chunks(Format::Html, text, 500)
            .into_iter()
            .map(|c| c.text)
            .collect();
        assert!(
            all.contains("Title")
                && all.contains("One & two")
                && !all.contains("bad")
                && !all.contains("p{}")
        );
    }
}
