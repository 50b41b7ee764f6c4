//! The reader. `Cursor` is the only thing that touches the bytes, and it never goes past their end.

use super::{Gguf, TensorInfo, Value};
use crate::error::{Error, Result};
use crate::limits;
use crate::quant::Format;

/// Types of metadata values in the file.
mod kind {
    pub(super) const U8: u32 = 0;
    pub(super) const I8: u32 = 1;
    pub(super) const U16: u32 = 2;
    pub(super) const I16: u32 = 3;
    pub(super) const U32: u32 = 4;
    pub(super) const I32: u32 = 5;
    pub(super) const F32: u32 = 6;
    pub(super) const BOOL: u32 = 7;
    pub(super) const TEXT: u32 = 8;
    pub(super) const ARRAY: u32 = 9;
    pub(super) const U64: u32 = 10;
    pub(super) const I64: u32 = 11;
    pub(super) const F64: u32 = 12;
}

struct Cursor<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Cursor<'a> {
    fn at(&self) -> usize {
        self.total - self.rest.len()
    }

    fn bytes(&mut self, count: u64, what: &str) -> Result<&'a [u8]> {
        let split = usize::try_from(count)
            .ok()
            .and_then(|count| self.rest.split_at_checked(count));
        let (head, rest) = split.ok_or_else(|| {
            Error::bad(format!(
                "the file ends at byte {} inside {what}",
                self.total
            ))
        })?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let bytes = self.bytes(N as u64, what)?;
        Ok(core::array::from_fn(|i| bytes[i]))
    }

    fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn count(&mut self, what: &str, limit: u64) -> Result<u64> {
        match self.u64(what)? {
            count if count <= limit => Ok(count),
            count => Err(Error::bad(format!("{what} is {count}, more than {limit}"))),
        }
    }

    fn string(&mut self, what: &str) -> Result<&'a [u8]> {
        let len = self.count(what, limits::GGUF_STRING_BYTES)?;
        self.bytes(len, what)
    }

    fn name(&mut self, what: &str) -> Result<String> {
        let bytes = self.string(what)?;
        let text = core::str::from_utf8(bytes);
        text.map(str::to_owned)
            .map_err(|_| Error::bad(format!("{what} is not UTF-8")))
    }

    fn value(&mut self, of: u32, key: &str, depth: u32) -> Result<Value> {
        Ok(match of {
            kind::U8 => Value::U64(self.array::<1>(key)?[0].into()),
            kind::I8 => Value::I64(i64::from(self.array::<1>(key)?[0] as i8)),
            kind::U16 => Value::U64(u16::from_le_bytes(self.array(key)?).into()),
            kind::I16 => Value::I64(i16::from_le_bytes(self.array(key)?).into()),
            kind::U32 => Value::U64(self.u32(key)?.into()),
            kind::I32 => Value::I64(i32::from_le_bytes(self.array(key)?).into()),
            kind::F32 => Value::F64(f32::from_le_bytes(self.array(key)?).into()),
            kind::BOOL => Value::Bool(self.array::<1>(key)?[0] != 0),
            kind::U64 => Value::U64(self.u64(key)?),
            kind::I64 => Value::I64(i64::from_le_bytes(self.array(key)?)),
            kind::F64 => Value::F64(f64::from_le_bytes(self.array(key)?)),
            kind::TEXT => {
                let bytes = self.string(key)?.to_vec();
                String::from_utf8(bytes)
                    .map_or_else(|error| Value::Bytes(error.into_bytes()), Value::Text)
            }
            kind::ARRAY if depth < limits::GGUF_DEPTH => self.list(key, depth + 1)?,
            kind::ARRAY => return Err(Error::bad(format!("{key} nests arrays too deep"))),
            other => return Err(Error::bad(format!("{key} has the unknown type {other}"))),
        })
    }

    fn list(&mut self, key: &str, depth: u32) -> Result<Value> {
        let of = self.u32(key)?;
        let count = self.count(key, limits::GGUF_ARRAY)?;
        // Every element takes at least a byte of the file, so a huge count in a small file ends here.
        if count > self.rest.len() as u64 {
            return Err(Error::bad(format!(
                "{key} has {count} elements, more than the file has bytes"
            )));
        }
        if of == kind::TEXT {
            let texts = (0..count).map(|_| self.string(key).map(<[u8]>::to_vec));
            return Ok(Value::Texts(texts.collect::<Result<_>>()?));
        }
        if of == kind::ARRAY {
            let lists = (0..count).map(|_| self.value(of, key, depth));
            return Ok(Value::Array(lists.collect::<Result<_>>()?));
        }
        let numbers = (0..count).map(|_| {
            Ok(match self.value(of, key, depth)? {
                Value::U64(value) => value as f64,
                Value::I64(value) => value as f64,
                Value::F64(value) => value,
                Value::Bool(value) => f64::from(u8::from(value)),
                _ => return Err(Error::bad(format!("{key} mixes types"))),
            })
        });
        Ok(Value::Numbers(numbers.collect::<Result<_>>()?))
    }
}

