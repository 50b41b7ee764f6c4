//! The one way a C function is defined.

/// Defines exported C functions.
///
/// Bodies are in an unsafe context: what a C function may rely on is exactly what its POSIX (or `redox_*`) page demands of
/// the caller: pointers are null where allowed or valid for the stated length, strings end in NUL, and objects such as
/// mutexes were initialised and are not moved. That contract is the safety argument of every body; anything a body does
/// beyond it has a note of its own.
macro_rules! c_api {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {
        $(
            $(#[$meta])*
            #[unsafe(no_mangle)]
            #[allow(private_interfaces, reason = "the struct is C's; only this file looks inside")]
            pub(crate) extern "C" fn $name($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the C caller keeps the contract of the function's page, see `c_api!`.
                #[allow(unused_unsafe, reason = "many bodies only call safe wrappers")]
                unsafe { $body }
            }
        )*
    };
}
