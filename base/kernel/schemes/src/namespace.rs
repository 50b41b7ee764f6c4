//! `namespace`: descriptors of namespaces, and the right to create schemes.
//!
//! A namespace descriptor lists names. "scheme-creation-cap" opens a handle whose `dup` with "create-scheme" gives a scheme socket.

use alloc::string::String;
use alloc::vec::Vec;

use kernel_core::io::file::ROOT;
use kernel_core::kernel::{Kernel, NamespaceId, Stop};
use kernel_core::machine::Machine;
use kernel_core::scheme::kernel_scheme::{Entry, KernelScheme, Opened};
use kernel_core::task::thread::Caller;
use valence_abi::errno::{EACCES, EINVAL, ENODEV, ENOENT, ENOTDIR, EPERM, Errno};
use valence_abi::flags::{MODE_CHR, MODE_DIR};
use valence_abi::layout::{Stat, dirent};
use valence_abi::scheme::CREATE_SCHEME;

/// Handle of the creation right.
const CREATION: u64 = ROOT - 1;

/// The scheme. A handle is a namespace id or `CREATION`.
pub(crate) struct Namespaces;

impl<M: Machine> KernelScheme<M> for Namespaces {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn open(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        dir: u64,
        path: &str,
        _flags: usize,
    ) -> Result<Opened, Stop> {
        let own = kernel
            .processes
            .get(who.process)
            .ok_or::<Errno>(ENODEV)?
            .namespace;
        let path = path.trim_matches('/');
        if dir == ROOT {
            return match path {
                "" => {
                    kernel.namespace_retain(own);
                    Ok(Opened::positioned(own.raw()))
                }
                "scheme-creation-cap" if kernel.namespace_has_authority(own) => {
                    Ok(Opened::stream(CREATION))
                }
                "scheme-creation-cap" => Err(EACCES.into()),
                _ => Err(ENOENT.into()),
            };
        }
        let id = NamespaceId::from_raw(dir);
        match path {
            "" | "." => {
                kernel.namespaces.get(id).ok_or::<Errno>(ENODEV)?;
                kernel.namespace_retain(id);
                Ok(Opened::positioned(dir))
            }
            name => {
                let root = kernel.namespace_find(id, name)?;
                kernel.file_retain(root);
                Ok(Opened::File(root))
            }
        }
    }

    fn dup(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        handle: u64,
        text: &[u8],
    ) -> Result<Opened, Stop> {
        if handle != CREATION || text != CREATE_SCHEME {
            return Err(EINVAL.into());
        }
        Ok(Opened::File(kernel.scheme_create(who)?))
    }

    fn stat(&mut self, _kernel: &mut Kernel<M>, handle: u64) -> Result<Stat, Errno> {
        let mode = if handle == CREATION {
            MODE_CHR | 0o600
        } else {
            MODE_DIR | 0o555
        };
        Ok(Stat {
            mode,
            nlink: 1,
            ..Stat::default()
        })
    }

    fn path(&mut self, _kernel: &mut Kernel<M>, _handle: u64) -> Result<String, Errno> {
        Ok(String::new())
    }

    fn entries(&mut self, kernel: &mut Kernel<M>, handle: u64) -> Result<Vec<Entry>, Errno> {
        let id = NamespaceId::from_raw(handle);
        if kernel.namespaces.get(id).is_none() {
            return Err(ENOTDIR);
        }
        let names = kernel.namespace_names(id);
        Ok(names
            .into_iter()
            .map(|name| Entry {
                name,
                kind: dirent::DIR,
            })
            .collect())
    }

    fn unlink(
        &mut self,
        kernel: &mut Kernel<M>,
        who: &Caller,
        dir: u64,
        path: &str,
        _flags: usize,
    ) -> Result<(), Errno> {
        let own = kernel.processes.get(who.process).ok_or(ENODEV)?.namespace;
        if !kernel.namespace_has_authority(own) || dir == ROOT || dir == CREATION {
            return Err(EPERM);
        }
        kernel.namespace_unregister(NamespaceId::from_raw(dir), path)
    }

    fn close(&mut self, kernel: &mut Kernel<M>, handle: u64) {
        if handle != CREATION {
            kernel.namespace_release(NamespaceId::from_raw(handle));
        }
    }
}
