//! Serves the virtio disk at a PCI address; see the library of this crate.
//!
//! usage: `virtio-blkd ADDRESS`, with the place of configuration space in `PCI_ECAM_ADDR`. pcid starts it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(not(target_os = "redox"))]
fn main() -> ExitCode {
    eprintln!("virtio-blkd: drives a device of the system itself and runs there only");
    ExitCode::FAILURE
}

#[cfg(target_os = "redox")]
fn main() -> ExitCode {
    valence_daemon::run("virtio-blkd", device::open)
}

#[cfg(target_os = "redox")]
mod device {
    use valence_driver::pci::{Address, Ecam, parse_ecam};
    use valence_driver::virtio::Disk;
    use virtio_blkd::{DiskScheme, Medium};

    /// The device as a medium.
    pub(crate) struct Virtio(Disk);

    impl Medium for Virtio {
        fn blocks(&self) -> u64 {
            self.0.sectors()
        }
        fn is_read_only(&self) -> bool {
            self.0.is_read_only()
        }
        fn read(&mut self, block: u64, out: &mut [u8]) -> std::io::Result<()> {
            self.0.read(block, out)
        }
        fn write(&mut self, block: u64, data: &[u8]) -> std::io::Result<()> {
            self.0.write(block, data)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }

    pub(crate) fn open() -> Result<DiskScheme<Virtio>, String> {
        let address = std::env::args()
            .nth(1)
            .ok_or("usage: virtio-blkd ADDRESS")?;
        let at: Address = address.parse()?;
        let place = std::env::var("PCI_ECAM_ADDR").map_err(|_| "PCI_ECAM_ADDR is not set")?;
        let disk = Disk::open(Ecam::new(parse_ecam(&place)?), at)
            .map_err(|error| format!("{at}: {error}"))?;
        let (sectors, how) = (disk.sectors(), disk.has_interrupt());
        let name = format!("disk.pci-{at}-virtio-blk");
        let scheme = DiskScheme::new(name, Virtio(disk))
            .map_err(|error| format!("{at}: cannot read the partition table: {error}"))?;
        let mib = sectors / 2048;
        let way = if how { "interrupts" } else { "polling" };
        valence_daemon::log!(
            "virtio-blkd: {at}: {mib} MiB, {} partitions, {way}",
            scheme.partitions()
        );
        Ok(scheme)
    }
}
