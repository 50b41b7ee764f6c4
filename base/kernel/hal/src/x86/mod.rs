//! The machine itself: `boot` starts it, `cpu` runs programs and takes traps, `memory` owns tables and heap,
//! `devices` are the few that the kernel drives, `hal` is the `Machine` made of them.

#[macro_use]
mod print;

mod boot;
mod cpu;
mod devices;
mod dispatch;
mod hal;
mod lock;
mod memory;
mod panic;
mod pvh;
mod smp;
mod time;
mod wait;

pub use boot::Boot;
pub use dispatch::run;
pub use hal::Hal;
pub use print::log;
