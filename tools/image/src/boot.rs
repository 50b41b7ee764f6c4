//! The boot files: which packages' files go to the EFI partition, and the list of checksums that the loader verifies.
//!
//! `usr/lib/boot/{bootloader.efi, kernel, initfs, boot.conf}` of the tree become `EFI/BOOT/BOOTX64.EFI` and
//! `valence/{kernel, initfs, boot.conf, checksums}`. boot.conf is text, a `KEY=VALUE` per line, passed to the kernel; the
//! lines `REDOXFS_UUID=…` and `REDOXFS_BLOCK=0` are added here because only here the root filesystem's number and place
//! are known. checksums has a line
//! `crc32hex  name` per file: eight hexadecimal digits of the CRC-32 of zip and gzip.

use anyhow::{Context, Result, bail};

use crate::tree::Tree;

/// Largest boot.conf; the kernel refuses more.
const MAX_BOOT_CONF_BYTES: usize = 4096;

/// The boot files' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the files, under their own names
pub struct BootFiles {
    pub bootloader: Vec<u8>,
    pub kernel: Vec<u8>,
    pub initfs: Vec<u8>,
    pub boot_conf: Vec<u8>,
}

impl BootFiles {
    /// Takes the boot files from the tree.
    pub fn from_tree(tree: &Tree, root_uuid: &str) -> Result<BootFiles> {
        let read = |name: &str| {
            let path = format!("/usr/lib/boot/{name}");
            tree.read(&path)?.with_context(|| {
                format!("no package installs {path}, without which the image cannot boot")
            })
        };
        Ok(BootFiles {
            bootloader: read("bootloader.efi")?,
            kernel: read("kernel")?,
            initfs: read("initfs")?,
            boot_conf: boot_conf(
                &String::from_utf8(read("boot.conf")?).context("boot.conf is not UTF-8")?,
                root_uuid,
            )?,
        })
    }

    /// Path on the EFI partition and bytes of each file, the checksums last.
    pub fn esp_files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut files = vec![
            ("EFI/BOOT/BOOTX64.EFI", self.bootloader.clone()),
            ("valence/kernel", self.kernel.clone()),
            ("valence/initfs", self.initfs.clone()),
            ("valence/boot.conf", self.boot_conf.clone()),
        ];
        files.push(("valence/checksums", self.checksums().into_bytes()));
        files
    }

    fn checksums(&self) -> String {
        [
            ("kernel", &self.kernel),
            ("initfs", &self.initfs),
            ("boot.conf", &self.boot_conf),
        ]
        .map(|(name, bytes)| format!("{:08x}  {name}\n", crc32fast::hash(bytes)))
        .concat()
    }
}

/// Checks boot.conf and adds the number of the root filesystem.
fn boot_conf(text: &str, root_uuid: &str) -> Result<Vec<u8>> {
    let mut out = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.split_once('=').map_or("", |(key, _)| key.trim());
        if key.is_empty() {
            bail!("boot.conf line {}: {line:?} is not KEY=VALUE", index + 1);
        }
        out += &format!("{line}\n");
    }
    out += &format!("REDOXFS_UUID={root_uuid}\nREDOXFS_BLOCK=0\n");
    if out.len() > MAX_BOOT_CONF_BYTES {
        bail!("boot.conf is larger than {MAX_BOOT_CONF_BYTES} bytes");
    }
    Ok(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_the_root_filesystem_is_named() {
        let conf = boot_conf("# text\n\nLOG=info\n", "1-2").unwrap();
        assert_eq!(
            String::from_utf8(conf).unwrap(),
            "LOG=info\nREDOXFS_UUID=1-2\nREDOXFS_BLOCK=0\n"
        );
    }

    #[test]
    fn a_line_that_is_no_pair_is_refused_with_its_number() {
        assert!(
            boot_conf("A=1\nB\n", "")
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }

    #[test]
    fn checksums_are_crc32_in_eight_digits() {
        let files = BootFiles {
            bootloader: Vec::new(),
            kernel: b"123456789".to_vec(),
            initfs: Vec::new(),
            boot_conf: Vec::new(),
        };
        assert_eq!(
            files.checksums(),
            "cbf43926  kernel\n00000000  initfs\n00000000  boot.conf\n"
        );
    }

    #[test]
    fn a_missing_kernel_is_named() {
        let message = format!("{:#}", BootFiles::from_tree(&Tree::new(), "").unwrap_err());
        assert!(
            message.contains("/usr/lib/boot/bootloader.efi"),
            "{message}"
        );
    }
}
