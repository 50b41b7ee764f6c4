//! Tokens to text as they come: only whole characters leave.

/// Holds back the bytes of an unfinished character.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    held: Vec<u8>,
}

impl Decoder {
    /// Takes some bytes and gives the text that is whole now. Bytes that can never become a character turn into
    /// U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            match core::str::from_utf8(&self.held) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.held.clear();
                    return text;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text.push_str(core::str::from_utf8(&self.held[..valid]).unwrap_or_default());
                    let Some(bad) = error.error_len() else {
                        self.held.drain(..valid);
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.held.drain(..valid + bad);
                }
            }
        }
    }

    /// The end: what was held back can no longer become whole.
    pub fn finish(&mut self) -> String {
        let held = core::mem::take(&mut self.held);
        String::from_utf8_lossy(&held).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_in_pieces_comes_out_whole() {
        let mut decoder = Decoder::default();
        let bytes = "a€𝄞z".as_bytes();
        let text: Vec<String> = bytes.iter().map(|byte| decoder.push(&[*byte])).collect();
        assert_eq!(text.concat(), "a€𝄞z");
        assert!(
            text.iter()
                .all(|text| !text.contains(char::REPLACEMENT_CHARACTER))
        );
        assert_eq!(decoder.push(&[0xff, b'x']), "\u{fffd}x");
        assert_eq!(decoder.push(&[0xe2]), "");
        assert_eq!(decoder.finish(), "\u{fffd}");
    }
}
