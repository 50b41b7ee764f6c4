//! The format language of `printf`. Pure: arguments come from a trait, output goes to a function.
//! <https://pubs.opengroup.org/onlinepubs/9799919799/functions/fprintf.html>, C locale, without wide characters and
//! numbered arguments.

use core::fmt::Write;

/// Where a conversion's values come from, in order.
pub trait Arguments {
    /// The next integer or pointer argument, as its register holds it.
    fn integer(&mut self) -> u64;
    /// The next `double`.
    fn double(&mut self) -> f64;
    /// The next C string, at most `limit` bytes of it.
    fn string(&mut self, limit: usize) -> &[u8];
    /// The next argument is where to store the count so far, as `size` bytes.
    fn store_count(&mut self, count: usize, size: usize);
}

/// A conversion that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFormat;

#[derive(Clone, Copy, Default)]
struct Spec {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    /// Bytes of an integer argument.
    size: usize,
}

/// Longest text of a number that is built before padding: `%f` of the largest double with some digits.
const NUMBER_MAX: usize = 512;
/// More digits than this are zeros anyway.
const PRECISION_MAX: usize = 128;

struct Number {
    bytes: [u8; NUMBER_MAX],
    len: usize,
}

impl Number {
    fn new() -> Number {
        Number {
            bytes: [0; NUMBER_MAX],
            len: 0,
        }
    }
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Number {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self
            .bytes
            .get_mut(self.len..self.len + text.len())
            .ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// Output with its count.
struct Out<'a> {
    put: &'a mut dyn FnMut(&[u8]),
    count: usize,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) {
        (self.put)(bytes);
        self.count += bytes.len();
    }

    fn repeat(&mut self, byte: u8, count: usize) {
        let block = [byte; 32];
        let mut left = count;
        while left > 0 {
            let len = left.min(block.len());
            self.put(&block[..len]);
            left -= len;
        }
    }

    /// Sign or prefix, then the digits, in a field.
    fn field(&mut self, spec: &Spec, prefix: &[u8], digits: &[u8], zeros: usize) {
        let len = prefix.len() + zeros + digits.len();
        let pad = spec.width.saturating_sub(len);
        if !spec.left && !spec.zero {
            self.repeat(b' ', pad);
        }
        self.put(prefix);
        if spec.zero && !spec.left {
            self.repeat(b'0', pad);
        }
        self.repeat(b'0', zeros);
        self.put(digits);
        if spec.left {
            self.repeat(b' ', pad);
        }
    }
}

/// Writes `format` with its arguments; returns how many bytes that made.
pub fn format(
    format: &[u8],
    arguments: &mut dyn Arguments,
    put: &mut dyn FnMut(&[u8]),
) -> Result<usize, BadFormat> {
    let mut out = Out { put, count: 0 };
    let mut rest = format;
    while let Some(percent) = rest.iter().position(|&byte| byte == b'%') {
        out.put(&rest[..percent]);
        rest = conversion(&rest[percent + 1..], arguments, &mut out)?;
    }
    out.put(rest);
    Ok(out.count)
}

fn conversion<'a>(
    mut rest: &'a [u8],
    arguments: &mut dyn Arguments,
    out: &mut Out<'_>,
) -> Result<&'a [u8], BadFormat> {
    let mut spec = Spec {
        size: 4,
        ..Spec::default()
    };
    loop {
        match rest.first() {
            Some(b'-') => spec.left = true,
            Some(b'+') => spec.plus = true,
            Some(b' ') => spec.space = true,
            Some(b'#') => spec.alternate = true,
            Some(b'0') => spec.zero = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    let (width, after) = number_or_star(rest, arguments);
    (spec.left, spec.width) = (spec.left || width < 0, width.unsigned_abs() as usize);
    rest = after;
    if let Some(after) = rest.strip_prefix(b".") {
        let (precision, after) = number_or_star(after, arguments);
        spec.precision = usize::try_from(precision).ok();
        rest = after;
    }
    (spec.size, rest) = length(rest);
    let (&letter, rest) = rest.split_first().ok_or(BadFormat)?;
    convert(letter, &mut spec, arguments, out)?;
    Ok(rest)
}

fn number_or_star<'a>(text: &'a [u8], arguments: &mut dyn Arguments) -> (i32, &'a [u8]) {
    if let Some(rest) = text.strip_prefix(b"*") {
        return (arguments.integer() as i32, rest);
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = text[..digits].iter().fold(0i32, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(i32::from(digit - b'0'))
    });
    (value, &text[digits..])
}

