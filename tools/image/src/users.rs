//! The user tables: /etc/passwd, /etc/shadow and /etc/group in Redox's form, columns separated by `;` (facts, 8.1).
//!
//! passwd: name;uid;gid;full name;home;shell. shadow: name;hash, where an empty hash means no password and `!` no login
//! by password. group: name;x;gid;members. Hashes are argon2, as redox_users checks them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::config::{Config, Group, User};
use crate::tree::{Kind, Node, Replace, Tree};

const ORIGIN: &str = "the user tables";
const FIRST_USER_ID: u32 = 1000;

/// The three files.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the files, under their own names
pub struct Tables {
    pub passwd: String,
    pub shadow: String,
    pub group: String,
}

struct Account<'a> {
    name: &'a str,
    user: &'a User,
    uid: u32,
    gid: u32,
    home: String,
}

/// Writes the tables and makes the home folders.
pub fn add_users(tree: &mut Tree, config: &Config) -> Result<()> {
    let accounts = accounts(&config.users)?;
    let tables = tables(&accounts, &config.groups)?;
    for (path, text, mode) in [
        ("/etc/passwd", tables.passwd, 0o644),
        ("/etc/shadow", tables.shadow, 0o600),
        ("/etc/group", tables.group, 0o644),
    ] {
        tree.insert(
            Path::new(path),
            Node::new(Kind::Bytes(text.into_bytes()), mode, ORIGIN),
            Replace::No,
        )?;
    }
    for account in accounts {
        tree.ensure_folder(&account.home, 0o700, account.uid, account.gid, ORIGIN)?;
    }
    Ok(())
}

fn accounts(users: &BTreeMap<String, User>) -> Result<Vec<Account<'_>>> {
    let mut accounts = Vec::new();
    for (name, user) in users {
        check_column(name)?;
        let taken = |id: u32| users.values().any(|user| user.uid == Some(id));
        let uid = match user.uid {
            Some(uid) => uid,
            None => (FIRST_USER_ID..u32::MAX)
                .find(|id| !taken(*id) && !accounts.iter().any(|other: &Account| other.uid == *id))
                .context("no free user number")?,
        };
        let home = user.home.clone().unwrap_or_else(|| format!("/home/{name}"));
        accounts.push(Account {
            name,
            user,
            uid,
            gid: user.gid.unwrap_or(uid),
            home,
        });
    }
    accounts.sort_by_key(|account| account.uid);
    Ok(accounts)
}

fn tables(accounts: &[Account<'_>], groups: &BTreeMap<String, Group>) -> Result<Tables> {
    let mut tables = Tables {
        passwd: String::new(),
        shadow: String::new(),
        group: String::new(),
    };
    for Account {
        name,
        user,
        uid,
        gid,
        home,
    } in accounts
    {
        let full_name = user.name.as_deref().unwrap_or(name);
        let shell = user.shell.as_deref().unwrap_or("/bin/sh");
        for column in [full_name, home, shell] {
            check_column(column)?;
        }
        tables.passwd += &format!("{name};{uid};{gid};{full_name};{home};{shell}\n");
        tables.shadow += &format!("{name};{}\n", shadow_hash(user.password.as_deref())?);
        if !groups.contains_key(*name) && !groups.values().any(|group| group.gid == Some(*gid)) {
            tables.group += &format!("{name};x;{gid};{name}\n");
        }
    }
    for (name, group) in groups {
        check_column(name)?;
        let account_gid = accounts
            .iter()
            .find(|account| account.name == name)
            .map(|account| account.gid);
        let Some(gid) = group.gid.or(account_gid) else {
            bail!("group {name} needs a gid")
        };
        for member in &group.members {
            if !accounts.iter().any(|account| account.name == member) {
                bail!("group {name} has the member {member}, who is no user");
            }
        }
        tables.group += &format!("{name};x;{gid};{}\n", group.members.join(","));
    }
    Ok(tables)
}

fn shadow_hash(password: Option<&str>) -> Result<String> {
    match password {
        None => Ok("!".into()),
        Some("") => Ok(String::new()),
        Some(password) => {
            let salt = uuid::Uuid::new_v4().simple().to_string();
            let config = argon2::Config::original();
            Ok(argon2::hash_encoded(
                password.as_bytes(),
                salt.as_bytes(),
                &config,
            )?)
        }
    }
}

fn check_column(text: &str) -> Result<()> {
    if text.is_empty() || text.contains([';', '\n']) {
        bail!("{text:?} cannot be a column of the user tables");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Tree, Result<()>) {
        let config: Config = toml::from_str(text).unwrap();
        let mut tree = Tree::new();
        let result = add_users(&mut tree, &config);
        (tree, result)
    }

    fn text(tree: &Tree, path: &str) -> String {
        String::from_utf8(tree.read(path).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn the_tables_have_redox_form() {
        let (tree, result) = parse(
            "[users.user]\npassword = \"\"\n[users.root]\npassword = \"secret\"\nuid = 0\ngid = 0\nhome = \"/root\"\n\
             [groups.sudo]\ngid = 1\nmembers = [\"user\"]\n",
        );
        result.unwrap();
        assert_eq!(
            text(&tree, "/etc/passwd"),
            "root;0;0;root;/root;/bin/sh\nuser;1000;1000;user;/home/user;/bin/sh\n"
        );
        assert_eq!(
            text(&tree, "/etc/group"),
            "root;x;0;root\nuser;x;1000;user\nsudo;x;1;user\n"
        );
        let shadow = text(&tree, "/etc/shadow");
        assert!(shadow.contains("user;\n"));
        let hash = shadow
            .lines()
            .find_map(|line| line.strip_prefix("root;"))
            .unwrap();
        assert!(argon2::verify_encoded(hash, b"secret").unwrap());
        assert_eq!(tree.get("/etc/shadow").unwrap().mode, 0o600);
    }

    #[test]
    fn homes_belong_to_their_users() {
        let (tree, result) = parse("[users.user]\n");
        result.unwrap();
        let home = tree.get("/home/user").unwrap();
        assert_eq!((home.uid, home.gid, home.mode), (1000, 1000, 0o700));
        assert!(text(&tree, "/etc/shadow").contains("user;!\n"));
    }

    #[test]
    fn a_separator_in_a_name_is_refused() {
        assert!(parse("[users.user]\nname = \"a;b\"\n").1.is_err());
    }

    #[test]
    fn a_member_must_be_a_user() {
        assert!(
            parse("[groups.sudo]\ngid = 1\nmembers = [\"x\"]\n")
                .1
                .is_err()
        );
    }
}
