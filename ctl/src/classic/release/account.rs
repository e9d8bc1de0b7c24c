//! The account that says the same as the record of a home, and what a record says that an account has no place for.

use crate::classic::lines::{File, Lines, Texts};
use records::privileged::KINDS_OF_KEYS;
use records::{Record, Settings};

/// Days become µs.
const DAY: u64 = 86_400_000_000;
/// shadow(5): so many days stand for ever.
const EVER: u64 = 99_999;
/// How long before its end somebody is warned of it: shadow's own.
const WARNED: u64 = 7;
/// What stands in the place of a hash that nothing has.
const NONE: &str = "!";

/// The account of a record, with a number for its user and its group, and a home directory; it is put into those of the record's
/// groups that are there, and do not list the user already: what they list is theirs, and stays.
pub fn lines(record: &Record, settings: &Settings, (number, home): (u32, &str), texts: &Texts) -> Lines {
    let user = record.user().as_str();
    let real_name = settings.real_name.as_deref().unwrap_or_default();
    let shell = settings.effective_shell();
    let groups = |file: File| -> Vec<String> {
        let there = groups(settings, user).into_iter();
        let lacks = |group: &&str| texts.has(file, group) && !texts.lists(file, group, user);
        there.filter(lacks).map(str::to_owned).collect()
    };
    // A machine without the file keeps nothing there.
    let has = |file: File| !texts.of(file).is_empty();
    Lines {
        user: user.to_owned(),
        passwd: format!("{user}:x:{number}:{number}:{real_name}:{home}:{shell}"),
        shadow: has(File::Shadow).then(|| shadow(record, settings)),
        group: Some(format!("{user}:x:{number}:")),
        gshadow: has(File::Gshadow).then(|| format!("{user}:!::")),
        member_of: groups(File::Group),
        shadow_member_of: groups(File::Gshadow),
    }
}

/// The groups of a record but the user's own.
fn groups<'a>(settings: &'a Settings, user: &str) -> Vec<&'a str> {
    let mut groups: Vec<_> = settings.member_of.iter().flatten().map(String::as_str).collect();
    groups.retain(|group| *group != user);
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The line of shadow(5).
fn shadow(record: &Record, settings: &Settings) -> String {
    let hash = record.hashed_passwords().first().copied().unwrap_or(NONE);
    let lock = if settings.locked == Some(true) { "!" } else { "" };
    let days = |usec: Option<u64>| usec.map(|usec| usec / DAY);
    let text = |days: Option<u64>| days.map(|days| days.to_string()).unwrap_or_default();
    let last = match settings.password_change_now {
        Some(true) => Some(0),
        _ => days(settings.last_password_change_usec),
    };
    let least = settings.password_change_min_usec.map_or(0, |usec| usec.div_ceil(DAY));
    let most = days(settings.password_change_max_usec).map_or(EVER, |days| days.clamp(1, EVER));
    let warned = days(settings.password_change_warn_usec).unwrap_or(WARNED);
    let (inactive, ends) = (days(settings.password_change_inactive_usec), days(settings.not_after_usec));
    format!(
        "{}:{lock}{hash}:{}:{least}:{most}:{warned}:{}:{}:",
        record.user(),
        text(last),
        text(inactive),
        text(ends)
    )
}

/// Whether a value can stand between colons.
pub fn unfit(record: &Record, settings: &Settings, home: &str) -> Option<&'static str> {
    let cannot = |text: &str| text.contains(':') || text.contains(char::is_control);
    let hash = record.hashed_passwords().first().copied().unwrap_or_default();
    let rows = [
        ("real name", settings.real_name.as_deref().unwrap_or_default()),
        ("shell", settings.effective_shell()),
        ("home directory", home),
        ("hash of the password", hash),
    ];
    rows.into_iter().find(|(_, text)| cannot(text)).map(|(what, _)| what)
}

/// Members that hold for sessions of homes, or describe their user, and that /etc has no place for.
const NO_PLACE: &[&str] = &[
    "realm",
    "aliases",
    "uuid",
    "emailAddress",
    "birthDate",
    "iconName",
    "location",
    "umask",
    "environment",
    "timeZone",
    "preferredLanguage",
    "additionalLanguages",
    "niceLevel",
    "resourceLimits",
    "notBeforeUSec",
    "tasksMax",
    "memoryHigh",
    "memoryMax",
    "cpuWeight",
    "ioWeight",
    "tmpLimit",
    "tmpLimitScale",
    "devShmLimit",
    "devShmLimitScale",
    "capabilityBoundingSet",
    "capabilityAmbientSet",
    "mountNoExecute",
    "rateLimitIntervalUSec",
    "rateLimitBurst",
    "autoLogin",
    "preferredSessionType",
    "preferredSessionLauncher",
    "stopDelayUSec",
    "killProcesses",
    "defaultArea",
];