pub(super) fn read(file: &[u8]) -> Result<Gguf> {
    let mut cursor = Cursor {
        rest: file,
        total: file.len(),
    };
    if &cursor.array::<4>("the magic number")? != b"GGUF" {
        return Err(Error::bad("the file does not begin with GGUF"));
    }
    let version = cursor.u32("the version")?;
    if !matches!(version, 2 | 3) {
        return Err(Error::Unsupported(format!("GGUF version {version}")));
    }
    let tensors = cursor.count("the number of tensors", limits::GGUF_TENSORS)?;
    let pairs = cursor.count("the number of metadata pairs", limits::GGUF_PAIRS)?;

    let mut gguf = Gguf::default();
    for _ in 0..pairs {
        let key = cursor.name("a metadata key")?;
        let of = cursor.u32(&key)?;
        let value = cursor.value(of, &key, 0)?;
        if gguf.pairs.insert(key.clone(), value).is_some() {
            return Err(Error::bad(format!("{key} is given twice")));
        }
    }
    let mut infos = Vec::new();
    for _ in 0..tensors {
        infos.push(tensor_info(&mut cursor)?);
    }

    let align = gguf.number("general.alignment").unwrap_or(32);
    if !align.is_power_of_two() || align > 4096 {
        return Err(Error::bad(format!("general.alignment is {align}")));
    }
    let data = cursor.at().next_multiple_of(align as usize);
    for (name, mut info) in infos {
        let end = data.checked_add(info.offset).and_then(|start| {
            info.offset = start;
            start.checked_add(info.len)
        });
        if end.is_none_or(|end| end > file.len()) {
            return Err(Error::bad(format!(
                "tensor {name} lies beyond the end of the file"
            )));
        }
        if gguf.tensors.insert(name.clone(), info).is_some() {
            return Err(Error::bad(format!("tensor {name} is given twice")));
        }
    }
    Ok(gguf)
}

/// The architecture, from the first bytes of a file: writers put it first.
pub(super) fn architecture(head: &[u8]) -> Option<String> {
    let mut cursor = Cursor {
        rest: head,
        total: head.len(),
    };
    let magic = cursor.array::<4>("").ok()?;
    cursor.array::<12>("").ok()?;
    let pairs = cursor.count("", limits::GGUF_PAIRS).ok()?;
    for _ in 0..pairs {
        let key = cursor.name("").ok()?;
        let of = cursor.u32("").ok()?;
        let value = cursor.value(of, &key, 0).ok()?;
        if let ("general.architecture", Value::Text(text)) = (key.as_str(), value) {
            return (&magic == b"GGUF").then_some(text);
        }
    }
    None
}

