//! Reading the boot files into pages of their own.

use alloc::format;

use boot_rules::limits::INITFS_MAX;
use uefi::CStr16;
use uefi::boot::{self, AllocateType, MemoryType, ScopedProtocol};
use uefi::data_types::CString16;
use uefi::proto::media::file::{Directory, File, FileAttribute, FileInfo, FileMode, RegularFile};
use uefi::proto::media::fs::SimpleFileSystem;

use super::failure::Failure;

/// Pages that the kernel reads lie below this address: its first map reaches no further.
pub(super) const LOW_MEMORY: u64 = (4 << 30) - 1;

/// The volume the loader was started from.
pub(super) struct Volume {
    root: Directory,
    /// The directory works as long as this is open.
    _protocol: ScopedProtocol<SimpleFileSystem>,
}

/// A file in memory: whole pages, never freed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loaded {
    pub(super) name: &'static str,
    bytes: &'static [u8],
}

impl Loaded {
    /// The contents.
    pub(super) fn bytes(&self) -> &'static [u8] {
        self.bytes
    }
}

impl Volume {
    /// Opens it.
    pub(super) fn open() -> Result<Self, Failure> {
        let failed = |why: uefi::Error| {
            Failure::machine(
                &format!("The volume that the loader was started from cannot be read: {why}."),
                "Start the loader from a FAT partition that holds the folder `valence`.",
            )
        };
        let mut protocol = boot::get_image_file_system(boot::image_handle()).map_err(failed)?;
        let root = protocol.open_volume().map_err(failed)?;
        Ok(Self {
            root,
            _protocol: protocol,
        })
    }

    /// Reads `valence/NAME`.
    pub(super) fn read(&mut self, name: &'static str, limit: u64) -> Result<Loaded, Failure> {
        let mut file = self.find(name)?;
        let info = file.get_boxed_info::<FileInfo>();
        let len = info.map_err(|e| Failure::unreadable(name, &e))?.file_size();
        if len > limit.min(INITFS_MAX) {
            return Err(Failure::damaged(
                name,
                &format!("has {len} bytes; {limit} are allowed"),
            ));
        }
        let buffer = pages(len as usize)?;
        let mut done = 0;
        while done < buffer.len() {
            match file
                .read(&mut buffer[done..])
                .map_err(|e| Failure::unreadable(name, &e))?
            {
                0 => return Err(Failure::damaged(name, &"is cut short")),
                n => done += n,
            }
        }
        Ok(Loaded {
            name,
            bytes: buffer,
        })
    }

    fn find(&mut self, name: &str) -> Result<RegularFile, Failure> {
        let failed = |why: uefi::Error| match why.status() {
            uefi::Status::NOT_FOUND => Failure::unreadable(name, &"it is not there"),
            _ => Failure::unreadable(name, &why),
        };
        let path = CString16::try_from(format!("valence\\{name}").as_str());
        let path: &CStr16 =
            &path.map_err(|_| Failure::unreadable(name, &"its name is not text"))?;
        let file = self
            .root
            .open(path, FileMode::Read, FileAttribute::empty())
            .map_err(failed)?;
        file.into_regular_file()
            .ok_or_else(|| Failure::unreadable(name, &"it is a folder"))
    }
}

/// Zeroed pages for `len` bytes below 4 GiB.
pub(super) fn pages(len: usize) -> Result<&'static mut [u8], Failure> {
    let count = len.div_ceil(valence_abi::PAGE_SIZE).max(1);
    let found = boot::allocate_pages(
        AllocateType::MaxAddress(LOW_MEMORY),
        MemoryType::LOADER_DATA,
        count,
    );
    let start = found.map_err(|_| {
        Failure::machine(
            &format!(
                "There is not enough memory below 4 GiB for {} KiB.",
                len / 1024
            ),
            "Give the machine at least 256 MiB more.",
        )
    })?;
    // SAFETY: `count` fresh pages that are never freed; they are made zero before the reference exists.
    unsafe {
        start
            .as_ptr()
            .write_bytes(0, count * valence_abi::PAGE_SIZE);
        Ok(core::slice::from_raw_parts_mut(start.as_ptr(), len))
    }
}
