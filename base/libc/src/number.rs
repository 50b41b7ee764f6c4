//! Reading numbers from text as `strtol` and `strtod` do. Pure.
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/strtol.html>

/// What a text began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// The magnitude; `u64::MAX` when it did not fit.
    pub magnitude: u64,
    /// A minus sign came first.
    pub negative: bool,
    /// The magnitude did not fit.
    pub overflowed: bool,
    /// Bytes used; 0 when there was no number.
    pub len: usize,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Reads an integer; `base` 0 takes C's prefixes. `None` for a base that does not exist.
pub fn parse_integer(text: &[u8], base: u32) -> Option<Integer> {
    if base == 1 || base > 36 {
        return None;
    }
    let mut at = text.iter().take_while(|&&byte| is_space(byte)).count();
    let negative = text.get(at) == Some(&b'-');
    if matches!(text.get(at), Some(b'+' | b'-')) {
        at += 1;
    }
    let rest = &text[at..];
    let hex = rest.len() > 2
        && rest[0] == b'0'
        && rest[1] | 0x20 == b'x'
        && (rest[2] as char).is_ascii_hexdigit();
    let base = match base {
        0 if hex => 16,
        0 if rest.first() == Some(&b'0') => 8,
        0 => 10,
        base => base,
    };
    if base == 16 && hex {
        at += 2;
    }
    let start = at;
    let (mut magnitude, mut overflowed) = (0u64, false);
    while let Some(digit) = text.get(at).and_then(|&byte| (byte as char).to_digit(base)) {
        match magnitude
            .checked_mul(u64::from(base))
            .and_then(|value| value.checked_add(u64::from(digit)))
        {
            Some(value) => magnitude = value,
            None => overflowed = true,
        }
        at += 1;
    }
    let len = if at == start { 0 } else { at };
    Some(Integer {
        magnitude: if overflowed { u64::MAX } else { magnitude },
        negative,
        overflowed,
        len,
    })
}

/// Reads a decimal floating-point number; the value and the bytes used (0: there was none).
pub fn parse_float(text: &[u8]) -> (f64, usize) {
    let start = text.iter().take_while(|&&byte| is_space(byte)).count();
    let mut at = start + usize::from(matches!(text.get(start), Some(b'+' | b'-')));
    let rest = &text[at..];
    let word =
        |word: &[u8]| rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word);
    let special = [&b"infinity"[..], b"inf", b"nan"]
        .into_iter()
        .find(|name| word(name));
    if let Some(name) = special {
        at += name.len();
    } else {
        let digits = |from: usize| {
            text[from..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count()
        };
        let whole = digits(at);
        at += whole;
        let mut fraction = 0;
        if text.get(at) == Some(&b'.') {
            fraction = digits(at + 1);
            at += if whole + fraction > 0 {
                1 + fraction
            } else {
                0
            };
        }
        if whole + fraction == 0 {
            return (0.0, 0);
        }
        if matches!(text.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
            let exponent = text
                .get(at + 1 + sign..)
                .map_or(0, |_| digits(at + 1 + sign));
            at += if exponent > 0 { 1 + sign + exponent } else { 0 };
        }
    }
    let number = core::str::from_utf8(&text[start..at])
        .ok()
        .and_then(|text| text.parse().ok());
    number.map_or((0.0, 0), |value| (value, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(text: &str, base: u32) -> (u64, bool, usize) {
        let found = parse_integer(text.as_bytes(), base).unwrap();
        (found.magnitude, found.negative, found.len)
    }

    #[test]
    fn integers_stop_at_the_first_other_byte() {
        assert_eq!(integer(" 42x", 10), (42, false, 3));
        assert_eq!(integer("-0x1fg", 0), (31, true, 5));
        assert_eq!(integer("0xg", 0), (0, false, 1));
        assert_eq!(integer("0755", 0), (493, false, 4));
        assert_eq!(integer("zz", 36), (1295, false, 2));
        assert_eq!(integer("+", 10), (0, false, 0));
        assert_eq!(parse_integer(b"1", 1), None);
    }

    #[test]
    fn integers_that_do_not_fit_say_so() {
        let found = parse_integer(b"99999999999999999999", 10).unwrap();
        assert!(found.overflowed && found.magnitude == u64::MAX && found.len == 20);
    }

    #[test]
    fn floats_stop_at_the_first_other_byte() {
        assert_eq!(parse_float(b"3.5e2x"), (350.0, 5));
        assert_eq!(parse_float(b"  -.5"), (-0.5, 5));
        assert_eq!(parse_float(b"1e"), (1.0, 1));
        assert_eq!(parse_float(b"7."), (7.0, 2));
        assert_eq!(parse_float(b"."), (0.0, 0));
        assert_eq!(parse_float(b"-inf").0, f64::NEG_INFINITY);
    }
}