fn tensor_info(cursor: &mut Cursor<'_>) -> Result<(String, TensorInfo)> {
    let name = cursor.name("a tensor name")?;
    let dims = cursor.u32(&name)?;
    if dims == 0 || dims > limits::TENSOR_DIMS {
        return Err(Error::bad(format!("tensor {name} has {dims} dimensions")));
    }
    let mut cols = 1;
    let mut rows = 1u64;
    for dim in 0..dims {
        let size = cursor.count(&name, limits::TENSOR_ELEMENTS)?;
        let target = if dim == 0 { &mut cols } else { &mut rows };
        *target = target.checked_mul(size).unwrap_or(u64::MAX);
    }
    let elements = cols
        .checked_mul(rows)
        .filter(|count| *count <= limits::TENSOR_ELEMENTS);
    if elements.is_none_or(|count| count == 0) {
        return Err(Error::bad(format!(
            "tensor {name} has the size {cols} x {rows}"
        )));
    }
    let number = cursor.u32(&name)?;
    let offset = cursor.u64(&name)?;
    let format = Format::from_number(number).ok_or_else(|| {
        Error::Unsupported(format!("tensor {name} has the element type {number}"))
    })?;
    let (cols, rows) = (cols as usize, rows as usize);
    let len = format
        .row_bytes(cols)
        .and_then(|row| row.checked_mul(rows))
        .ok_or_else(|| {
            Error::bad(format!(
                "tensor {name}: rows of {cols} do not fill blocks of {format:?}"
            ))
        })?;
    let offset = usize::try_from(offset)
        .map_err(|_| Error::bad(format!("tensor {name} has the offset {offset}")))?;
    Ok((
        name,
        TensorInfo {
            format,
            cols,
            rows,
            offset,
            len,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::Writer;

    fn sample() -> Vec<u8> {
        let mut writer = Writer::new();
        writer.text("general.architecture", "llama");
        writer.number("llama.block_count", 2);
        writer.real("llama.eps", 1e-5);
        writer.texts("tokens", ["a", "b"].map(|t| t.as_bytes().to_vec()));
        writer.numbers("scores", &[0.5, -1.0]);
        writer.tensor("w", Format::Q4_0, 64, 3, vec![7; 36 * 3]);
        writer.tensor("v", Format::F32, 5, 1, vec![1; 20]);
        writer.finish()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = sample();
        let gguf = Gguf::read(&file).unwrap();
        assert_eq!(gguf.text("general.architecture"), Some("llama"));
        assert_eq!(gguf.number("llama.block_count"), Some(2));
        assert_eq!(gguf.texts("tokens").unwrap().len(), 2);
        assert_eq!(gguf.numbers("scores"), Some(&[0.5, -1.0][..]));
        let info = &gguf.tensors["w"];
        assert_eq!((info.cols, info.rows, info.len), (64, 3, 108));
        assert!(
            file[info.offset..][..info.len]
                .iter()
                .all(|byte| *byte == 7)
        );
    }

    #[test]
    fn every_truncation_is_an_error_and_none_crashes() {
        let file = sample();
        // The last tensor is followed by padding only.
        for len in 0..file.len() - 12 {
            assert!(Gguf::read(&file[..len]).is_err(), "{len} bytes were enough");
        }
    }

    #[test]
    fn no_single_changed_byte_crashes_the_reader() {
        let file = sample();
        for at in 0..file.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut file = file.clone();
                file[at] = value;
                // Errors and other valid files are both fine.
                let _ = Gguf::read(&file);
            }
        }
    }

    #[test]
    fn huge_counts_are_refused_before_anything_is_allocated() {
        let mut head = b"GGUF".to_vec();
        head.extend(3u32.to_le_bytes());
        head.extend(u64::MAX.to_le_bytes());
        head.extend(0u64.to_le_bytes());
        assert!(
            matches!(Gguf::read(&head), Err(Error::BadModel(text)) if text.contains("tensors"))
        );
    }
}
