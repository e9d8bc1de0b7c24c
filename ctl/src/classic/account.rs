//! What an account is, by its lines, and the record that says the same of a home.

use super::lines::{Lines, Texts};
use serde_json::{Map, Value, json};

/// Days become µs.
const DAY: u64 = 86_400_000_000;
/// shadow(5): so many days stand for ever.
const EVER: u64 = 99_999;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub user: String,
    /// Its number.
    pub uid: u32,
    /// That of its first group.
    pub gid: u32,
    /// The comment field, whole.
    pub comment: String,
    /// The home directory.
    pub home: String,
    /// The shell.
    pub shell: String,
    /// The password.
    pub password: Password,
    /// The groups it is in beside its own, sorted.
    pub groups: Vec<String>,
    /// Fields 3 to 8 of shadow(5), in days.
    days: [Option<u64>; 6],
}

/// What is known of the password.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// Its hash; the account may be locked.
    Hash {
        /// As crypt(3) checks it.
        hash: String,
        /// Whether nobody gets in by it.
        locked: bool,
    },
    /// There is none that could be given.
    None,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hash { locked: false, .. } => "a hash",
            Self::Hash { locked: true, .. } => "a locked hash",
            Self::None => "none",
        })
    }
}

impl Password {
    fn of(field: &str) -> Self {
        let hash = field.trim_start_matches('!');
        match hash {
            "" | "*" | "x" | "NP" | "LK" => Self::None,
            _ if hash.starts_with('*') => Self::None,
            _ => Self::Hash { hash: hash.to_owned(), locked: hash.len() < field.len() },
        }
    }
}

impl Account {
    /// What the lines mean; an error is a sentence.
    pub fn of(lines: &Lines, texts: &Texts) -> Result<Self, String> {
        let fields: Vec<&str> = lines.passwd.split(':').collect();
        let [user, password, uid, gid, comment, home, shell] = fields[..] else {
            return Err(format!("the line of {} in /etc/passwd has not seven fields", lines.user));
        };
        let number = |text: &str| {
            text.parse::<u32>().map_err(|_| format!("/etc/passwd gives {user} the number {text:?}"))
        };
        let (uid, gid) = (number(uid)?, number(gid)?);
        let shadow: Vec<&str> = lines.shadow.as_deref().unwrap_or_default().split(':').collect();
        let at = |place: usize| shadow.get(place).copied().unwrap_or_default();
        let field = if lines.shadow.is_some() { at(1) } else { password };
        let mut groups = lines.member_of.clone();
        if lines.group.is_none() {
            groups.extend(texts.groups_numbered(gid).into_iter().take(1));
        }
        groups.sort();
        groups.dedup();
        Ok(Self {
            user: user.to_owned(),
            uid,
            gid,
            comment: comment.to_owned(),
            home: home.trim_end_matches('/').to_owned(),
            shell: shell.to_owned(),
            password: Password::of(field),
            groups,
            days: [2, 3, 4, 5, 6, 7].map(|place| at(place).parse().ok()),
        })
    }

    /// The real name: what comes before the first comma of the comment.
    pub fn real_name(&self) -> &str {
        self.comment.split(',').next().unwrap_or_default().trim()
    }

    /// What else is in the comment, which a record has no place for.
    pub fn rest_of_comment(&self) -> &str {
        let rest = self.comment.split_once(',').map_or("", |(_, rest)| rest);
        if rest.chars().all(|letter| letter == ',' || letter == ' ') { "" } else { rest }
    }

    /// The group that becomes the home's own: the first one where it is the user's alone; else the one with the user's number,
    /// which nobody has.
    pub fn own_group(&self, lines: &Lines) -> u32 {
        if lines.group.is_some() { self.gid } else { self.uid }
    }

    /// The record of a home that is the same, with folders opened as `mode` says; without the password's hash.
    pub fn members(&self, mode: u32) -> Map<String, Value> {
        let mut members = Map::new();
        let mut set = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        set("userName", json!(self.user));
        set("disposition", json!("regular"));
        set("uid", json!(self.uid));
        set("accessMode", json!(mode));
        if !self.real_name().is_empty() {
            set("realName", json!(self.real_name()));
        }
        if !self.shell.is_empty() {
            set("shell", json!(self.shell));
        }
        if self.home != format!("/home/{}", self.user) {
            set("homeDirectory", json!(self.home));
        }
        if !self.groups.is_empty() {
            set("memberOf", json!(self.groups));
        }
        if matches!(self.password, Password::Hash { locked: true, .. }) {
            set("locked", json!(true));
        }
        self.ages().into_iter().for_each(|(name, value)| set(name, value));
        members
    }

