//! The rows. `LOST` stands for whether anything was lost, `USER` for whose home it is.

use records::Refusal;

const MAKE: &[&str] = &["create", "register", "adopt", "import", "firstboot"];
const LOOK: &[&str] = &[
    "list",
    "inspect",
    "status",
    "check",
    "authenticate",
    "export",
    "list-signing-keys",
    "get-signing-key",
    "inhibitors",
    "security",
    "help",
];
const OPEN: &[&str] = &["activate", "with", "authenticate", "unlock"];
const CLOSE: &[&str] = &["deactivate", "deactivate-all", "eject", "lock", "lock-all"];
const KEYS: &[&str] = &["update", "passwd", "create", "firstboot", "import"];
/// What somebody may do to the own home (`Rule::OwnerOrPolkit` of homed's front): to close, lock and unlock it is root's, as
/// with the original.
const OWN: &[&str] = &[
    "inspect",
    "status",
    "update",
    "passwd",
    "activate",
    "authenticate",
    "check",
    "snapshot",
    "backup",
    "inhibit-lock",
];

/// Whether anything was lost by a refusal.
pub fn lost(verb: &str) -> &'static str {
    match verb {
        "remove" => "Nothing was deleted.",
        verb if MAKE.contains(&verb) => "Nothing was made.",
        verb if LOOK.contains(&verb) => "",
        _ => "Nothing was changed.",
    }
}

/// The next step after a refusal of a verb.
pub fn next(refusal: Refusal, verb: &str) -> &'static str {
    let row = ROWS.iter().find(|row| row.refusal == refusal);
    row.map_or("LOST", |row| {
        let special = row.special.iter().find(|(verbs, _)| verbs.contains(&verb));
        special.map_or(row.next, |(_, next)| next)
    })
}

/// A refusal.
struct Row {
    refusal: Refusal,
    /// For verbs of which nothing else is said.
    next: &'static str,
    /// The first that names the verb counts.
    special: &'static [(&'static [&'static str], &'static str)],
}

const fn row(
    refusal: Refusal,
    next: &'static str,
    special: &'static [(&'static [&'static str], &'static str)],
) -> Row {
    Row { refusal, next, special }
}

