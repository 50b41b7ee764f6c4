//! A prompt context that fits a budget: the best passages, each with its source, without repetition.
//!
//! Passages come ranked, with their texts. One that says the same as an earlier one (same text, or a cosine above
//! [`limits::CONTEXT_SAME_COSINE`]) is left out; passages that touch in one document become one part; parts are added
//! best first while they fit, and a part that does not fit is passed over for smaller ones after it.

use crate::limits;

/// A ranked passage with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Where it is from: collection and path.
    pub source: String,
    /// First byte in the document.
    pub start: u32,
    /// Byte after its last.
    pub end: u32,
    /// Its text.
    pub text: String,
    /// Its vector, if it has one.
    pub vector: Option<Vec<f32>>,
    /// How well it fits; larger is better.
    pub score: f32,
}

/// A piece of the context.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Where it is from.
    pub source: String,
    /// First byte in the document.
    pub start: u32,
    /// Byte after its last.
    pub end: u32,
    /// Its text.
    pub text: String,
    /// Tokens with its heading line.
    pub tokens: usize,
    /// Score of its best passage.
    pub score: f32,
}

/// The line in front of a part's text.
pub fn heading(source: &str, start: u32, end: u32) -> String {
    format!("[{source} {start}-{end}]\n")
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 {
        dot(a, b) / lengths
    } else {
        0.0
    }
}

fn says_the_same(a: &Passage, b: &Passage) -> bool {
    let same_vector = match (&a.vector, &b.vector) {
        (Some(a), Some(b)) if a.len() == b.len() => cosine(a, b) >= limits::CONTEXT_SAME_COSINE,
        _ => false,
    };
    let overlap = a.source == b.source && a.start < b.end && b.start < a.end;
    a.text == b.text || same_vector || overlap
}

/// Chooses and joins passages; `count` counts tokens.
pub fn assemble(passages: &[Passage], budget: usize, count: impl Fn(&str) -> usize) -> Vec<Part> {
    let cost =
        |part: &Part| count(&heading(&part.source, part.start, part.end)) + count(&part.text);
    let mut used: Vec<&Passage> = Vec::new();
    let mut parts: Vec<Part> = Vec::new();
    let mut total = 0;
    for passage in passages {
        if used.iter().any(|other| says_the_same(passage, other)) {
            continue;
        }
        let touching = parts.iter().position(|part| {
            part.source == passage.source
                && (part.end == passage.start || passage.end == part.start)
        });
        let mut part = match touching {
            Some(at) => joined(&parts[at], passage),
            None => Part {
                source: passage.source.clone(),
                start: passage.start,
                end: passage.end,
                text: passage.text.clone(),
                tokens: 0,
                score: passage.score,
            },
        };
        part.tokens = cost(&part);
        let before = touching.map_or(0, |at| parts[at].tokens);
        if total - before + part.tokens > budget {
            continue;
        }
        total = total - before + part.tokens;
        used.push(passage);
        match touching {
            Some(at) => parts[at] = part,
            None => parts.push(part),
        }
    }
    parts
}

fn joined(part: &Part, passage: &Passage) -> Part {
    let after = part.end == passage.start;
    let (first, second) = if after {
        (&part.text, &passage.text)
    } else {
        (&passage.text, &part.text)
    };
    Part {
        start: part.start.min(passage.start),
        end: part.end.max(passage.end),
        text: format!("{first}\n{second}"),
        ..part.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::estimate_tokens;
    use proptest::prelude::*;

    fn passage(source: &str, start: u32, text: &str) -> Passage {
        let end = start + text.len() as u32;
        Passage {
            source: source.into(),
            start,
            end,
            text: text.into(),
            vector: None,
            score: 1.0,
        }
    }

    #[test]
    fn repetition_is_left_out_and_neighbours_are_joined() {
        let passages = [
            passage("a", 0, "one two"),
            passage("b", 5, "one two"),
            passage("a", 7, "three"),
        ];
        let parts = assemble(&passages, 1000, estimate_tokens);
        assert_eq!(parts.len(), 1);
        assert_eq!(
            (parts[0].start, parts[0].end, &parts[0].text[..]),
            (0, 12, "one two\nthree")
        );
    }

    proptest! {
        #[test]
        fn the_budget_is_never_passed(
            texts in prop::collection::vec(("[ab]", 0u32..50, "[a-z ]{1,60}"), 0..20), budget in 0usize..200,
        ) {
            let passages: Vec<Passage> = texts.iter().map(|(s, at, t)| passage(s, *at, t)).collect();
            let parts = assemble(&passages, budget, estimate_tokens);
            let whole: usize = parts.iter().map(|p| {
                estimate_tokens(&heading(&p.source, p.start, p.end)) + estimate_tokens(&p.text)
            }).sum();
            prop_assert!(whole <= budget);
            if let (Some(first), true) = (passages.first(), budget >= 200) {
                prop_assert_eq!(&parts[0].source, &first.source);
            }
        }
    }
}
