//! The framebuffer as the firmware set it up.

use uefi::boot;
use uefi::proto::console::gop::{GraphicsOutput, PixelFormat};
use valence_abi::boot::Framebuffer;

/// The screen, if it has 32-bit pixels in the kernel's order. If the firmware's mode has not, a mode of the same
/// size is looked for.
pub(super) fn framebuffer() -> Framebuffer {
    find().unwrap_or_default()
}

fn find() -> Option<Framebuffer> {
    let handle = boot::get_handle_for_protocol::<GraphicsOutput>().ok()?;
    let mut output = boot::open_protocol_exclusive::<GraphicsOutput>(handle).ok()?;
    let current = output.current_mode_info();
    if current.pixel_format() != PixelFormat::Bgr {
        let better = output.modes().find(|mode| {
            let info = mode.info();
            info.pixel_format() == PixelFormat::Bgr && info.resolution() == current.resolution()
        })?;
        output.set_mode(&better).ok()?;
    }
    let mode = output.current_mode_info();
    let (width, height) = mode.resolution();
    Some(Framebuffer {
        base: output.frame_buffer().as_mut_ptr() as u64,
        width: u32::try_from(width).ok()?,
        height: u32::try_from(height).ok()?,
        stride: u32::try_from(mode.stride()).ok()?,
        reserved: 0,
    })
}
