//! Which driver goes with which PCI function.
//!
//! The table is TOML, in the form of Redox's `pcid.d` files: each `[[drivers]]` entry has conditions, all of
//! which must hold, and a command whose words may contain `$ADDRESS`. The first entry that matches a function
//! wins. Conditions left out hold for everything; an entry without any condition is an error.
#![forbid(unsafe_code)]

use serde::Deserialize;
use valence_driver::pci::{Address, Function};

/// Drivers by the functions they are for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Entries, the first match wins.
    #[serde(default)]
    pub drivers: Vec<Driver>,
}

/// One driver.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Driver {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// Class code.
    pub class: Option<u8>,
    /// Subclass code.
    pub subclass: Option<u8>,
    /// Programming interface.
    pub interface: Option<u8>,
    /// Vendor number.
    pub vendor: Option<u16>,
    /// Device numbers of that vendor.
    pub device: Option<Vec<u16>>,
    /// Program and arguments.
    pub command: Vec<String>,
}

impl Table {
    /// Reads a table.
    pub fn parse(text: &str) -> Result<Table, String> {
        let table: Table = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        for driver in &table.drivers {
            if driver.command.is_empty() {
                return Err(format!("driver \"{}\" has no command", driver.name));
            }
            if !driver.has_condition() {
                return Err(format!(
                    "driver \"{}\" would match every device",
                    driver.name
                ));
            }
        }
        Ok(table)
    }

    /// The program and arguments for a function.
    pub fn command(&self, function: &Function) -> Option<Vec<String>> {
        let driver = self
            .drivers
            .iter()
            .find(|driver| driver.matches(function))?;
        Some(
            driver
                .command
                .iter()
                .map(|word| fill(word, function.address))
                .collect(),
        )
    }
}

impl Driver {
    fn has_condition(&self) -> bool {
        self.class.is_some() || self.vendor.is_some()
    }

    fn matches(&self, function: &Function) -> bool {
        fn holds<T: PartialEq>(wanted: Option<T>, is: T) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        holds(self.class, function.class)
            && holds(self.subclass, function.subclass)
            && holds(self.interface, function.interface)
            && holds(self.vendor, function.vendor)
            && self
                .device
                .as_ref()
                .is_none_or(|list| list.contains(&function.device))
    }
}

fn fill(word: &str, address: Address) -> String {
    word.replace("$ADDRESS", &address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = include_str!("../pcid.toml");

    fn function(vendor: u16, device: u16, class: u8) -> Function {
        let address = "00-00-03.0".parse().unwrap();
        Function {
            address,
            vendor,
            device,
            class,
            subclass: 0,
            interface: 0,
        }
    }

    #[test]
    fn our_table_finds_both_forms_of_the_virtio_disk() {
        let table = Table::parse(OURS).unwrap();
        for device in [0x1001, 0x1042] {
            let command = table.command(&function(0x1af4, device, 1)).unwrap();
            assert_eq!(command, ["virtio-blkd", "00-00-03.0"]);
        }
        assert_eq!(table.command(&function(0x8086, 0x29c0, 6)), None);
    }

    #[test]
    fn all_conditions_must_hold() {
        let text = "[[drivers]]\nclass = 2\nvendor = 1\ncommand = [\"d\", \"at=$ADDRESS\"]";
        let table = Table::parse(text).unwrap();
        assert_eq!(
            table.command(&function(1, 9, 2)).unwrap(),
            ["d", "at=00-00-03.0"]
        );
        assert_eq!(table.command(&function(2, 9, 2)), None);
        assert_eq!(table.command(&function(1, 9, 3)), None);
    }

    #[test]
    fn an_entry_for_everything_or_nothing_is_refused() {
        assert!(Table::parse("[[drivers]]\ncommand = [\"d\"]").is_err());
        assert!(Table::parse("[[drivers]]\nclass = 1\ncommand = []").is_err());
        assert!(Table::parse("[[drivers]]\nklass = 1\ncommand = [\"d\"]").is_err());
    }
}
