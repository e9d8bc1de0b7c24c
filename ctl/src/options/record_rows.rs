//! The options that change the user record.

use super::Kind::{
    Bool, Capabilities, CifsService, Date, Environment, FileName, Gecos, Groups, ImpliedNo, Moment, Names,
    Number, Octal, OneOf, Path, Realm, SectorSize, Size, Span, Text, TimeZone, Uid, Weight,
};
use super::Place::{Matched, MatchedThis, Privileged, Top};
use super::Takes::{Nothing, One, Perhaps};
use super::{Effect, Kind, Place, Row, Special, Takes, Target};

const NONE: Option<char> = None;

const fn set(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    member: &'static str,
    kind: Kind,
    place: Place,
    help: &'static str,
) -> Row {
    Row { long, short, aliases: &[], value: One(value), help, effect: Effect::Set { member, kind, place } }
}

const fn special(
    long: &'static str,
    short: Option<char>,
    value: Takes,
    what: Special,
    help: &'static str,
) -> Row {
    Row { long, short, aliases: &[], value, help, effect: Effect::Special(what) }
}

const fn also(mut row: Row, aliases: &'static [&'static str]) -> Row {
    row.aliases = aliases;
    row
}

const fn perhaps(mut row: Row, value: &'static str) -> Row {
    row.value = Perhaps(value);
    row
}

const fn flag(mut row: Row) -> Row {
    row.value = Nothing;
    row
}

const BIG: i64 = i64::MAX;