fn length(text: &[u8]) -> (usize, &[u8]) {
    for (name, size) in [
        (&b"hh"[..], 1),
        (b"h", 2),
        (b"ll", 8),
        (b"l", 8),
        (b"j", 8),
        (b"z", 8),
        (b"t", 8),
        (b"L", 16),
    ] {
        if let Some(rest) = text.strip_prefix(name) {
            return (size, rest);
        }
    }
    (4, text)
}

fn convert(
    letter: u8,
    spec: &mut Spec,
    arguments: &mut dyn Arguments,
    out: &mut Out<'_>,
) -> Result<(), BadFormat> {
    match letter {
        b'd' | b'i' => {
            let shift = 64 - 8 * spec.size.min(8) as u32;
            let value = ((arguments.integer() << shift) as i64) >> shift;
            let sign = sign(value < 0, spec);
            integer(out, spec, sign, value.unsigned_abs(), 10, false);
        }
        b'u' | b'o' | b'x' | b'X' => {
            let shift = 64 - 8 * spec.size.min(8) as u32;
            let value = (arguments.integer() << shift) >> shift;
            let (base, prefix): (u64, &[u8]) = match letter {
                b'u' => (10, b""),
                b'o' => (8, b""),
                b'x' => (16, b"0x"),
                _ => (16, b"0X"),
            };
            let prefix = if spec.alternate && value != 0 {
                prefix
            } else {
                b""
            };
            integer(out, spec, prefix, value, base, letter == b'X');
        }
        b'p' => {
            let value = arguments.integer();
            integer(out, spec, b"0x", value, 16, false);
        }
        b'c' => {
            spec.zero = false;
            let byte = arguments.integer() as u8;
            out.field(spec, b"", &[byte], 0);
        }
        b's' => {
            spec.zero = false;
            let text = arguments.string(spec.precision.unwrap_or(usize::MAX));
            out.field(spec, b"", text, 0);
        }
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => {
            // `long double` is passed in memory and not supported.
            if spec.size == 16 {
                return Err(BadFormat);
            }
            let value = arguments.double();
            float(out, spec, letter, value);
        }
        b'n' => arguments.store_count(out.count, spec.size),
        b'%' => out.put(b"%"),
        _ => return Err(BadFormat),
    }
    Ok(())
}

fn sign(negative: bool, spec: &Spec) -> &'static [u8] {
    match (negative, spec.plus, spec.space) {
        (true, ..) => b"-",
        (_, true, _) => b"+",
        (_, _, true) => b" ",
        _ => b"",
    }
}

