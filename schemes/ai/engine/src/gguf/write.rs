//! The writer: version 3, alignment 32. Enough for the files that this project makes.

use crate::quant::Format;

/// Collects metadata and tensors; [`Writer::finish`] gives the file.
#[derive(Default)]
pub struct Writer {
    pairs: Vec<u8>,
    pair_count: u64,
    infos: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
}

const ALIGN: usize = 32;

impl Writer {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    fn key(&mut self, key: &str, kind: u32) {
        string(&mut self.pairs, key.as_bytes());
        self.pairs.extend(kind.to_le_bytes());
        self.pair_count += 1;
    }

    /// A text.
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        string(&mut self.pairs, value.as_bytes());
    }

    /// A whole number.
    pub fn number(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.pairs.extend(value.to_le_bytes());
    }

    /// A real number.
    pub fn real(&mut self, key: &str, value: f32) {
        self.key(key, 6);
        self.pairs.extend(value.to_le_bytes());
    }

    /// A truth value.
    pub fn flag(&mut self, key: &str, value: bool) {
        self.key(key, 7);
        self.pairs.push(value.into());
    }

    /// Strings.
    pub fn texts(&mut self, key: &str, values: impl IntoIterator<Item = Vec<u8>>) {
        let values: Vec<_> = values.into_iter().collect();
        self.key(key, 9);
        self.pairs.extend(8u32.to_le_bytes());
        self.pairs.extend((values.len() as u64).to_le_bytes());
        for value in values {
            string(&mut self.pairs, &value);
        }
    }

    /// Real numbers.
    pub fn numbers(&mut self, key: &str, values: &[f32]) {
        self.key(key, 9);
        self.pairs.extend(6u32.to_le_bytes());
        self.pairs.extend((values.len() as u64).to_le_bytes());
        self.pairs
            .extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// A tensor of `rows` rows of `cols` weights; `data` is already in `format`.
    ///
    /// # Panics
    /// Where `data` has not the size of such a tensor: a bug of the caller.
    pub fn tensor(&mut self, name: &str, format: Format, cols: usize, rows: usize, data: Vec<u8>) {
        assert_eq!(
            format.row_bytes(cols).map(|bytes| bytes * rows),
            Some(data.len()),
            "{name}"
        );
        string(&mut self.infos, name.as_bytes());
        let dims: &[usize] = if rows == 1 { &[cols] } else { &[cols, rows] };
        self.infos.extend((dims.len() as u32).to_le_bytes());
        for dim in dims {
            self.infos.extend((*dim as u64).to_le_bytes());
        }
        self.infos.extend(format.number().to_le_bytes());
        self.infos.extend((self.data.len() as u64).to_le_bytes());
        self.tensor_count += 1;
        self.data.extend(data);
        self.data.resize(self.data.len().next_multiple_of(ALIGN), 0);
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend(self.tensor_count.to_le_bytes());
        file.extend(self.pair_count.to_le_bytes());
        file.extend(self.pairs);
        file.extend(self.infos);
        file.resize(file.len().next_multiple_of(ALIGN), 0);
        file.extend(self.data);
        file
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}