    /// shadow(5): when the password was changed last, and when it and the account end.
    fn ages(&self) -> Vec<(&'static str, Value)> {
        let [last, least, most, warn, inactive, expires] = self.days;
        let usec = |days: u64| json!(days.saturating_mul(DAY));
        let bound = |days: Option<u64>| days.filter(|days| (1..EVER).contains(days));
        let mut ages = Vec::new();
        match last {
            Some(0) => ages.push(("passwordChangeNow", json!(true))),
            Some(days) => ages.push(("lastPasswordChangeUSec", usec(days))),
            None => {}
        }
        let rows = [
            ("passwordChangeMinUSec", bound(least)),
            ("passwordChangeMaxUSec", bound(most)),
            // Of a password that never ends nobody is warned.
            ("passwordChangeWarnUSec", bound(warn).filter(|_| bound(most).is_some())),
            ("passwordChangeInactiveUSec", inactive.filter(|_| bound(most).is_some())),
            ("notAfterUSec", expires),
        ];
        ages.extend(rows.into_iter().filter_map(|(name, days)| Some((name, usec(days?)))));
        ages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(passwd: &str, shadow: Option<&str>, group: Option<&str>) -> Account {
        let lines = Lines {
            user: "bob".into(),
            passwd: passwd.into(),
            shadow: shadow.map(str::to_owned),
            group: group.map(str::to_owned),
            gshadow: None,
            member_of: vec!["wheel".into(), "audio".into()],
            shadow_member_of: Vec::new(),
        };
        let mut texts = Texts::default();
        *texts.of_mut(super::super::lines::File::Group) = b"users:x:100:\n".to_vec();
        Account::of(&lines, &texts).expect("an account")
    }

    #[test]
    fn the_record_says_what_the_lines_said() {
        let line = "bob:x:1000:100:Bob Builder,Room 1,,:/srv/bob/:/bin/zsh";
        let bob = account(line, Some("bob:!$6$salt$hash:19000:1:90:7:14:20000:"), None);
        let expected = json!({
            "userName": "bob", "disposition": "regular", "uid": 1000, "accessMode": 0o750, "realName": "Bob Builder",
            "shell": "/bin/zsh", "homeDirectory": "/srv/bob", "memberOf": ["audio", "users", "wheel"], "locked": true,
            "lastPasswordChangeUSec": 1_641_600_000_000_000_u64, "passwordChangeMinUSec": 86_400_000_000_u64,
            "passwordChangeMaxUSec": 7_776_000_000_000_u64, "passwordChangeWarnUSec": 604_800_000_000_u64,
            "passwordChangeInactiveUSec": 1_209_600_000_000_u64, "notAfterUSec": 1_728_000_000_000_000_u64,
        });
        assert_eq!(Value::Object(bob.members(0o750)), expected);
        assert_eq!(bob.rest_of_comment(), "Room 1,,");
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let bob =
            account("bob:x:1000:1000:,,,:/home/bob:", Some("bob:$y$x:0:0:99999:7:::"), Some("bob:x:1000:"));
        let members = bob.members(0o700);
        assert_eq!(members.get("passwordChangeNow"), Some(&json!(true)));
        for name in [
            "realName",
            "shell",
            "homeDirectory",
            "locked",
            "passwordChangeMaxUSec",
            "passwordChangeWarnUSec",
        ] {
            assert!(!members.contains_key(name), "{name}");
        }
        assert_eq!(bob.rest_of_comment(), "");
        assert_eq!(bob.groups, ["audio", "wheel"]);
    }

    #[test]
    fn a_password_is_told_from_what_stands_for_none() {
        for (field, expected) in [
            ("", Password::None),
            ("*", Password::None),
            ("!", Password::None),
            ("!!", Password::None),
            ("!*", Password::None),
            ("x", Password::None),
            ("$y$h", Password::Hash { hash: "$y$h".into(), locked: false }),
            ("!$y$h", Password::Hash { hash: "$y$h".into(), locked: true }),
        ] {
            assert_eq!(Password::of(field), expected, "{field}");
        }
    }
}
