//! Whole images from small packages, read back.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::root::Reader;

struct Place {
    temp: tempfile::TempDir,
}

const FILES: [(&str, &str); 5] = [
    ("usr/lib/boot/bootloader.efi", "loader"),
    ("usr/lib/boot/kernel", "kernel"),
    ("usr/lib/boot/initfs", "initfs"),
    ("usr/lib/boot/boot.conf", "A=1\n"),
    ("usr/bin/hello", "#!/bin/sh\n"),
];

const CONFIG: &str = r#"
    [general]
    filesystem_size = 24
    efi_partition_size = 8
    [packages]
    base = {}
    [[files]]
    path = "/bin"
    data = "usr/bin"
    symlink = true
    [[files]]
    path = "/tmp"
    directory = true
    mode = 0o1777
    [users.user]
    password = ""
"#;

impl Place {
    fn new(files: &[(&str, &str)]) -> Place {
        let place = Place {
            temp: tempfile::tempdir().unwrap(),
        };
        for (name, text) in files {
            let path = place.path("stage").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let mode = if name.starts_with("usr/bin") {
                0o755
            } else {
                0o644
            };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let (public, secret) = pkgar_keys::SecretKeyFile::new();
        public.save(place.path("key.pub")).unwrap();
        secret.save(place.path("key")).unwrap();
        fs::create_dir(place.path("repo")).unwrap();
        pkgar::create(
            place.path("key"),
            place.path("repo/base.pkgar"),
            place.path("stage"),
        )
        .unwrap();
        let hash = blake3::hash(&fs::read(place.path("repo/base.pkgar")).unwrap()).to_hex();
        fs::write(
            place.path("repo/base.toml"),
            format!("blake3 = \"{hash}\"\n"),
        )
        .unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn make(&self, config: &str) -> Result<Outcome> {
        fs::write(self.path("config.toml"), config).unwrap();
        make(&Order {
            config: self.path("config.toml"),
            folder: self.path("image"),
            repository: Repository {
                folder: self.path("repo"),
                key: self.path("key.pub"),
            },
        })
    }

    fn root(&self) -> Reader<redoxfs::DiskIo<Slice>> {
        let mut file = File::open(self.path("image").join(IMAGE_NAME)).unwrap();
        let span = disk::read_partitions(&mut file).unwrap().root;
        Reader::open(Slice::new(&file, span).unwrap()).unwrap()
    }
}

#[test]
fn an_image_holds_what_packages_and_configuration_say() {
    let place = Place::new(&FILES);
    assert!(matches!(
        place.make(CONFIG).unwrap(),
        Outcome::Made { packages: 1, .. }
    ));
    let mut root = place.root();
    assert_eq!(root.read_file("/usr/bin/hello").unwrap(), b"#!/bin/sh\n");
    assert_eq!(root.read_file("/bin").unwrap(), b"usr/bin");
    let top = root.list("/").unwrap();
    let find = |name: &str| top.iter().find(|entry| entry.name == name).unwrap();
    assert_eq!(find("tmp").mode & 0o7777, 0o1777);
    let home = root.list("/home").unwrap();
    assert_eq!(
        (home[0].name.as_str(), home[0].uid, home[0].mode & 0o7777),
        ("user", 1000, 0o700)
    );
    assert_eq!(root.list("/usr/bin").unwrap()[0].mode & 0o777, 0o755);
    assert_eq!(
        fs::read(place.path("image/boot/kernel")).unwrap(),
        b"kernel"
    );
    let conf = fs::read_to_string(place.path("image/boot/boot.conf")).unwrap();
    assert!(conf.starts_with("A=1\nREDOXFS_UUID="), "{conf}");
}

#[test]
fn a_second_run_does_nothing_until_something_changes() {
    let place = Place::new(&FILES);
    place.make(CONFIG).unwrap();
    assert_eq!(place.make(CONFIG).unwrap(), Outcome::UpToDate);
    let changed = CONFIG.replace("0o1777", "0o777");
    assert!(matches!(
        place.make(&changed).unwrap(),
        Outcome::Made { .. }
    ));
}

#[test]
fn a_failed_run_keeps_the_old_image() {
    let place = Place::new(&FILES);
    place.make(CONFIG).unwrap();
    let message = format!(
        "{:#}",
        place
            .make(&CONFIG.replace("size = 24", "size = 12"))
            .unwrap_err()
    );
    assert!(message.contains("raise filesystem_size"), "{message}");
    assert_eq!(
        place.root().read_file("/usr/bin/hello").unwrap(),
        b"#!/bin/sh\n"
    );
}

#[test]
fn files_that_do_not_fit_are_an_error_with_the_sizes() {
    let big: String = (0..2_000_000u32)
        .map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761)))
        .collect();
    let mut files = FILES.to_vec();
    files.push(("usr/share/big", &big));
    let place = Place::new(&files);
    let message = format!("{:#}", place.make(CONFIG).unwrap_err());
    assert!(message.contains("raise filesystem_size"), "{message}");
}

#[test]
fn a_package_with_another_key_is_refused() {
    let place = Place::new(&FILES);
    pkgar_keys::SecretKeyFile::new()
        .0
        .save(place.path("key.pub"))
        .unwrap();
    let message = format!("{:#}", place.make(CONFIG).unwrap_err());
    assert!(message.contains("signed"), "{message}");
}

#[test]
fn an_image_without_a_kernel_is_refused() {
    let place = Place::new(&FILES[3..]);
    let message = format!("{:#}", place.make(CONFIG).unwrap_err());
    assert!(message.contains("no package installs"), "{message}");
}
