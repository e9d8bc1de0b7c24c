//! What passwd(5), shadow(5), group(5) and gshadow(5) say of one user.
//!
//! Files are bytes: lines of others may be in any encoding, and stay as they are.

use serde::{Deserialize, Serialize};

/// One of the four files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// passwd(5)
    Passwd,
    /// shadow(5)
    Shadow,
    /// group(5)
    Group,
    /// gshadow(5)
    Gshadow,
}

impl File {
    /// In the order in which an account is taken out: its line of /etc/passwd first. It is put back the other way round.
    pub const ALL: [Self; 4] = [Self::Passwd, Self::Shadow, Self::Group, Self::Gshadow];

    /// Its name in /etc.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passwd => "passwd",
            Self::Shadow => "shadow",
            Self::Group => "group",
            Self::Gshadow => "gshadow",
        }
    }
}

/// The text of all four; one that is not there is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts([Vec<u8>; 4]);

impl Texts {
    /// Of what `read` gives for each.
    pub fn read<E>(mut read: impl FnMut(File) -> Result<Vec<u8>, E>) -> Result<Self, E> {
        let mut texts = Self::default();
        for file in File::ALL {
            *texts.of_mut(file) = read(file)?;
        }
        Ok(texts)
    }

    /// One of them.
    pub fn of(&self, file: File) -> &[u8] {
        &self.0[file as usize]
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, file: File) -> &mut Vec<u8> {
        &mut self.0[file as usize]
    }

    /// Whether a file has a line of that name.
    pub fn has(&self, file: File, name: &str) -> bool {
        find(self.of(file), name).is_some()
    }

    /// Whether a group of a file lists a user.
    pub fn lists(&self, file: File, group: &str, user: &str) -> bool {
        find(self.of(file), group).is_some_and(|line| lists(line, user))
    }

    /// The groups that list a user.
    pub fn groups_of(&self, user: &str) -> Vec<String> {
        lines(self.of(File::Group)).filter(|line| lists(line, user)).map(name).collect()
    }

    /// The numbers of all users and groups.
    pub fn numbers(&self) -> Vec<u32> {
        let of = |file| lines(self.of(file)).filter_map(|line| number(line, 2));
        of(File::Passwd).chain(of(File::Group)).collect()
    }

    /// Names of the groups with this number.
    pub fn groups_numbered(&self, gid: u32) -> Vec<String> {
        lines(self.of(File::Group)).filter(|line| number(line, 2) == Some(gid)).map(name).collect()
    }

    /// The number of a group.
    pub fn number_of_group(&self, group: &str) -> Option<u32> {
        number(find(self.of(File::Group), group)?, 2)
    }

    /// Users whose first group has this number, except one.
    pub fn others_with_group(&self, gid: u32, except: &str) -> Vec<String> {
        let users = lines(self.of(File::Passwd)).filter(|line| number(line, 3) == Some(gid)).map(name);
        users.filter(|user| user != except).collect()
    }

    /// Users with this number, except one.
    pub fn others_numbered(&self, uid: u32, except: &str) -> Vec<String> {
        let users = lines(self.of(File::Passwd)).filter(|line| number(line, 2) == Some(uid)).map(name);
        users.filter(|user| user != except).collect()
    }

    /// Users whose home directory is there, or within, except one.
    pub fn others_at(&self, home: &str, except: &str) -> Vec<String> {
        let home = home.trim_end_matches('/');
        let is_there = |line: &&[u8]| {
            let place = String::from_utf8_lossy(field(line, 5)).into_owned();
            place.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        lines(self.of(File::Passwd)).filter(is_there).map(name).filter(|user| user != except).collect()
    }
}

/// What the files say of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lines {
    /// The name.
    pub user: String,
    /// The line of passwd.
    pub passwd: String,
    /// That of shadow, if there is one. It has the password's hash.
    pub shadow: Option<String>,
    /// That of the user's own group.
    pub group: Option<String>,
    /// Its line of gshadow.
    pub gshadow: Option<String>,
    /// Groups that list the user.
    pub member_of: Vec<String>,
    /// Groups that do so in gshadow.
    pub shadow_member_of: Vec<String>,
}

/// How much of it is in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// All.
    Whole,
    /// Some.
    Part,
    /// Nothing.
    Gone,
}

impl Lines {
    /// What the files say of a user; `None`: they do not know them. An error is a sentence.
    pub fn of(texts: &Texts, user: &str) -> Result<Option<Self>, String> {
        let Some(passwd) = find(texts.of(File::Passwd), user) else { return Ok(None) };
        let gid = number(passwd, 3);
        let text = |line: &[u8]| {
            String::from_utf8(line.to_vec()).map_err(|_| format!("the lines of {user} are not all UTF-8"))
        };
        let own = find(texts.of(File::Group), user).filter(|line| gid.is_some() && number(line, 2) == gid);
        let gshadow = own.and_then(|_| find(texts.of(File::Gshadow), user));
        let listing = |file: File| -> Vec<String> {
            let listing = lines(texts.of(file)).filter(|line| lists(line, user));
            listing.map(name).filter(|group| group != user).collect()
        };
        Ok(Some(Self {
            user: user.to_owned(),
            passwd: text(passwd)?,
            shadow: find(texts.of(File::Shadow), user).map(text).transpose()?,
            group: own.map(text).transpose()?,
            gshadow: gshadow.map(text).transpose()?,
            member_of: listing(File::Group),
            shadow_member_of: listing(File::Gshadow),
        }))
    }