fn integer(out: &mut Out<'_>, spec: &mut Spec, prefix: &[u8], value: u64, base: u64, upper: bool) {
    let mut digits = [0u8; 24];
    let mut at = digits.len();
    let mut rest = value;
    while rest > 0 {
        at -= 1;
        let digit = (rest % base) as u32;
        let letter = char::from_digit(digit, base as u32).map_or(b'?', |letter| letter as u8);
        digits[at] = if upper {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        rest /= base;
    }
    let digits = &digits[at..];
    if spec.precision.is_some() {
        spec.zero = false;
    }
    let mut zeros = spec.precision.unwrap_or(1).saturating_sub(digits.len());
    if base == 8 && spec.alternate && zeros == 0 {
        zeros = 1;
    }
    out.field(spec, prefix, digits, zeros);
}

fn float(out: &mut Out<'_>, spec: &mut Spec, letter: u8, value: f64) {
    let sign = sign(value.is_sign_negative(), spec);
    let value = value.abs();
    let upper = letter.is_ascii_uppercase();
    if !value.is_finite() {
        spec.zero = false;
        let word: &[u8] = match (value.is_nan(), upper) {
            (true, false) => b"nan",
            (true, true) => b"NAN",
            (false, false) => b"inf",
            (false, true) => b"INF",
        };
        return out.field(spec, sign, word, 0);
    }
    let precision = spec.precision.unwrap_or(6).min(PRECISION_MAX);
    let mut number = Number::new();
    // The buffer holds every double with this many digits, so writing cannot fail.
    let _ = match letter.to_ascii_lowercase() {
        b'f' => write_fixed(&mut number, value, precision, spec.alternate),
        b'e' => write_exponent(&mut number, value, precision, upper, spec.alternate),
        _ => write_shorter(&mut number, value, precision.max(1), upper, spec.alternate),
    };
    out.field(spec, sign, number.as_bytes(), 0);
}

fn write_fixed(out: &mut Number, value: f64, precision: usize, point: bool) -> core::fmt::Result {
    write!(out, "{value:.precision$}")?;
    if point && precision == 0 {
        out.write_str(".")
    } else {
        Ok(())
    }
}

/// Rust writes `1.5e3`; C wants at least two digits and the sign of the exponent.
fn write_exponent(
    out: &mut Number,
    value: f64,
    precision: usize,
    upper: bool,
    point: bool,
) -> core::fmt::Result {
    let mut text = Number::new();
    write!(text, "{value:.precision$e}")?;
    let bytes = text.as_bytes();
    let at = bytes
        .iter()
        .position(|&byte| byte == b'e')
        .unwrap_or(bytes.len());
    let exponent = exponent_of(bytes);
    out.write_str(core::str::from_utf8(&bytes[..at]).unwrap_or("?"))?;
    if point && precision == 0 {
        out.write_str(".")?;
    }
    let (letter, sign) = (
        if upper { 'E' } else { 'e' },
        if exponent < 0 { '-' } else { '+' },
    );
    write!(out, "{letter}{sign}{:02}", exponent.unsigned_abs())
}

fn exponent_of(text: &[u8]) -> i32 {
    let at = text
        .iter()
        .position(|&byte| byte == b'e')
        .map_or(text.len(), |at| at + 1);
    core::str::from_utf8(&text[at..])
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// `%g`: the shorter of both forms, without trailing zeros.
fn write_shorter(
    out: &mut Number,
    value: f64,
    precision: usize,
    upper: bool,
    keep_zeros: bool,
) -> core::fmt::Result {
    let mut text = Number::new();
    write!(text, "{value:.0$e}", precision - 1)?;
    let exponent = exponent_of(text.as_bytes());
    let fixed = (-4..precision as i32).contains(&exponent);
    let mut text = Number::new();
    if fixed {
        let digits = (precision as i32 - 1 - exponent) as usize;
        write_fixed(&mut text, value, digits, keep_zeros)?;
    } else {
        write_exponent(&mut text, value, precision - 1, upper, keep_zeros)?;
    }
    let bytes = text.as_bytes();
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, b'e' | b'E'))
        .unwrap_or(bytes.len());
    let mut mantissa = &bytes[..end];
    if !keep_zeros && mantissa.contains(&b'.') {
        while let Some(rest) = mantissa.strip_suffix(b"0") {
            mantissa = rest;
        }
        mantissa = mantissa.strip_suffix(b".").unwrap_or(mantissa);
    }
    out.write_str(core::str::from_utf8(mantissa).unwrap_or("?"))?;
    out.write_str(core::str::from_utf8(&bytes[end..]).unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Value {
        Integer(u64),
        Double(f64),
        Text(&'static [u8]),
    }
    use Value::*;

    struct List(std::vec::IntoIter<Value>, usize);

    impl Arguments for List {
        fn integer(&mut self) -> u64 {
            match self.0.next() {
                Some(Integer(value)) => value,
                _ => panic!("no integer"),
            }
        }
        fn double(&mut self) -> f64 {
            match self.0.next() {
                Some(Double(value)) => value,
                _ => panic!("no double"),
            }
        }
        fn string(&mut self, limit: usize) -> &[u8] {
            match self.0.next() {
                Some(Text(text)) => &text[..text.len().min(limit)],
                _ => panic!("no string"),
            }
        }
        fn store_count(&mut self, count: usize, _size: usize) {
            self.1 = count;
        }
    }

    fn print(text: &str, values: Vec<Value>) -> String {
        let mut bytes = Vec::new();
        let mut list = List(values.into_iter(), 0);
        let count = format(text.as_bytes(), &mut list, &mut |part| {
            bytes.extend_from_slice(part)
        });
        assert_eq!(count, Ok(bytes.len()));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn integers_follow_flags_width_and_precision() {
        assert_eq!(
            print(
                "[%d %5d %-5d %05d %+d]",
                vec![Integer(1), Integer(2), Integer(3), Integer(4), Integer(5)]
            ),
            "[1     2 3     00004 +5]"
        );
        assert_eq!(
            print(
                "%d %ld %hhd",
                vec![Integer(0xFFFF_FFFF), Integer(u64::MAX), Integer(0x180)]
            ),
            "-1 -1 -128"
        );
        assert_eq!(
            print(
                "%x %#X %o %#o %u",
                vec![
                    Integer(255),
                    Integer(255),
                    Integer(8),
                    Integer(8),
                    Integer(u64::MAX)
                ]
            ),
            "ff 0XFF 10 010 4294967295"
        );
        assert_eq!(
            print(
                "[%.3d] [%8.3d] [%.0d] [%*d]",
                vec![Integer(7), Integer(7), Integer(0), Integer(4), Integer(9)]
            ),
            "[007] [     007] [] [   9]"
        );
        assert_eq!(
            print("%p %c%%", vec![Integer(4096), Integer(65)]),
            "0x1000 A%"
        );
    }

    #[test]
    fn strings_are_cut_and_padded() {
        assert_eq!(
            print(
                "[%s] [%6s] [%-6s] [%.2s]",
                vec![Text(b"abc"), Text(b"abc"), Text(b"abc"), Text(b"abc")]
            ),
            "[abc] [   abc] [abc   ] [ab]"
        );
    }

    #[test]
    fn doubles_are_written_as_in_c() {
        assert_eq!(
            print(
                "%f %.2f %.0f %#.0f",
                vec![Double(1.5), Double(2.345), Double(2.5), Double(3.0)]
            ),
            "1.500000 2.35 2 3."
        );
        assert_eq!(
            print(
                "%e %.2E %g %g %g",
                vec![
                    Double(1234.5),
                    Double(0.00012),
                    Double(0.0001),
                    Double(1e10),
                    Double(100000.0)
                ]
            ),
            "1.234500e+03 1.20E-04 0.0001 1e+10 100000"
        );
        assert_eq!(
            print(
                "%g %#g %G %8.3f|%-8.1f|%+.1f",
                vec![
                    Double(0.5),
                    Double(0.5),
                    Double(1e-7),
                    Double(3.1239),
                    Double(2.0),
                    Double(1.0)
                ]
            ),
            "0.5 0.500000 1E-07    3.124|2.0     |+1.0"
        );
        assert_eq!(
            print(
                "%f %F %5g",
                vec![
                    Double(f64::INFINITY),
                    Double(f64::NAN),
                    Double(f64::NEG_INFINITY)
                ]
            ),
            "inf NAN  -inf"
        );
    }

    #[test]
    fn a_conversion_that_does_not_exist_is_an_error() {
        let mut list = List(Vec::new().into_iter(), 0);
        assert_eq!(format(b"%y", &mut list, &mut |_| {}), Err(BadFormat));
        assert_eq!(format(b"%", &mut list, &mut |_| {}), Err(BadFormat));
    }
}