/// What is lost, in sentences.
pub fn lost(record: &Record, settings: &Settings, texts: &Texts) -> Vec<String> {
    let user = record.user().as_str();
    let mut lost =
        vec!["Its files are not encrypted any more, and are not locked while the machine sleeps.".to_owned()];
    let hashes = record.hashed_passwords().len();
    match hashes {
        0 => lost.push(format!(
            "The home has no password, and so the account has none. To give it one: passwd {user}"
        )),
        1 => {}
        more => lost.push(format!("The home has {more} passwords; the account has the first of them.")),
    }
    let others = KINDS_OF_KEYS.iter().filter(|kind| **kind != "hashedPassword");
    let keys: usize = others.map(|kind| record.keys_of(kind).len()).sum();
    if keys > 0 {
        lost.push(format!(
            "{keys} other keys (security keys, smart cards, PINs, recovery keys) open the home, and not the account."
        ));
    }
    let ssh = record.ssh_authorized_keys().len();
    if ssh > 0 {
        lost.push(format!(
            "{ssh} SSH keys are in the record, and not in ~/.ssh/authorized_keys: homectl inspect {user} -j shows them."
        ));
    }
    let missing: Vec<_> =
        groups(settings, user).into_iter().filter(|group| !texts.has(File::Group, group)).collect();
    if !missing.is_empty() {
        lost.push(format!("There are no groups {}: the account is not in them.", missing.join(", ")));
    }
    let set = no_place(record);
    if !set.is_empty() {
        lost.push(format!("An account has no place for these of its settings: {}.", set.join(", ")));
    }
    lost
}

