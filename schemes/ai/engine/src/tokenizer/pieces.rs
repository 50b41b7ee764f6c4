//! How byte-level vocabularies write bytes as letters, and how they cut text before merging.
//!
//! The cuts are the regular expressions of GPT-2, Llama 3 and Qwen 2, written out: a piece is a contraction, a run of
//! letters with one leading blank or symbol, a run of digits, a run of symbols, or blanks.

/// How a family of models cuts text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cuts {
    /// Contractions in any case (`'LL`), and a letter run may lead with any one symbol, not only a blank.
    pub modern: bool,
    /// Digits in one piece at most; 0 for any number.
    pub digits: usize,
    /// Symbols take the line ends behind them, and line ends stand apart from blanks.
    pub lines: bool,
    /// Every digit stands alone, whatever stands before it (SmolLM, StarCoder).
    pub single_digits_first: bool,
}

pub(super) const GPT2: Cuts = Cuts {
    modern: false,
    digits: 0,
    lines: false,
    single_digits_first: false,
};
pub(super) const LLAMA3: Cuts = Cuts {
    modern: true,
    digits: 3,
    lines: true,
    single_digits_first: false,
};
pub(super) const QWEN2: Cuts = Cuts {
    modern: true,
    digits: 1,
    lines: true,
    single_digits_first: false,
};
pub(super) const SMOLLM: Cuts = Cuts {
    modern: false,
    digits: 1,
    lines: false,
    single_digits_first: true,
};

fn byte_letter(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        0..=b' ' => char::from_u32(0x100 + u32::from(byte)).unwrap_or(' '),
        0x7f..=0xa0 => char::from_u32(0x121 + u32::from(byte - 0x7f)).unwrap_or(' '),
        0xad => '\u{143}',
    }
}

fn letter_byte(letter: char) -> Option<u8> {
    match letter as u32 {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121) as u8 + 0x7f),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// How a byte-level vocabulary writes these bytes.
pub fn bytes_to_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| byte_letter(*byte)).collect()
}

/// The bytes that a token of a byte-level vocabulary stands for. Letters outside the alphabet stay as they are.
pub(super) fn text_to_bytes(text: &[u8]) -> Vec<u8> {
    let Ok(text) = core::str::from_utf8(text) else {
        return text.to_vec();
    };
    let mut out = Vec::with_capacity(text.len());
    for letter in text.chars() {
        match letter_byte(letter) {
            Some(byte) => out.push(byte),
            None => out.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    out
}

/// Cuts a text into pieces and calls `each` for one after the other.
pub(super) fn cut<'a>(cuts: Cuts, text: &'a str, mut each: impl FnMut(&'a str)) {
    let mut rest = text;
    while !rest.is_empty() {
        let len = next(cuts, rest).clamp(1, rest.len());
        // `next` counts whole characters; the clamp only guards the loop.
        let len = (len..=rest.len())
            .find(|len| rest.is_char_boundary(*len))
            .unwrap_or(rest.len());
        let (piece, after) = rest.split_at(len);
        each(piece);
        rest = after;
    }
}

fn run(text: &str, limit: usize, of: impl Fn(char) -> bool) -> usize {
    let limit = if limit == 0 { usize::MAX } else { limit };
    text.chars()
        .take(limit)
        .take_while(|letter| of(*letter))
        .map(char::len_utf8)
        .sum()
}

fn is_digit(letter: char) -> bool {
    letter.is_numeric()
}

fn is_symbol(letter: char) -> bool {
    !letter.is_alphabetic() && !letter.is_numeric() && !letter.is_whitespace()
}

/// Bytes of the first piece.
fn next(cuts: Cuts, text: &str) -> usize {
    let mut letters = text.chars();
    let (Some(first), second) = (letters.next(), letters.next()) else {
        return 0;
    };
    if let Some(len) = contraction(cuts, text) {
        return len;
    }
    if cuts.single_digits_first && is_digit(first) {
        return first.len_utf8();
    }
    // A run of letters, with what may lead it.
    let leads = if cuts.modern {
        !matches!(first, '\r' | '\n') && !first.is_alphabetic() && !is_digit(first)
    } else {
        first == ' '
    };
    let lead = if leads && second.is_some_and(char::is_alphabetic) {
        first.len_utf8()
    } else {
        0
    };
    if lead > 0 || first.is_alphabetic() {
        return lead + run(&text[lead..], 0, char::is_alphabetic);
    }
    // Digits; the older cuts let a blank lead them.
    let lead = usize::from(
        !cuts.modern && !cuts.single_digits_first && first == ' ' && second.is_some_and(is_digit),
    );
    if lead > 0 || is_digit(first) {
        return lead + run(&text[lead..], cuts.digits, is_digit);
    }
    // Symbols, with a leading blank.
    let lead = usize::from(first == ' ' && second.is_some_and(is_symbol));
    if lead > 0 || is_symbol(first) {
        let len = lead + run(&text[lead..], 0, is_symbol);
        let lines = if cuts.lines {
            run(&text[len..], 0, |letter| matches!(letter, '\r' | '\n'))
        } else {
            0
        };
        return len + lines;
    }
    blanks(cuts, text)
}

/// A run of blanks: up to its last line end, or all but the last blank where a word follows.
fn blanks(cuts: Cuts, text: &str) -> usize {
    let len = run(text, 0, char::is_whitespace);
    if cuts.lines
        && let Some(end) = text[..len].rfind(['\r', '\n'])
    {
        return end + 1;
    }
    let last = text[..len].chars().next_back().map_or(0, char::len_utf8);
    if len < text.len() && len > last {
        len - last
    } else {
        len
    }
}

fn contraction(cuts: Cuts, text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    ["s", "t", "re", "ve", "m", "ll", "d"]
        .into_iter()
        .find(|ending| {
            rest.get(..ending.len()).is_some_and(|start| {
                start == *ending || cuts.modern && start.eq_ignore_ascii_case(ending)
            })
        })
        .map(|ending| 1 + ending.len())
}
