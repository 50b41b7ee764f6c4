//! The scheme on Linux, mounted: `cat`, `echo`, `ls` and `cp` alone are a complete client.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use memory_api::{Client, ContextRequest, SearchOptions};
use memoryd::config::Config;

struct Mounted {
    mount: Option<scheme_server::fuse::Mount<memoryd::service::MemoryService>>,
    dir: PathBuf,
}

impl Mounted {
    /// `None`, said loudly, where this machine cannot mount.
    fn new(name: &str) -> Option<Mounted> {
        if let Err(why) = scheme_server::fuse::available() {
            eprintln!("SKIPPED: {why}");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("memoryd-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("mount")).unwrap();
        let service = Config::hashing(dir.join("store")).service().unwrap();
        let mount = scheme_server::fuse::mount(service, "memory", &dir.join("mount")).unwrap();
        Some(Mounted {
            mount: Some(mount),
            dir,
        })
    }

    fn shell(&self, script: &str) -> String {
        let output = Command::new("sh")
            .arg("-ec")
            .arg(script)
            .current_dir(self.root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn root(&self) -> PathBuf {
        self.dir.join("mount")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.mount.take());
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn shell_tools_are_a_complete_client() {
    let Some(mounted) = Mounted::new("shell") else {
        return;
    };
    let source = mounted.dir.join("source");
    std::fs::create_dir_all(source.join("deep")).unwrap();
    std::fs::write(
        source.join("boot.md"),
        "# Boot\n\nThe loader reads the kernel from the EFI partition.\n",
    )
    .unwrap();
    std::fs::write(source.join("deep/cat.txt"), "Cats sleep most of the day.\n").unwrap();
    let source = source.display();
    mounted.shell("mkdir notes");
    mounted.shell(&format!(
        "cp -r {source}/. notes/ && cmp {source}/boot.md notes/boot.md"
    ));
    assert_eq!(
        mounted.shell("ls notes notes/deep"),
        "notes:\nboot.md\ndeep\n\nnotes/deep:\ncat.txt\n"
    );
    assert_eq!(
        mounted.shell("ls 'notes/?q=kernel+loader&k=1'"),
        "boot.md\n"
    );
    assert!(
        mounted
            .shell("cat 'notes/?q=kernel+loader&k=1/boot.md'")
            .contains("EFI partition")
    );
    let found = mounted.shell("exec 3<>'notes/.search?k=1'; echo 'sleeping cats' >&3; cat <&3");
    assert!(found.contains("\"path\":\"deep/cat.txt\""), "{found}");
    mounted.shell("echo 'year = 2024' > notes/.meta/boot.md");
    assert_eq!(mounted.shell("cat notes/.meta/boot.md"), "year = 2024\n");
    mounted.shell("echo 'longer than before was' > notes/x; echo short > notes/x");
    assert_eq!(mounted.shell("cat notes/x"), "short\n");
    mounted.shell("echo more >> notes/x");
    assert_eq!(mounted.shell("cat notes/x"), "short\nmore\n");
    assert!(mounted.shell("cat notes/.history").contains("replaced"));
    mounted.shell("echo > notes/.undo");
    assert_eq!(mounted.shell("cat notes/x"), "short\n");
    assert!(mounted.shell("cat notes/.ctl").contains("model hashing"));
    mounted.shell("echo ttl 3d > notes/.ctl && grep -q 'ttl 3d' notes/.ctl");
    mounted
        .shell("mkdir copy && cat notes/.export > copy/.import && cmp notes/boot.md copy/boot.md");
    let context = "exec 3<>context; echo '{\"goal\":\"kernel\",\"tokens\":100,\"from\":[\"notes\"]}' >&3; cat <&3";
    assert!(mounted.shell(context).contains("memory:/notes/boot.md"));
    assert!(
        mounted
            .shell("cat status")
            .contains("\"collection\":\"notes\"")
    );
    assert!(
        mounted
            .shell("cat metrics")
            .contains("memory_documents{collection=\"notes\"} 3")
    );
    mounted.shell("mv notes/x notes/y && rm notes/y && test ! -e notes/x");
    mounted.shell("rm -r copy && test ! -e copy");
}

#[test]
fn the_client_library_works_over_a_mount() {
    let Some(mounted) = Mounted::new("client") else {
        return;
    };
    let client = Client::at(Path::new(&mounted.root()));
    client.make_collection("notes").unwrap();
    client
        .put(
            "notes",
            "a.txt",
            b"penguins swim in cold water",
            Some("n = 1"),
        )
        .unwrap();
    let found = client
        .search("notes", "swimming penguins", &SearchOptions::default())
        .unwrap();
    assert_eq!((&found[0].path[..], found.len()), ("a.txt", 1));
    let bad = SearchOptions {
        filter: "(".into(),
        ..SearchOptions::default()
    };
    assert!(client.search("notes", "x", &bad).is_err());
    let request = ContextRequest {
        goal: "penguins".into(),
        tokens: 50,
        from: vec![],
    };
    assert_eq!(
        client.context(&request).unwrap()[0].source,
        "memory:/notes/a.txt"
    );
    assert!(
        client
            .put("notes", "a.txt", b"x", Some("no equals"))
            .is_err()
    );
    client.forget("notes", "a.txt").unwrap();
    assert!(
        client
            .search("notes", "penguins", &SearchOptions::default())
            .unwrap()
            .is_empty()
    );
}
