//! PCI addresses, configuration space, and finding what is on the bus.
//!
//! Pure except for `Ecam`: enumeration works on anything that can read and write 32-bit words of
//! configuration space, so that it is tested against made-up machines.

use std::fmt;
use std::str::FromStr;

/// Where a function sits. Written `00-00-03.0`: segment, bus, device, function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Bus number.
    pub bus: u8,
    /// Device on the bus, below 32.
    pub device: u8,
    /// Function of the device, below 8.
    pub function: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:02x}-{:02x}.{}",
            self.bus, self.device, self.function
        )
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (rest, function) = text.split_once('.')?;
            let mut parts = rest
                .split('-')
                .map(|part| u8::from_str_radix(part, 16).ok());
            let (segment, bus, device) = (parts.next()??, parts.next()??, parts.next()??);
            let function = function.parse().ok()?;
            let valid = segment == 0 && device < 32 && function < 8 && parts.next().is_none();
            valid.then_some(Address {
                bus,
                device,
                function,
            })
        };
        parse().ok_or_else(|| format!("\"{text}\" is no PCI address such as 00-00-03.0"))
    }
}

/// Access to configuration space in 32-bit words; `register` is a multiple of 4 below 256.
pub trait ConfigSpace {
    /// Reads a word; all ones when nothing is there.
    fn read(&self, address: Address, register: u8) -> u32;
    /// Writes a word.
    fn write(&mut self, address: Address, register: u8, value: u32);
}

/// What a function says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where it is.
    pub address: Address,
    /// Vendor number.
    pub vendor: u16,
    /// Device number of that vendor.
    pub device: u16,
    /// Class code.
    pub class: u8,
    /// Subclass code.
    pub subclass: u8,
    /// Programming interface.
    pub interface: u8,
}

const REGISTER_CLASS: u8 = 0x08;
const REGISTER_HEADER: u8 = 0x0c;
const REGISTER_BUSES: u8 = 0x18;
const NOTHING: u16 = 0xffff;

/// Everything on bus 0 and on the buses behind its bridges.
pub fn enumerate(space: &impl ConfigSpace) -> Vec<Function> {
    let mut found = Vec::new();
    let mut buses = vec![0u8];
    let mut next = 0;
    while let Some(bus) = buses.get(next).copied() {
        next += 1;
        for device in 0..32 {
            for function in 0..8 {
                let address = Address {
                    bus,
                    device,
                    function,
                };
                let Some(this) = identify(space, address) else {
                    // Function 0 must exist for the others to.
                    if function == 0 { break } else { continue }
                };
                found.push(this);
                let header = (space.read(address, REGISTER_HEADER) >> 16) as u8;
                if header & 0x7f == 1 {
                    let secondary = (space.read(address, REGISTER_BUSES) >> 8) as u8;
                    if !buses.contains(&secondary) {
                        buses.push(secondary);
                    }
                }
                if function == 0 && header & 0x80 == 0 {
                    break;
                }
            }
        }
    }
    found
}

fn identify(space: &impl ConfigSpace, address: Address) -> Option<Function> {
    let id = space.read(address, 0);
    let vendor = id as u16;
    if vendor == NOTHING {
        return None;
    }
    let class = space.read(address, REGISTER_CLASS);
    Some(Function {
        address,
        vendor,
        device: (id >> 16) as u16,
        class: (class >> 24) as u8,
        subclass: (class >> 16) as u8,
        interface: (class >> 8) as u8,
    })
}

const REGISTER_COMMAND: u8 = 0x04;
const REGISTER_BAR0: u8 = 0x10;
const REGISTER_CAPABILITIES: u8 = 0x34;
const COMMAND_MEMORY_AND_MASTER: u32 = 0b110;
const STATUS_HAS_CAPABILITIES: u32 = 1 << 20;
/// Capabilities are a linked list in 192 bytes of four-byte steps.
const CAPABILITIES_MAX: usize = 48;

/// One entry of a function's list of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Kind.
    pub id: u8,
    /// Register where it begins.
    pub register: u8,
}

/// The capabilities of a function; a list that runs in a circle ends.
pub fn capabilities(
    space: &impl ConfigSpace,
    function: Address,
) -> impl Iterator<Item = Capability> {
    let has = space.read(function, REGISTER_COMMAND) & STATUS_HAS_CAPABILITIES != 0;
    let mut next = if has {
        space.read(function, REGISTER_CAPABILITIES) as u8 & !3
    } else {
        0
    };
    let mut list = Vec::new();
    while next >= 0x40 && list.len() < CAPABILITIES_MAX {
        let word = space.read(function, next);
        list.push(Capability {
            id: word as u8,
            register: next,
        });
        next = (word >> 8) as u8 & !3;
    }
    list.into_iter()
}

