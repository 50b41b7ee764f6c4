//! From text to the words that text search knows, and estimates of model tokens.
//!
//! A word is a run of letters, digits and `_`, in lower case, with English plural endings taken off (Harman's
//! S-stemmer). A name like `read_file` or `readFile` also gives its parts. The same function makes the words of documents
//! and of questions.

/// Longest word kept; longer runs are data, not language.
const WORD_BYTES: usize = 64;

/// Calls `put` with every word of `text`.
pub fn words(text: &str, mut put: impl FnMut(&str)) {
    let mut buffer = String::new();
    for run in text.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
        if run.is_empty() || run.len() > WORD_BYTES {
            continue;
        }
        let is_name = run.contains('_') || has_inner_capital(run);
        if is_name {
            for part in parts(run) {
                emit(part, &mut buffer, &mut put);
            }
        }
        emit(run, &mut buffer, &mut put);
    }
}

fn has_inner_capital(run: &str) -> bool {
    run.as_bytes()
        .windows(2)
        .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

fn parts(run: &str) -> impl Iterator<Item = &str> {
    run.split('_').flat_map(|part| {
        let bytes = part.as_bytes();
        let cuts = (1..bytes.len())
            .filter(|&i| bytes[i - 1].is_ascii_lowercase() && bytes[i].is_ascii_uppercase());
        let mut start = 0;
        let ends: Vec<usize> = cuts.chain([bytes.len()]).collect();
        ends.into_iter().map(move |end| {
            let piece = &part[start..end];
            start = end;
            piece
        })
    })
}

fn emit(run: &str, buffer: &mut String, put: &mut impl FnMut(&str)) {
    buffer.clear();
    if run.is_ascii() {
        buffer.push_str(run);
        buffer.make_ascii_lowercase();
    } else {
        buffer.extend(run.chars().flat_map(char::to_lowercase));
    }
    strip_plural(buffer);
    if !buffer.is_empty() {
        put(buffer);
    }
}

fn strip_plural(word: &mut String) {
    if word.len() < 4 || !word.ends_with('s') {
        return;
    }
    let ends = |list: &[&str]| list.iter().any(|ending| word.ends_with(ending));
    if ends(&["ies"]) && !ends(&["eies", "aies"]) {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if !ends(&["us", "ss", "aes", "ees", "oes", "is"]) {
        word.pop();
    }
}

/// An estimate, on the high side for prose, of how many tokens a model's tokenizer makes of `text`.
pub fn estimate_tokens(text: &str) -> usize {
    let mut runs = 0usize;
    let mut signs = 0usize;
    let mut in_run = false;
    let mut run_bytes = 0usize;
    for c in text.chars() {
        if c.is_alphanumeric() {
            if !in_run {
                runs += 1;
            }
            in_run = true;
            run_bytes += c.len_utf8();
        } else {
            in_run = false;
            signs += usize::from(!c.is_whitespace());
        }
    }
    runs.max(run_bytes.div_ceil(4)) + runs / 4 + signs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        words(text, |word| out.push(word.to_owned()));
        out
    }

    #[test]
    fn words_are_lower_case_and_singular() {
        assert_eq!(
            all("Schemes, queries; glass!"),
            ["scheme", "query", "glass"]
        );
        assert_eq!(all("Größe ÄRGER"), ["größe", "ärger"]);
    }

    #[test]
    fn names_give_their_parts_too() {
        assert_eq!(
            all("read_file openAt"),
            ["read", "file", "read_file", "open", "at", "openat"]
        );
    }

    #[test]
    fn token_estimate_is_near_a_word_and_a_quarter() {
        let text = "The quick brown fox jumps over the lazy dog near the river bank today.";
        assert!((14..=24).contains(&estimate_tokens(text)));
    }
}
