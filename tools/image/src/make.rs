//! The whole way from a configuration to an image folder.
//!
//! The folder holds `valence.img`, the disk; `boot/{kernel, initfs, boot.conf}`, the same files as on the disk, for a boot
//! without firmware; and `inputs`, a hash of all that the image was made from, by which a second run sees that there is
//! nothing to do. The old image is replaced only by a complete new one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::boot::BootFiles;
use crate::config::{Config, FileEntry};
use crate::disk::{self, Slice};
use crate::esp;
use crate::limits::{DEFAULT_EFI_SIZE_MIB, DEFAULT_FILESYSTEM_SIZE_MIB, MIB};
use crate::packages::Repository;
use crate::root::Root;
use crate::tree::{Kind, Node, Replace, Tree};
use crate::users;

/// Name of the disk image in its folder.
pub const IMAGE_NAME: &str = "valence.img";
const CONFIG_ORIGIN: &str = "filesystem.toml";
const INPUTS_NAME: &str = "inputs";

/// What to make and from what.
pub struct Order {
    /// The configuration file.
    pub config: PathBuf,
    /// Folder for the image.
    pub folder: PathBuf,
    /// Where the packages are.
    pub repository: Repository,
}

/// What [`make`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image was there already.
    UpToDate,
    /// A new image: packages and bytes in it.
    Made {
        /// Number of packages.
        packages: usize,
        /// Sum of the sizes of the files.
        bytes: u64,
    },
}

/// Makes the image if anything it is made from changed.
pub fn make(order: &Order) -> Result<Outcome> {
    let config = Config::read(&order.config)?;
    let names = order.repository.closure(&config.package_names())?;
    let inputs = inputs(order, &config, &names)?;
    let (image, record) = (
        order.folder.join(IMAGE_NAME),
        order.folder.join(INPUTS_NAME),
    );
    if image.is_file() && fs::read_to_string(&record).is_ok_and(|old| old == inputs) {
        return Ok(Outcome::UpToDate);
    }
    fs::create_dir_all(order.folder.join("boot"))?;
    fs::remove_file(&record).ok();

    let tree = tree(order, &config, &names)?;
    let bytes = tree.size_bytes()?;
    let draft = image.with_extension("img.new");
    write_disk(order, &config, &tree, &draft)?;
    fs::rename(&draft, &image)?;
    fs::write(&record, inputs)?;
    Ok(Outcome::Made {
        packages: names.len(),
        bytes,
    })
}

fn inputs(order: &Order, config: &Config, names: &[String]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{config:?}").as_bytes());
    for name in names {
        hasher.update(format!("{name} {}\n", order.repository.hash(name)?).as_bytes());
    }
    // Another version of this tool may write another image.
    hasher.update(&fs::read(std::env::current_exe()?)?);
    Ok(format!("{}\n", hasher.finalize().to_hex()))
}

/// All files of the root filesystem.
fn tree(order: &Order, config: &Config, names: &[String]) -> Result<Tree> {
    let mut tree = Tree::new();
    let is_early = |file: &&FileEntry| !file.postinstall;
    for file in config.files.iter().filter(is_early) {
        add_file(&mut tree, file)?;
    }
    let work = order.folder.join("packages");
    for name in names {
        let folder = order.repository.unpack(name, &work)?;
        tree.add_host_folder(&folder, &format!("package {name}"))?;
    }
    users::add_users(&mut tree, config)?;
    for file in config.files.iter().filter(|file| file.postinstall) {
        add_file(&mut tree, file)?;
    }
    for file in config.files.iter().filter(|file| file.recursive_chown) {
        tree.set_owner(
            Path::new(&file.path),
            file.uid.unwrap_or(0),
            file.gid.unwrap_or(0),
            true,
        )?;
    }
    Ok(tree)
}

fn add_file(tree: &mut Tree, file: &FileEntry) -> Result<()> {
    let (kind, mode) = if file.directory {
        (Kind::Folder, 0o755)
    } else if file.symlink {
        (Kind::Link(file.data.clone().into_bytes()), 0o777)
    } else {
        (Kind::Bytes(file.data.clone().into_bytes()), 0o644)
    };
    let mut node = Node::new(kind, file.mode.unwrap_or(mode), CONFIG_ORIGIN);
    (node.uid, node.gid) = (file.uid.unwrap_or(0), file.gid.unwrap_or(0));
    let replace = if file.postinstall {
        Replace::Yes
    } else {
        Replace::No
    };
    tree.insert(Path::new(&file.path), node, replace)
}

fn write_disk(order: &Order, config: &Config, tree: &Tree, path: &Path) -> Result<()> {
    let disk_mib = config
        .general
        .filesystem_size
        .unwrap_or(DEFAULT_FILESYSTEM_SIZE_MIB);
    let esp_mib = config
        .general
        .efi_partition_size
        .unwrap_or(DEFAULT_EFI_SIZE_MIB);
    let partitions = disk::plan(disk_mib, esp_mib)?;
    let file = disk::create(path, disk_mib, &partitions)
        .with_context(|| format!("cannot make {}", path.display()))?;

    let mut root = Root::format(Slice::new(&file, partitions.root)?, partitions.root.len)?;
    let boot = BootFiles::from_tree(tree, &root.uuid())?;
    root.write(tree)?;
    esp::write(
        &mut Slice::new(&file, partitions.esp)?,
        esp_mib * MIB,
        &boot.esp_files(),
    )?;
    file.sync_data().ok();

    for (name, bytes) in [
        ("kernel", &boot.kernel),
        ("initfs", &boot.initfs),
        ("boot.conf", &boot.boot_conf),
    ] {
        fs::write(order.folder.join("boot").join(name), bytes)?;
    }
    Ok(())
}

/// Finds the image in a folder that [`make`] filled, or the image file itself.
pub fn image_file(path: &Path) -> Result<PathBuf> {
    let file = if path.is_dir() {
        path.join(IMAGE_NAME)
    } else {
        path.to_path_buf()
    };
    if !file.is_file() {
        bail!(
            "{} does not exist; make it first: `make image`",
            file.display()
        );
    }
    Ok(file)
}

#[cfg(test)]
#[path = "make_tests.rs"]
mod tests;
