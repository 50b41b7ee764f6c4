//! Putting the kernel together: schemes, the first namespace, the first process.

use alloc::boxed::Box;
use alloc::string::String;

use kernel_core::io::file::{File, ROOT, Target};
use kernel_core::kernel::NamespaceId;
use kernel_core::machine::Machine;
use kernel_core::task::exec::Image;
use kernel_core::task::stack::Arguments;
use kernel_core::{Config, Kernel};
use valence_abi::errno::{ENODEV, ENOENT, Errno};
use valence_abi::flags::O_RDWR;

use crate::cpio::Archive;
use crate::{debug, event, initfs, irq, memory, namespace, pipe, proc, serio, sys, time};

/// The first program.
const INIT: &str = "bin/init";

/// Makes the kernel: tables, kernel schemes, and the first process (`bin/init` of the initfs), ready to run.
/// Each CPU then calls [`Kernel::cpu_start`].
pub fn start<M: Machine>(machine: M, config: Config) -> Kernel<M> {
    let initfs = config.initfs;
    let mut kernel = Kernel::new(machine, config);
    let memory = kernel.frames.total_count() / 256;
    let cpus = kernel.cpus.len();
    kernel.print(format_args!(
        "Valence {}: {cpus} CPUs, {memory} MiB free, initfs {} KiB",
        env!("CARGO_PKG_VERSION"),
        initfs.len() / 1024
    ));
    let archive = Archive::parse(initfs);
    let program = archive.content(initfs, INIT);
    add_schemes(&mut kernel, initfs, archive);
    let started = first_namespace(&mut kernel)
        .and_then(|namespace| first_process(&mut kernel, namespace, program.ok_or(ENOENT)?));
    if let Err(errno) = started {
        kernel.print(format_args!("cannot start {INIT} of the initfs: {errno:?}"));
    }
    kernel
}

fn add_schemes<M: Machine>(kernel: &mut Kernel<M>, bytes: &'static [u8], archive: Archive) {
    kernel.add_scheme(Box::new(debug::Debug::new(0)));
    kernel.add_scheme(Box::new(event::Events::new(1)));
    kernel.add_scheme(Box::new(initfs::Initfs::new(bytes, archive)));
    kernel.add_scheme(Box::new(irq::Irq::new(3)));
    kernel.add_scheme(Box::new(memory::Memory));
    kernel.add_scheme(Box::new(namespace::Namespaces));
    kernel.add_scheme(Box::new(pipe::Pipes::new(6)));
    kernel.add_scheme(Box::new(proc::Proc));
    kernel.add_scheme(Box::new(serio::Serio::new(8)));
    kernel.add_scheme(Box::new(sys::Sys::new()));
    kernel.add_scheme(Box::new(time::Time::new(10)));
}

/// A namespace with every kernel scheme.
fn first_namespace<M: Machine>(kernel: &mut Kernel<M>) -> Result<NamespaceId, Errno> {
    let id = kernel.namespace_new(None, alloc::vec::Vec::new())?;
    for (index, name) in kernel.scheme_names().into_iter().enumerate() {
        let root = kernel.file_new(File::new(Target::Kernel(index), ROOT, O_RDWR, false))?;
        kernel.namespace_register(id, name, root)?;
    }
    Ok(id)
}

fn first_process<M: Machine>(
    kernel: &mut Kernel<M>,
    namespace: NamespaceId,
    image: &[u8],
) -> Result<(), Errno> {
    let mut arguments = Arguments {
        argv: alloc::vec![b"init".to_vec()],
        ..Arguments::default()
    };
    let (low, high) = (kernel.random_u64(), kernel.random_u64());
    arguments.random[..8].copy_from_slice(&low.to_le_bytes());
    arguments.random[8..].copy_from_slice(&high.to_le_bytes());
    let program = kernel.load_program(&Image::Bytes(image), &arguments)?;
    let debug = kernel.scheme_index("debug").ok_or(ENODEV)?;
    let console = kernel.file_new(File::new(Target::Kernel(debug), 0, O_RDWR, false))?;
    let path = String::from("/scheme/initfs/bin/init");
    kernel.first_process(program, namespace, console, path)?;
    Ok(())
}
