//! Memory: frames, address spaces, faults and copies between spaces.

pub mod copy;
pub mod fault;
pub mod fork;
pub mod frames;
pub mod map;
pub mod space;