/// The rows, in the order of the help.
#[rustfmt::skip]
pub const RECORD_ROWS: &[Row] = &[
    special("match", NONE, One("any|this|other|auto"), Special::Match, "Which machines the settings that follow are for"),
    special("", Some('A'), Nothing, Special::MatchFixed(Target::Any), "Same as --match=any"),
    special("", Some('T'), Nothing, Special::MatchFixed(Target::This), "Same as --match=this"),
    special("", Some('N'), Nothing, Special::MatchFixed(Target::Other), "Same as --match=other"),
    // who
    also(set("real-name", Some('c'), "NAME", "realName", Gecos, Matched, "Real name"), &["comment"]),
    set("realm", NONE, "REALM", "realm", Realm, Top, "Realm the user belongs to"),
    set("alias", NONE, "NAME,…", "aliases", Names, Top, "Other names of the user; +NAME adds one, -NAME takes one out"),
    set("email-address", NONE, "EMAIL", "emailAddress", Text, Matched, "Email address"),
    set("location", NONE, "LOCATION", "location", Text, Matched, "Where the user is found"),
    perhaps(set("birth-date", NONE, "", "birthDate", Date, Top, "Birth date"), "YYYY-MM-DD"),
    set("icon-name", NONE, "NAME", "iconName", Text, Matched, "Icon name"),
    set("home-dir", Some('d'), "PATH", "homeDirectory", Path, Top, "Home directory"),
    set("uid", Some('u'), "UID", "uid", Uid, Top, "Numeric user ID"),
    also(set("member-of", Some('G'), "GROUP,…", "memberOf", Groups, Matched, "Groups the user belongs to; +GROUP adds one, -GROUP takes one out"), &["groups"]),
    set("capability-bounding-set", NONE, "CAPS", "capabilityBoundingSet", Capabilities, Matched, "Bounding set of capabilities"),
    set("capability-ambient-set", NONE, "CAPS", "capabilityAmbientSet", Capabilities, Matched, "Ambient set of capabilities"),
    set("access-mode", NONE, "MODE", "accessMode", Octal, Top, "Access mode of the new home directory"),
    set("umask", NONE, "MODE", "umask", Octal, Matched, "Umask of the user's processes"),
    set("skel", Some('k'), "PATH", "skeletonDirectory", Path, MatchedThis, "Folder whose contents a new home starts with"),
    set("shell", Some('s'), "PATH", "shell", Path, Matched, "Login shell"),
    set("setenv", NONE, "VAR[=VALUE]", "environment", Environment, Matched, "Environment variable set at login, beside those there are; -VAR takes one out"),
    set("timezone", NONE, "ZONE", "timeZone", TimeZone, Matched, "Time zone"),
    special("language", NONE, One("LOCALE,…"), Special::Language, "Languages, the preferred one first"),
    set("default-area", NONE, "AREA", "defaultArea", FileName, Matched, "Area of the home to log in to"),
    // authentication
    special("ssh-authorized-keys", NONE, One("KEY|@FILE"), Special::SshKeys, "SSH public keys that may log in; with + in front one more, with - one less"),
    special("pkcs11-token-uri", NONE, One("URI|auto|list"), Special::Pkcs11, "Enrol a smart card (PKCS#11); list shows what is plugged in, an empty value removes all"),
    special("fido2-device", NONE, One("PATH|auto|list"), Special::Fido2, "Enrol a FIDO2 security key; list shows what is plugged in, an empty value removes all"),
    special("fido2-with-client-pin", NONE, One("BOOL"), Special::Fido2Pin, "Whether the security key asks for its PIN (default: yes, if it has one)"),
    special("fido2-with-user-presence", NONE, One("BOOL"), Special::Fido2Presence, "Whether the security key wants to be touched (default: yes)"),
    special("fido2-with-user-verification", NONE, One("BOOL"), Special::Fido2Verification, "Whether the security key verifies its user by itself (default: no)"),
    special("fido2-credential-algorithm", NONE, One("es256|rs256|eddsa"), Special::Fido2Algorithm, "Algorithm of its credential (default: es256)"),
    special("tpm2-device", NONE, One("PATH|auto|list"), Special::Tpm2, "Enrol a PIN that works on this computer; list shows its TPMs, an empty value removes the PINs of all computers"),
    special("tpm2-pcrs", NONE, One("PCR+…"), Special::Tpm2Pcrs, "PCRs that have to stay as they are for the PIN (default: none)"),
    special("recovery-key", NONE, One("BOOL"), Special::RecoveryKey, "Make a recovery key; drops former ones"),
    special("token-name", NONE, One("[WHICH=]NAME"), Special::TokenName, "Name for the key that is enrolled, or, with its number or former name, for one that is there"),
    special("remove-token", NONE, One("WHICH"), Special::RemoveToken, "Remove one key, by its number (inspect --details) or name"),
    special("blob", Some('b'), One("PATH|NAME=PATH"), Special::Blob, "Folder, or one file of it, with pictures and such of the user"),
    special("avatar", NONE, One("PATH"), Special::NamedBlob("avatar"), "Picture of the user"),
    special("login-background", NONE, One("PATH"), Special::NamedBlob("login-background"), "Background of the login screen"),
    // account
    set("locked", NONE, "BOOL", "locked", Bool, Matched, "Whether nobody may log in"),
    set("not-before", NONE, "TIME", "notBeforeUSec", Moment, Matched, "No login before this time"),
    also(set("not-after", Some('e'), "TIME", "notAfterUSec", Moment, Matched, "No login after this time"), &["expiredate"]),
    set("rate-limit-interval", NONE, "SPAN", "rateLimitIntervalUSec", Span, Matched, "Time in which attempts are counted (default: 1 min)"),
    set("rate-limit-burst", NONE, "NUMBER", "rateLimitBurst", Number(1, BIG), Matched, "Attempts allowed in that time (default: 30)"),
    set("password-hint", NONE, "HINT", "passwordHint", Text, Privileged, "Hint for the password"),
    set("enforce-password-policy", NONE, "BOOL", "enforcePasswordPolicy", Bool, Matched, "Whether weak passwords are refused"),
    flag(set("", Some('P'), "", "enforcePasswordPolicy", ImpliedNo, Top, "Same as --enforce-password-policy=no")),
    set("password-change-now", NONE, "BOOL", "passwordChangeNow", Bool, Matched, "Ask for a new password at the next login"),
    set("password-change-min", NONE, "SPAN", "passwordChangeMinUSec", Span, Matched, "Shortest time between two changes"),
    set("password-change-max", NONE, "SPAN", "passwordChangeMaxUSec", Span, Matched, "Longest time between two changes"),
    set("password-change-warn", NONE, "SPAN", "passwordChangeWarnUSec", Span, Matched, "How long before the end to warn"),
    set("password-change-inactive", NONE, "SPAN", "passwordChangeInactiveUSec", Span, Matched, "How long after the end a change is still accepted"),
    // resources
    special("disk-size", NONE, One("BYTES|PERCENT|min|max"), Special::DiskSize, "Size of the home"),
    set("nice", NONE, "NICE", "niceLevel", Number(-20, 19), Matched, "Nice level"),
    special("rlimit", NONE, One("LIMIT=VALUE[:VALUE]"), Special::ResourceLimit, "Resource limit: soft, and hard if another"),
    set("tasks-max", NONE, "NUMBER", "tasksMax", Number(1, BIG), Matched, "Most tasks of the user"),
    set("memory-high", NONE, "BYTES", "memoryHigh", Size, MatchedThis, "Memory above which the user is slowed down"),
    set("memory-max", NONE, "BYTES", "memoryMax", Size, MatchedThis, "Most memory of the user"),
    set("cpu-weight", NONE, "WEIGHT", "cpuWeight", Number(1, 10_000), Matched, "CPU weight, 1 to 10000"),
    set("io-weight", NONE, "WEIGHT", "ioWeight", Number(1, 10_000), Matched, "IO weight, 1 to 10000"),
    special("tmp-limit", NONE, One("BYTES|PERCENT"), Special::Limit("tmpLimit", "tmpLimitScale"), "Most the user may store in /tmp"),
    special("dev-shm-limit", NONE, One("BYTES|PERCENT"), Special::Limit("devShmLimit", "devShmLimitScale"), "Most the user may store in /dev/shm"),
    // storage
    set("storage", NONE, "STORAGE", "storage", OneOf(&["luks", "fscrypt", "directory", "subvolume", "cifs"]), MatchedThis, "Kind of storage: luks (default), directory, subvolume (of btrfs; elsewhere a folder), fscrypt (a folder that ext4 or f2fs encrypts), cifs (a share of a server)"),
    set("image-path", NONE, "PATH", "imagePath", Path, MatchedThis, "Path of image file or folder"),
    set("drop-caches", NONE, "BOOL", "dropCaches", Bool, Matched, "Empty the kernel's caches on deactivation"),
    set("fs-type", NONE, "TYPE", "fileSystemType", OneOf(&["btrfs", "ext4", "xfs"]), MatchedThis, "File system in the image: btrfs, ext4, xfs"),
    set("luks-discard", NONE, "BOOL", "luksDiscard", Bool, Matched, "Give freed blocks back while active"),
    set("luks-offline-discard", NONE, "BOOL", "luksOfflineDiscard", Bool, Matched, "Give freed blocks back on deactivation"),
    set("luks-cipher", NONE, "CIPHER", "luksCipher", Text, Matched, "Cipher of the image"),
    set("luks-cipher-mode", NONE, "MODE", "luksCipherMode", Text, Matched, "Mode of the cipher"),
    set("luks-volume-key-size", NONE, "BYTES", "luksVolumeKeySize", Number(1, 1024), Matched, "Size of the volume key in bytes"),
    set("luks-pbkdf-type", NONE, "TYPE", "luksPbkdfType", OneOf(&["pbkdf2", "argon2i", "argon2id"]), Matched, "Key derivation: pbkdf2, argon2i, argon2id"),
    set("luks-pbkdf-hash-algorithm", NONE, "HASH", "luksPbkdfHashAlgorithm", Text, Matched, "Hash of the key derivation"),
    set("luks-pbkdf-force-iterations", NONE, "NUMBER", "luksPbkdfForceIterations", Number(1, BIG), Matched, "Iterations of the key derivation"),
    set("luks-pbkdf-time-cost", NONE, "SPAN", "luksPbkdfTimeCostUSec", Span, Matched, "Time the key derivation takes"),
    set("luks-pbkdf-memory-cost", NONE, "BYTES", "luksPbkdfMemoryCost", Size, MatchedThis, "Memory the key derivation takes"),
    set("luks-pbkdf-parallel-threads", NONE, "NUMBER", "luksPbkdfParallelThreads", Number(1, 4096), Matched, "Threads of the key derivation"),
    set("luks-sector-size", NONE, "BYTES", "luksSectorSize", SectorSize, Matched, "Sector size of the encryption: 512, 1024, 2048, 4096"),
    set("luks-cryptsetup-tokens", NONE, "BOOL", "luksCryptsetupTokens", Bool, Matched, "Write tokens into the image by which plain cryptsetup open asks security keys"),
    set("luks-extra-mount-options", NONE, "OPTIONS", "luksExtraMountOptions", Text, Matched, "Mount options after the default ones"),
    set("lock-level", NONE, "LEVEL", "lockLevel", OneOf(&["key", "cache", "strict", "terminate"]), Matched, "What goes out of memory when the home is locked: key, cache, strict, terminate"),
    set("lock-after-screen-lock", NONE, "SPAN", "lockAfterScreenLockUSec", Span, Matched, "Lock the home when the screen has been locked for so long; infinity: never"),
    set("lock-after-idle", NONE, "SPAN", "lockAfterIdleUSec", Span, Matched, "Lock the home when nothing was touched for so long; infinity: never"),
    set("lock-on-token-removal", NONE, "BOOL", "lockOnTokenRemoval", Bool, Matched, "Lock the home when the security key or smart card that opened it is pulled out"),
    set("auto-resize-mode", NONE, "MODE", "autoResizeMode", OneOf(&["off", "grow", "shrink-and-grow"]), Matched, "Resizing at login and logout: off, grow, shrink-and-grow"),
    set("snapshot-keep-hourly", NONE, "NUMBER", "snapshotKeepHourly", Number(0, 64), Matched, "Snapshots to make and keep of the last hours (default: 0)"),
    set("snapshot-keep-daily", NONE, "NUMBER", "snapshotKeepDaily", Number(0, 64), Matched, "The same of the last days"),
    set("snapshot-keep-weekly", NONE, "NUMBER", "snapshotKeepWeekly", Number(0, 64), Matched, "The same of the last weeks"),
    set("backup-repository", NONE, "REPOSITORY", "backupRepository", Text, Privileged, "Where backup has restic keep backups, in restic's words; others do not see it"),
    set("backup-password-file", NONE, "PATH", "backupPasswordFile", Path, Privileged, "File with the password of that repository (default: what restic's own variables say, else it is asked for)"),
    set("rebalance-weight", NONE, "WEIGHT", "rebalanceWeight", Weight, Matched, "Share of the free space: 1 to 10000, or off"),
    set("nosuid", NONE, "BOOL", "mountNoSuid", Bool, Matched, "Mount with nosuid (default: yes)"),
    set("nodev", NONE, "BOOL", "mountNoDevices", Bool, Matched, "Mount with nodev (default: yes)"),
    set("noexec", NONE, "BOOL", "mountNoExecute", Bool, Matched, "Mount with noexec (default: no)"),
    set("cifs-domain", NONE, "DOMAIN", "cifsDomain", Text, Matched, "CIFS domain"),
    set("cifs-user-name", NONE, "USER", "cifsUserName", Text, Matched, "User at the server; the name of the home's user if it is left out"),
    set("cifs-service", NONE, "SERVICE", "cifsService", CifsService, Matched, "CIFS share that the home lies in, and a folder in it: //host/share/folder"),
    set("cifs-extra-mount-options", NONE, "OPTIONS", "cifsExtraMountOptions", Text, Matched, "CIFS mount options"),
    // login
    set("stop-delay", NONE, "SPAN", "stopDelayUSec", Span, Matched, "How long the user's services stay after logout"),
    set("kill-processes", NONE, "BOOL", "killProcesses", Bool, Matched, "End the user's processes at logout"),
    set("auto-login", NONE, "BOOL", "autoLogin", Bool, Matched, "Log in without asking"),
    set("session-launcher", NONE, "LAUNCHER", "preferredSessionLauncher", FileName, Matched, "Preferred session launcher"),
    set("session-type", NONE, "TYPE", "preferredSessionType", FileName, Matched, "Preferred session type"),
];
