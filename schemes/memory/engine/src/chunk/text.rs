//! Plain text: paragraphs are separated by empty lines; man-page style capital headings open sections.

use super::Block;

pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut out = Vec::new();
    let mut heading = String::new();
    let mut start = 0;
    let mut at = 0;
    let mut opens = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if is_heading(line, trimmed) {
            out.push(Block {
                start,
                end: at,
                opens_section: opens,
                heading: heading.clone(),
            });
            (start, opens) = (at, true);
            trimmed.clone_into(&mut heading);
        } else if trimmed.is_empty() {
            let end = at + line.len();
            out.push(Block {
                start,
                end,
                opens_section: opens,
                heading: heading.clone(),
            });
            (start, opens) = (end, false);
        }
        at += line.len();
    }
    out.push(Block {
        start,
        end: text.len(),
        opens_section: opens,
        heading,
    });
    out
}

/// `SYNOPSIS` at the margin, as man pages have it.
fn is_heading(line: &str, trimmed: &str) -> bool {
    let is_capital = |c: char| c.is_ascii_uppercase() || c == ' ' || c == '-';
    (3..=40).contains(&trimmed.len())
        && line.starts_with(|c: char| c.is_ascii_uppercase())
        && trimmed.chars().all(is_capital)
}
