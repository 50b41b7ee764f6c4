//! Source code of any language: a block ends before a line at the margin that follows an empty line or a closing brace,
//! so functions and their comments stay together.

use super::Block;

pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut out = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut may_end = false;
    for line in text.split_inclusive('\n') {
        let at_margin = line.starts_with(|c: char| !c.is_whitespace() && !"})]".contains(c));
        if may_end && at_margin {
            out.push(block(text, start, at));
            start = at;
        }
        may_end = line.trim().is_empty() || line.starts_with('}') || (may_end && !at_margin);
        at += line.len();
    }
    out.push(block(text, start, text.len()));
    out
}

/// The first line that is not a comment names the block.
fn block(text: &str, start: usize, end: usize) -> Block {
    let is_comment = |line: &&str| {
        ["//", "#", "/*", "*", "--", "\"\"\""]
            .iter()
            .any(|c| line.starts_with(c))
    };
    let mut lines = text[start..end]
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let heading = lines
        .find(|line| !is_comment(line))
        .unwrap_or("")
        .trim_end_matches('{')
        .trim();
    let heading = if heading.len() <= 120 {
        heading.to_owned()
    } else {
        String::new()
    };
    Block {
        start,
        end,
        opens_section: false,
        heading,
    }
}