const NOTHING_TO_DO: &str = "There is nothing to do.";
const TRY_AGAIN: &str = "LOST Try again.";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(Refusal::NoSuchHome, "LOST See which homes there are: homectl list", &[]),
    row(Refusal::UidInUse, "LOST See who has it: getent passwd; getent group", &[
        (&["create", "firstboot"], "LOST Leave --uid= out, and a free one is chosen."),
        (&["register", "adopt", "import"], "LOST Take \"uid\" out of the record, or see who has it: getent passwd; getent group"),
    ]),
    row(Refusal::UserNameExists, "LOST See who has the name: getent passwd USER; getent group USER", &[
        (&["create", "firstboot"], "LOST Choose another name, or see who has it: getent passwd USER; getent group USER"),
    ]),
    row(Refusal::HomeExists, "LOST See what is known of it: homectl inspect USER", &[
        (&["create", "firstboot"], "LOST Choose another name or another --image-path=. A home that is there already is used with: homectl adopt PATH"),
        (&["register", "adopt"], "LOST See which homes are known: homectl list. One of them is forgotten, and its storage kept, with: homectl unregister USER"),
        (&["import"], "LOST To take what comes in its place: --replace"),
    ]),
    row(Refusal::HomeAlreadyActive, NOTHING_TO_DO, &[
        (&["remove", "export", "send", "import", "repair", "rescue"], "LOST Close it first: homectl deactivate USER"),
    ]),
    row(Refusal::HomeAlreadyFixated, NOTHING_TO_DO, &[]),
    row(Refusal::HomeUnfixated, "LOST Log in as USER once, or type: homectl activate USER", &[]),
    row(Refusal::HomeNotActive, "LOST To open it: homectl activate USER", &[
        (CLOSE, "It is closed: there is nothing to do."),
    ]),
    row(Refusal::HomeAbsent, "Nothing was lost by this. Plug in the disk with the home, or see where it is expected: homectl inspect USER", &[
        (&["remove"], "LOST Plug in the disk with the home. To forget the record alone: homectl unregister USER"),
    ]),
    row(Refusal::HomeBusy, "LOST See who uses it: fuser -vm ~USER. Then try again.", &[
        (&["convert", "release"], TRY_AGAIN),
        (MAKE, TRY_AGAIN),
        (OPEN, "LOST Try again in a moment. See what is going on: homectl inspect USER"),
        (&["update", "passwd"], "LOST Try again in a moment. See what is going on: homectl inspect USER"),
    ]),
    row(Refusal::BadPassword, "LOST Try again; a recovery key works in the password's place.", &[
        (&["convert"], "LOST Try again. Who does not know it sets a new one: NEWPASSWORD in the environment."),
    ]),
    row(Refusal::BadRecoveryKey, "LOST It has eight groups of eight letters; case does not matter.", &[]),
    row(Refusal::LowPasswordQuality, "LOST Choose a better one. As root: homectl update USER --enforce-password-policy=no lets any be chosen.", &[
        (MAKE, "LOST Choose a better one, or say --enforce-password-policy=no"),
    ]),
    row(Refusal::BadPasswordAndNoToken, "LOST Plug in the security token and try again.", &[]),
    row(Refusal::TokenPinNeeded, "LOST Try again on a terminal, where the PIN can be asked for, or set PIN in the environment.", &[]),
    row(Refusal::TokenProtectedAuthenticationPathNeeded, "LOST Type the PIN on the token's own pad.", &[]),
    row(Refusal::TokenUserPresenceNeeded, "LOST Touch the token when it blinks.", &[]),
    row(Refusal::TokenUserVerificationNeeded, "LOST Verify yourself on the token.", &[]),
    row(Refusal::TokenActionTimeout, "LOST Try again, and be quicker.", &[]),
    row(Refusal::TokenPinLocked, "LOST Unlock it with the tool of the token's maker, or use the password.", &[]),
    row(Refusal::BadPin, TRY_AGAIN, &[]),
    row(Refusal::BadPinFewTriesLeft, TRY_AGAIN, &[]),
    row(Refusal::BadPinOneTryLeft, "LOST One more wrong PIN locks the token; the password works, too.", &[]),
    row(Refusal::BadSignature, "LOST If you trust the machine it comes from: homectl get-signing-key there, homectl add-signing-key here. To open homes of strangers: TrustForeignHomes=restricted in homed.conf.", &[
        (MAKE, "LOST If you trust the machine it comes from: homectl get-signing-key there, homectl add-signing-key here. To sign it anew as your own: --seize=yes"),
    ]),
    row(Refusal::RecordMismatch, "LOST Compare both: homectl inspect USER. If the clock is behind, set it.", &[]),
    row(Refusal::RecordDowngrade, "LOST Somebody changed the record meanwhile: take the newer one (homectl inspect -E USER) and repeat.", &[]),
    row(Refusal::RecordSigned, "LOST Change it on the machine that signed it.", &[]),
    row(Refusal::BadHomeSize, "The home has its old size. See what is possible (Disk Floor, Disk Ceiling): homectl inspect USER", &[
        (&["create", "firstboot", "convert"], "LOST Choose another size: --disk-size="),
        (MAKE, "LOST Choose another size: \"diskSize\" in the record."),
    ]),
    row(Refusal::NoPrivateKey, "LOST See the log: journalctl -u homed", &[]),
    row(Refusal::HomeLocked, "Nothing was lost. To open it again: homectl unlock USER", &[
        (&["lock", "lock-all"], NOTHING_TO_DO),
    ]),
    row(Refusal::HomeNotLocked, NOTHING_TO_DO, &[]),
    row(Refusal::NotLocked, "The keys of these are still in memory; nothing was lost. See why: journalctl -u homed", &[]),
    row(Refusal::NoDiskSpace, "What was there is as it was. Free some space there (df -h) and try again.", &[
        (&["convert"], "LOST Free some space there (df -h); where that is where the image is to lie, another place can be chosen: --image-path="),
        (MAKE, "LOST Free some space there (df -h); where that is where the image is to lie, another place can be chosen: --image-path="),
        (&["resize"], "The home has its old size. Free some space where the image lies (df -h), or choose a smaller size."),
    ]),
    row(Refusal::TooManyOperations, "LOST Try again when those are done.", &[]),
    row(Refusal::TooManyHomes, "LOST Remove a home first, or allow more: MostHomes= in homed.conf.", &[]),
    row(Refusal::AuthenticationLimitHit, "LOST See when (Next Try): homectl inspect USER", &[]),
    row(Refusal::HomeCantAuthenticate, "LOST Restore a record that has a password: homectl register FILE", &[
        (KEYS, "LOST Leave it a password or a key that works; a recovery key is made with --recovery-key=yes"),
    ]),
    row(Refusal::HomeInUse, "LOST Another machine or program has the image open: close it there first.", &[]),
    row(Refusal::RebalanceNotNeeded, NOTHING_TO_DO, &[]),
    row(Refusal::HomeNotReferenced, "LOST Log in as USER first.", &[]),
    row(Refusal::NoSuchKey, "LOST See which there are: homectl list-signing-keys", &[]),
    row(Refusal::UnrecognizedHomeFormat, "LOST A home is an image that says whose it is, a file NAME.home or a folder NAME.homedir.", &[]),
    row(Refusal::HomeDamaged, "The password was not the problem. See what is wrong: homectl check USER. Make a copy of the image before you do more.", &[
        (&["check", "repair", "rescue"], "LOST Make a copy of the image before you do more."),
    ]),
    row(Refusal::InvalidArgs, "LOST", &[]),
    row(Refusal::NotSupported, "LOST", &[]),
    row(Refusal::AccessDenied, "LOST Try it as root.", &[
        (OWN, "LOST Try it as root, or as USER."),
    ]),
];