/// Physical address that the firmware gave to a memory BAR; none for I/O ports and unused ones.
pub fn bar_address(space: &impl ConfigSpace, function: Address, bar: u8) -> Option<u64> {
    if bar > 5 {
        return None;
    }
    let register = REGISTER_BAR0 + 4 * bar;
    let low = space.read(function, register);
    let wide = low & 0b110 == 0b100;
    let high = if wide && bar < 5 {
        space.read(function, register + 4)
    } else {
        0
    };
    let address = u64::from(high) << 32 | u64::from(low & !0xf);
    (low & 1 == 0 && address != 0).then_some(address)
}

/// Lets the function answer at its BARs and access memory by itself.
pub fn enable(space: &mut impl ConfigSpace, function: Address) {
    // The upper half is status, whose bits are cleared by writing ones: write zeros there.
    let command = space.read(function, REGISTER_COMMAND) & 0xffff;
    space.write(
        function,
        REGISTER_COMMAND,
        command | COMMAND_MEMORY_AND_MASTER,
    );
}

/// Physical address of the configuration space of bus 0, from the text of `PCI_ECAM_ADDR` (hexadecimal).
pub fn parse_ecam(text: &str) -> Result<u64, String> {
    let digits = text.trim().trim_start_matches("0x");
    match u64::from_str_radix(digits, 16) {
        Ok(address) if address != 0 && address % (1 << 20) == 0 => Ok(address),
        _ => Err(format!(
            "PCI_ECAM_ADDR is \"{text}\", which is no address of a configuration space"
        )),
    }
}

#[cfg(target_os = "redox")]
pub use ecam::Ecam;

#[cfg(target_os = "redox")]
mod ecam {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::io::{Write, stderr};
    use std::rc::Rc;

    use super::{Address, ConfigSpace};
    use crate::memory::{Caching, Mapping};

    const BUS_BYTES: u64 = 1 << 20;

    /// Memory-mapped configuration space; a bus is mapped when it is first looked at.
    #[derive(Clone)]
    pub struct Ecam {
        base: u64,
        buses: Rc<RefCell<BTreeMap<u8, Option<Mapping>>>>,
    }

    impl Ecam {
        /// Configuration space at a physical address.
        pub fn new(base: u64) -> Self {
            Ecam {
                base,
                buses: Rc::default(),
            }
        }

        fn with<T>(&self, bus: u8, act: impl FnOnce(&Mapping) -> T) -> Option<T> {
            let mut buses = self.buses.borrow_mut();
            let mapping = buses.entry(bus).or_insert_with(|| {
                let base = self.base + u64::from(bus) * BUS_BYTES;
                Mapping::physical(base, BUS_BYTES as usize, Caching::Uncached)
                    .inspect_err(|error| {
                        let _ = writeln!(stderr(), "PCI bus {bus}: cannot map: {error}");
                    })
                    .ok()
            });
            mapping.as_ref().map(act)
        }
    }

    fn offset(address: Address, register: u8) -> usize {
        usize::from(address.device) << 15
            | usize::from(address.function) << 12
            | usize::from(register & !3)
    }

    impl ConfigSpace for Ecam {
        fn read(&self, address: Address, register: u8) -> u32 {
            let word = self.with(address.bus, |bus| bus.read32(offset(address, register)));
            word.unwrap_or(u32::MAX)
        }

