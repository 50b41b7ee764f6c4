//! The initial stack of a program: argc, argv, envp, auxiliary vector, strings. Pure.

use alloc::vec::Vec;

use valence_abi::layout::auxv;

use crate::task::elf::{PROGRAM_HEADER_SIZE, Plan};

/// What goes on the stack.
#[derive(Debug, Default)]
pub struct Arguments {
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// `KEY=VALUE` strings.
    pub envp: Vec<Vec<u8>>,
    /// Bytes for the C library.
    pub libc_state: Vec<u8>,
    /// 16 random bytes.
    pub random: [u8; 16],
}

impl Arguments {
    /// Bytes the strings take.
    pub fn len(&self) -> usize {
        let strings = self
            .argv
            .iter()
            .chain(&self.envp)
            .map(|text| text.len() + 9)
            .sum::<usize>();
        strings + self.libc_state.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Builds the bytes that end at `top` (16-byte aligned) and the stack pointer to start with.
pub fn build(plan: &Plan, arguments: &Arguments, top: u64) -> (u64, Vec<u8>) {
    let mut strings: Vec<u8> = Vec::new();
    let mut place = |text: &[u8], terminated: bool| {
        let at = strings.len() as u64;
        strings.extend(text);
        if terminated {
            strings.push(0);
        }
        at
    };
    let argv: Vec<u64> = arguments
        .argv
        .iter()
        .map(|text| place(text, true))
        .collect();
    let envp: Vec<u64> = arguments
        .envp
        .iter()
        .map(|text| place(text, true))
        .collect();
    let state = place(&arguments.libc_state, false);
    let random = place(&arguments.random, false);
    let base = (top - strings.len() as u64) & !15;
    strings.resize((top - base) as usize, 0);
    let vector = [
        (auxv::PHDR, plan.headers_addr),
        (auxv::PHENT, PROGRAM_HEADER_SIZE as u64),
        (auxv::PHNUM, u64::from(plan.header_count)),
        (auxv::PAGESZ, valence_abi::PAGE_SIZE as u64),
        (auxv::ENTRY, plan.entry),
        (auxv::RANDOM, base + random),
        (auxv::LIBC_STATE, base + state),
        (auxv::LIBC_STATE_LEN, arguments.libc_state.len() as u64),
        (auxv::NULL, 0),
    ];
    let mut words = alloc::vec![argv.len() as u64];
    words.extend(argv.iter().map(|at| base + at));
    words.push(0);
    words.extend(envp.iter().map(|at| base + at));
    words.push(0);
    for (key, value) in vector {
        words.push(key as u64);
        words.push(value);
    }
    let sp = (base - words.len() as u64 * 8) & !15;
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend(word.to_le_bytes());
    }
    bytes.resize((base - sp) as usize, 0);
    bytes.extend(strings);
    (sp, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_what_a_c_start_reads() {
        let plan = Plan {
            entry: 1,
            headers_addr: 2,
            header_count: 3,
            segments: Vec::new(),
        };
        let arguments = Arguments {
            argv: alloc::vec![b"init".to_vec(), b"x".to_vec()],
            envp: alloc::vec![b"A=1".to_vec()],
            libc_state: b"state".to_vec(),
            random: [7; 16],
        };
        let top = 0x7000_0000;
        let (sp, bytes) = build(&plan, &arguments, top);
        assert_eq!((sp % 16, sp + bytes.len() as u64), (0, top));
        let word = |n: usize| u64::from_le_bytes(bytes[n * 8..n * 8 + 8].try_into().unwrap());
        let text = |addr: u64, len: usize| &bytes[(addr - sp) as usize..][..len];
        assert_eq!((word(0), word(3), word(5)), (2, 0, 0));
        assert_eq!(text(word(1), 5), b"init\0");
        assert_eq!(text(word(2), 2), b"x\0");
        assert_eq!(text(word(4), 4), b"A=1\0");
        assert_eq!((word(6), word(7)), (auxv::PHDR as u64, 2));
        assert_eq!(
            (word(18), text(word(19), 5)),
            (auxv::LIBC_STATE as u64, &b"state"[..])
        );
    }
}
