//! From the started machine to the running kernel.

use kernel_hal::{Boot, log};

/// "070701": how a cpio archive of the kind `newc` begins.
const CPIO_MAGIC: &[u8] = b"070701";

#[allow(
    unsafe_code,
    reason = "the name by which kernel-hal calls it; no other definition exists"
)]
// SAFETY: kernel-hal declares the same function, and this crate is linked once.
#[unsafe(no_mangle)]
fn kernel_main(boot: Boot) -> ! {
    let Boot { hal, config } = boot;
    let initfs = config.initfs;
    log(format_args!("initfs: {} KiB", initfs.len() / 1024));
    if initfs.is_empty() {
        panic!(
            "no initfs: give the kernel an archive (valence/initfs on the boot partition, or qemu -initrd)"
        );
    }
    if !initfs.starts_with(CPIO_MAGIC) {
        panic!(
            "the initfs is not a newc cpio archive: it is damaged or not an initfs; install it again"
        );
    }
    let kernel = kernel_schemes::start(hal, config);
    log(format_args!("kernel started"));
    kernel_hal::run(kernel)
}