        fn write(&mut self, address: Address, register: u8, value: u32) {
            self.with(address.bus, |bus| {
                bus.write32(offset(address, register), value)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Configuration space with some words set.
    #[derive(Default)]
    struct Words(BTreeMap<(Address, u8), u32>);

    impl Words {
        fn function(&mut self, place: &str, id: u32, class: u32, header: u8, buses: u32) {
            let address = place.parse().unwrap();
            let words = [
                (0, id),
                (REGISTER_CLASS, class),
                (REGISTER_HEADER, u32::from(header) << 16),
                (REGISTER_BUSES, buses),
            ];
            for (register, word) in words {
                self.0.insert((address, register), word);
            }
        }
    }

    impl ConfigSpace for Words {
        fn read(&self, address: Address, register: u8) -> u32 {
            self.0
                .get(&(address, register))
                .copied()
                .unwrap_or(u32::MAX)
        }
        fn write(&mut self, address: Address, register: u8, value: u32) {
            self.0.insert((address, register), value);
        }
    }

    #[test]
    fn functions_and_buses_behind_bridges_are_found() {
        let mut words = Words::default();
        words.function("00-00-00.0", 0x29c0_8086, 0x0600_0000, 0, 0);
        words.function("00-00-02.0", 0x1042_1af4, 0x0100_0001, 0, 0);
        // A single-function device: what seems to be its function 1 does not exist.
        words.function("00-00-02.1", 0x1042_1af4, 0x0100_0001, 0, 0);
        words.function("00-00-1f.0", 0x2918_8086, 0x0601_0000, 0x80, 0);
        words.function("00-00-1f.2", 0x2922_8086, 0x0106_0100, 0, 0);
        words.function("00-00-1e.0", 0x000c_1b36, 0x0604_0000, 1, 0x0005_0500);
        words.function("00-05-00.0", 0x1041_1af4, 0x0200_0001, 0, 0);
        let places: Vec<_> = enumerate(&words)
            .iter()
            .map(|f| f.address.to_string())
            .collect();
        let expected = [
            "00-00-00.0",
            "00-00-02.0",
            "00-00-1e.0",
            "00-00-1f.0",
            "00-00-1f.2",
            "00-05-00.0",
        ];
        assert_eq!(places, expected);
        let disk = enumerate(&words)[1];
        assert_eq!((disk.vendor, disk.device), (0x1af4, 0x1042));
        assert_eq!((disk.class, disk.subclass, disk.interface), (1, 0, 0));
    }

    #[test]
    fn a_bridge_that_points_back_does_not_loop() {
        let mut words = Words::default();
        words.function("00-00-01.0", 0x000c_1b36, 0x0604_0000, 1, 0);
        assert_eq!(enumerate(&words).len(), 1);
    }

    #[test]
    fn capabilities_are_listed_and_a_circle_ends() {
        let mut words = Words::default();
        let at: Address = "00-00-02.0".parse().unwrap();
        let list = [
            (0x40, 0x0000_4809),
            (0x48, 0x0000_5011),
            (0x50, 0x0000_4009),
        ];
        words.0.extend([
            ((at, REGISTER_COMMAND), 0x0010_0006),
            ((at, REGISTER_CAPABILITIES), 0x40),
        ]);
        words
            .0
            .extend(list.map(|(register, word)| ((at, register), word)));
        let found: Vec<_> = capabilities(&words, at).collect();
        assert_eq!(found.len(), CAPABILITIES_MAX);
        assert_eq!(
            found[1],
            Capability {
                id: 0x11,
                register: 0x48
            }
        );
        words.write(at, REGISTER_COMMAND, 0);
        assert_eq!(capabilities(&words, at).count(), 0);
    }

    #[test]
    fn only_memory_bars_have_an_address() {
        let mut words = Words::default();
        let at: Address = "00-00-02.0".parse().unwrap();
        let bars = [0xc001, 0xfebd_1000, 0, 0, 0x0000_000c, 0x0000_0038];
        for (bar, word) in (0u8..).zip(bars) {
            words.write(at, REGISTER_BAR0 + 4 * bar, word);
        }
        let addresses: Vec<_> = (0..7).map(|bar| bar_address(&words, at, bar)).collect();
        let memory = [
            None,
            Some(0xfebd_1000),
            None,
            None,
            Some(0x38_0000_0000),
            Some(0x30),
            None,
        ];
        assert_eq!(addresses, memory);
    }

    #[test]
    fn enabling_does_not_write_ones_to_the_status_bits() {
        let mut words = Words::default();
        let at: Address = "00-00-02.0".parse().unwrap();
        words.write(at, REGISTER_COMMAND, 0xf910_0001);
        enable(&mut words, at);
        assert_eq!(words.read(at, REGISTER_COMMAND), 0x0000_0007);
    }

    #[test]
    fn addresses_are_written_as_they_are_read() {
        let text = "00-05-1f.7";
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        for bad in [
            "",
            "00-00-20.0",
            "00-00-00.8",
            "01-00-00.0",
            "00-00.0",
            "00-00-00-00.0",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_configuration_space_address_is_hexadecimal() {
        assert_eq!(parse_ecam("b0000000"), Ok(0xb000_0000));
        assert_eq!(parse_ecam("0x00000000b0000000"), Ok(0xb000_0000));
        assert!(parse_ecam("0").is_err());
        assert!(parse_ecam("b0000001").is_err());
    }
}