    /// The user's own line of a file.
    fn own(&self, file: File) -> Option<&str> {
        match file {
            File::Passwd => Some(&self.passwd),
            File::Shadow => self.shadow.as_deref(),
            File::Group => self.group.as_deref(),
            File::Gshadow => self.gshadow.as_deref(),
        }
    }

    fn memberships(&self, file: File) -> &[String] {
        match file {
            File::Passwd | File::Shadow => &[],
            File::Group => &self.member_of,
            File::Gshadow => &self.shadow_member_of,
        }
    }

    /// How much of it stands. A group that is not there any more does not count. The user's own lines go first and come back
    /// last: where they stand, a group that has not got the user was changed by somebody else.
    pub fn standing(&self, texts: &Texts) -> Standing {
        let mut own = File::ALL.into_iter().filter(|file| self.own(*file).is_some());
        if own.all(|file| find(texts.of(file), &self.user).is_some()) {
            return Standing::Whole;
        }
        let mut seen = [false; 2];
        for file in File::ALL {
            let text = texts.of(file);
            // What a file says is taken out and put back at once: memberships beside a line of the user's own are another hand's.
            if self.own(file).is_some() {
                seen[usize::from(find(text, &self.user).is_some())] = true;
                continue;
            }
            let groups = self.memberships(file).iter().filter_map(|group| find(text, group));
            groups.for_each(|line| seen[usize::from(lists(line, &self.user))] = true);
        }
        match seen {
            [true, true] => Standing::Part,
            [true, false] => Standing::Gone,
            [false, _] => Standing::Whole,
        }
    }

    /// Files with a line of that name that is not the one of these. Numbers tell in passwd and group, where a user may change
    /// the rest; a line of shadow or gshadow belongs to the one whose password it has.
    pub fn strangers(&self, texts: &Texts) -> Vec<File> {
        let line = |file: File| find(texts.of(file), &self.user);
        let same = |file: File, fields: std::ops::RangeInclusive<usize>| {
            let own = self.own(file).map(str::as_bytes);
            own.zip(line(file))
                .is_some_and(|(own, there)| fields.clone().all(|at| field(own, at) == field(there, at)))
        };
        let is_stranger = |file: &File| match *file {
            File::Passwd => !same(File::Passwd, 2..=3),
            File::Group => !same(File::Group, 2..=2),
            File::Shadow => {
                !same(File::Passwd, 2..=3) && line(File::Shadow) != self.own(File::Shadow).map(str::as_bytes)
            }
            File::Gshadow => {
                !same(File::Group, 2..=2) && line(File::Gshadow) != self.own(File::Gshadow).map(str::as_bytes)
            }
        };
        File::ALL.into_iter().filter(|file| line(*file).is_some()).filter(is_stranger).collect()
    }

    /// A file without what it says of the user.
    pub fn taken_out(&self, file: File, text: &[u8]) -> Vec<u8> {
        let stays = |line: &&[u8]| self.own(file).is_none() || name(line) != self.user;
        let members = self.memberships(file);
        let changed = |line: &[u8]| match members.contains(&name(line)) {
            true => with_members(line, |list| list.retain(|one| one != self.user.as_bytes())),
            false => line.to_vec(),
        };
        joined(lines(text).filter(stays).map(changed))
    }

    /// A file with all that it has said. Other lines stay as they are by now, and so does one of that name; lines that name
    /// another database (`+`) stay behind.
    pub fn put_back(&self, file: File, text: &[u8]) -> Vec<u8> {
        let members = self.memberships(file);
        let mut all: Vec<Vec<u8>> = lines(text)
            .map(|line| match members.contains(&name(line)) && !lists(line, &self.user) {
                true => with_members(line, |list| list.push(self.user.as_bytes().to_vec())),
                false => line.to_vec(),
            })
            .collect();
        if let Some(own) = self.own(file).filter(|_| find(text, &self.user).is_none()) {
            let place = all.iter().position(|line| line.starts_with(b"+")).unwrap_or(all.len());
            all.insert(place, own.as_bytes().to_vec());
        }
        joined(all)
    }
}

fn joined(lines: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    lines.into_iter().flat_map(|line| line.into_iter().chain([b'\n'])).collect()
}

/// Lines; what comes after the last line end, too.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let is_empty = text.is_empty();
    text.split(|byte| *byte == b'\n').filter(move |_| !is_empty)
}

fn field(line: &[u8], number: usize) -> &[u8] {
    line.split(|byte| *byte == b':').nth(number).unwrap_or_default()
}

fn name(line: &[u8]) -> String {
    String::from_utf8_lossy(field(line, 0)).into_owned()
}

fn number(line: &[u8], place: usize) -> Option<u32> {
    std::str::from_utf8(field(line, place)).ok()?.parse().ok()
}

fn find<'a>(text: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    lines(text).find(|line| field(line, 0) == wanted.as_bytes())
}

/// Whether the fourth field, a list between commas, has the user.
fn lists(line: &[u8], user: &str) -> bool {
    field(line, 3).split(|byte| *byte == b',').any(|one| one == user.as_bytes())
}

/// The line with another list in its fourth field.
fn with_members(line: &[u8], change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut fields: Vec<Vec<u8>> = line.split(|byte| *byte == b':').map(<[u8]>::to_vec).collect();
    if let Some(list) = fields.get_mut(3) {
        let names = list.split(|byte| *byte == b',').filter(|one| !one.is_empty());
        let mut names: Vec<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
        change(&mut names);
        *list = names.join(&b","[..]);
    }
    fields.join(&b":"[..])
}

#[cfg(test)]
mod tests;
