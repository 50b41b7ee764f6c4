//! The user and group files. Pure. Redox's columns are separated by `;`: `name;uid;gid;gecos;home;shell` and
//! `name;x;gid;member,member` (redox-facts 3).

use crate::network::parse_decimal;

/// A line of `/etc/passwd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'a> {
    /// Login name.
    pub name: &'a [u8],
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Full name.
    pub gecos: &'a [u8],
    /// Home directory.
    pub home: &'a [u8],
    /// Login shell.
    pub shell: &'a [u8],
}

/// A line of `/etc/group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// The group's name.
    pub name: &'a [u8],
    /// Its number.
    pub gid: u32,
    /// Member names, separated by commas.
    pub members: &'a [u8],
}

impl<'a> Group<'a> {
    /// The members' names.
    pub fn member_names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.members
            .split(|&byte| byte == b',')
            .filter(|name| !name.is_empty())
    }
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty() && line[0] != b'#')
}

fn number(field: &[u8]) -> Option<u32> {
    parse_decimal(field, u32::MAX)
}

fn parse_user(line: &[u8]) -> Option<User<'_>> {
    let mut fields = line.split(|&byte| byte == b';');
    Some(User {
        name: fields.next().filter(|name| !name.is_empty())?,
        uid: number(fields.next()?)?,
        gid: number(fields.next()?)?,
        gecos: fields.next()?,
        home: fields.next()?,
        shell: fields.next()?,
    })
}

fn parse_group(line: &[u8]) -> Option<Group<'_>> {
    let mut fields = line.split(|&byte| byte == b';');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let second = fields.next()?;
    let third = fields.next();
    // Older files have no password column.
    match (third.and_then(number), number(second)) {
        (Some(gid), _) => Some(Group {
            name,
            gid,
            members: fields.next().unwrap_or(b""),
        }),
        (None, Some(gid)) => Some(Group {
            name,
            gid,
            members: third.unwrap_or(b""),
        }),
        (None, None) => None,
    }
}

/// The users of a passwd file; lines that make no sense are skipped.
pub fn users(file: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(file).filter_map(parse_user)
}

/// The groups of a group file; lines that make no sense are skipped.
pub fn groups(file: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(file).filter_map(parse_group)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root;0;0;root;/root;/bin/sh\n# x\nbroken;a;b\nuser;1000;1000;;/home/user;/bin/sh\n";

    #[test]
    fn users_are_read_and_bad_lines_skipped() {
        let found: Vec<_> = users(PASSWD).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[1].name, found[1].uid, found[1].home),
            (&b"user"[..], 1000, &b"/home/user"[..])
        );
    }

    #[test]
    fn groups_are_read_with_and_without_a_password_column() {
        let found: Vec<_> = groups(b"sudo;x;1;user,root\nold;7;a\n").collect();
        assert_eq!(
            found[0].member_names().collect::<Vec<_>>(),
            [&b"user"[..], b"root"]
        );
        assert_eq!((found[1].gid, found[1].members), (7, &b"a"[..]));
    }
}
