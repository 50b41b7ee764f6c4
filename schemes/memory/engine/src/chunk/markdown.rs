//! Markdown: top-level blocks as CommonMark sees them; headings open sections and are remembered as a path.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::Block;

pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut out: Vec<Block> = Vec::new();
    let mut path: Vec<(HeadingLevel, String)> = Vec::new();
    let mut depth = 0usize;
    let mut in_heading: Option<(HeadingLevel, String)> = None;
    let mut covered = 0;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match &event {
            Event::Start(tag) => {
                if depth == 0 {
                    let heading = if let Tag::Heading { level, .. } = tag {
                        Some(*level)
                    } else {
                        None
                    };
                    if let Some(level) = heading {
                        path.retain(|(above, _)| *above < level);
                        in_heading = Some((level, String::new()));
                    }
                    let start = border(text, range.start.max(covered));
                    add(
                        &mut out,
                        text,
                        &mut covered,
                        start,
                        range.end,
                        heading.is_some(),
                        &path,
                    );
                }
                depth += 1;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                if let TagEnd::Heading(_) = end
                    && let Some((level, title)) = in_heading.take()
                {
                    path.push((level, title.trim().to_owned()));
                    if let Some(block) = out.last_mut() {
                        block.heading = joined(&path);
                    }
                }
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some((_, title)) = &mut in_heading {
                    title.push_str(part);
                }
            }
            _ if depth == 0 => {
                let start = border(text, range.start.max(covered));
                add(&mut out, text, &mut covered, start, range.end, false, &path);
            }
            _ => {}
        }
    }
    // Link definitions and whatever else gives no event still belong to the document.
    out.push(Block {
        start: covered,
        end: text.len(),
        opens_section: false,
        heading: joined(&path),
    });
    out
}

fn border(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Adds a block, with the text since the last block (which no event covered) before it.
fn add(
    out: &mut Vec<Block>,
    text: &str,
    covered: &mut usize,
    start: usize,
    end: usize,
    opens_section: bool,
    path: &[(HeadingLevel, String)],
) {
    let end = border(text, end);
    let start = start.max(*covered);
    if *covered < start {
        let heading = joined(path);
        out.push(Block {
            start: *covered,
            end: start,
            opens_section: false,
            heading,
        });
    }
    if start < end {
        out.push(Block {
            start,
            end,
            opens_section,
            heading: joined(path),
        });
        *covered = end;
    }
}

fn joined(path: &[(HeadingLevel, String)]) -> String {
    path.iter()
        .map(|(_, title)| &title[..])
        .collect::<Vec<_>>()
        .join(" > ")
}