/// Those that the record sets, for all machines or for some.
fn no_place(record: &Record) -> Vec<&'static str> {
    let everywhere = std::iter::once(record.members());
    let entries = record.members().get("perMachine").and_then(|all| all.as_array());
    let all: Vec<_> =
        everywhere.chain(entries.into_iter().flatten().filter_map(|one| one.as_object())).collect();
    let is_set = |name: &&&str| all.iter().any(|members| members.contains_key(**name));
    NO_PLACE.iter().filter(is_set).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classic::account::Account;
    use records::{HostName, Machine, MachineId, Sections};
    use serde_json::{Value, json};

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\n";

    fn machine() -> Machine {
        Machine { id: MachineId::parse(&"1".repeat(32)).expect("valid"), host: HostName("a".into()) }
    }

    fn texts(group: &str, gshadow: &str) -> Texts {
        let mut all = [PASSWD, "root:*:1::::::\n", group, gshadow].into_iter();
        Texts::read(|_| Ok::<_, ()>(all.next().unwrap_or_default().as_bytes().to_vec())).expect("reads")
    }

    fn record(members: Value) -> (Record, Settings) {
        let record = Record::parse(&members.to_string(), Sections::HOST).expect("valid");
        let settings = record.on(&machine());
        (record, settings)
    }

    fn made(members: Value) -> Lines {
        let (record, settings) = record(members);
        let texts = texts("audio:x:29:\nvideo:x:44:\n", "audio:*::\n");
        lines(&record, &settings, (1001, "/home/bob"), &texts)
    }

    #[test]
    fn the_lines_say_what_the_record_says() {
        let bob = made(json!({
            "userName": "bob", "realName": "Bob Builder", "shell": "/bin/zsh", "locked": true,
            "memberOf": ["video", "audio", "nowhere", "bob"], "lastPasswordChangeUSec": 19_000 * DAY,
            "passwordChangeMinUSec": DAY, "passwordChangeMaxUSec": 90 * DAY, "passwordChangeWarnUSec": 9 * DAY,
            "passwordChangeInactiveUSec": 14 * DAY, "notAfterUSec": 20_000 * DAY,
            "privileged": {"hashedPassword": ["$y$hash", "$y$other"]},
        }));
        assert_eq!(bob.passwd, "bob:x:1001:1001:Bob Builder:/home/bob:/bin/zsh");
        assert_eq!(bob.shadow.as_deref(), Some("bob:!$y$hash:19000:1:90:9:14:20000:"));
        assert_eq!(bob.group.as_deref(), Some("bob:x:1001:"));
        assert_eq!(bob.gshadow.as_deref(), Some("bob:!::"));
        assert_eq!(bob.member_of, ["audio", "video"]);
        assert_eq!(bob.shadow_member_of, ["audio"]);
    }

    #[test]
    fn who_says_little_gets_what_useradd_gives() {
        let bob = made(json!({"userName": "bob"}));
        assert_eq!(bob.passwd, "bob:x:1001:1001::/home/bob:/bin/bash");
        assert_eq!(bob.shadow.as_deref(), Some("bob:!::0:99999:7:::"), "nobody gets in by it");
        let soon = made(json!({"userName": "bob", "passwordChangeNow": true, "lastPasswordChangeUSec": DAY}));
        assert_eq!(soon.shadow.as_deref(), Some("bob:!:0:0:99999:7:::"));
        let (record, settings) = record(json!({"userName": "bob"}));
        let no_gshadow = lines(&record, &settings, (1001, "/home/bob"), &texts("", ""));
        assert_eq!(no_gshadow.gshadow, None);
    }

    /// Somebody has put the user of the home into a group of this machine.
    #[test]
    fn a_group_that_lists_the_user_already_is_no_part_of_the_account() {
        let (record, settings) = record(json!({"userName": "bob", "memberOf": ["audio", "video"]}));
        let texts = texts("audio:x:29:bob\nvideo:x:44:\n", "audio:*::\nvideo:*::bob\n");
        let bob = lines(&record, &settings, (1001, "/home/bob"), &texts);
        assert_eq!(
            (&bob.member_of[..], &bob.shadow_member_of[..]),
            (&["video".to_owned()][..], &["audio".to_owned()][..])
        );
        assert_eq!(bob.standing(&texts), crate::classic::lines::Standing::Gone);
        assert_eq!(bob.taken_out(File::Group, texts.of(File::Group)), texts.of(File::Group));
    }

    /// What a conversion makes of an account is the account again.
    #[test]
    fn an_account_that_became_a_home_comes_back_as_it_was() {
        let mut texts = texts("bob:x:1500:\naudio:x:29:bob\n", "bob:!::\naudio:*::bob\n");
        texts.of_mut(File::Passwd).extend(b"bob:x:1500:1500:Bob Builder:/srv/bob:/bin/zsh\n");
        texts.of_mut(File::Shadow).extend(b"bob:$y$hash:19000:1:90:9:14:20000:\n");
        let bob = Lines::of(&texts, "bob").expect("text").expect("known");
        let mut members = Account::of(&bob, &texts).expect("an account").members(0o750);
        members.insert("privileged".into(), json!({"hashedPassword": ["$y$hash"]}));
        let (record, settings) = record(members.into());
        let without = self::texts("audio:x:29:\n", "audio:*::\n");
        assert_eq!(lines(&record, &settings, (1500, "/srv/bob"), &without), bob);
    }

    #[test]
    fn what_is_lost_is_told() {
        let (record, settings) = record(json!({
            "userName": "bob", "memberOf": ["audio", "nowhere"], "umask": 18,
            "perMachine": [{"matchMachineId": "2".repeat(32), "tasksMax": 7}],
            "privileged": {
                "hashedPassword": ["$y$1", "$y$2"], "sshAuthorizedKeys": ["ssh-ed25519 AAAA"],
                "recoveryKey": [{"type": "modhex64", "hashedPassword": "$y$3"}],
            },
        }));
        let told = lost(&record, &settings, &texts("audio:x:29:\n", "")).join("\n");
        for words in [
            "not encrypted",
            "has 2 passwords",
            "1 other keys",
            "1 SSH keys",
            "no groups nowhere",
            "umask, tasksMax",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn a_line_is_not_ended_by_what_is_in_it() {
        let (record, mut settings) = record(json!({"userName": "bob"}));
        assert_eq!(unfit(&record, &settings, "/home/bob"), None);
        assert_eq!(unfit(&record, &settings, "/home/b:ob"), Some("home directory"));
        settings.shell = Some("/bin/sh\nroot2:x:0:0::/:/bin/sh".into());
        assert_eq!(unfit(&record, &settings, "/home/bob"), Some("shell"));
    }
}
