//! Which rooms are pure, what runs on the loop, and where a kind of storage or token is. An exception is a row here, for a
//! reviewer to see.

/// No IO, no clock, no chance.
pub const PURE: &[&str] = &[
    "records",
    "homed::home",
    "homed::manager",
    "homed::words",
    "homed::storage::luks::plan",
    "homed::storage::parts::mapped::plan",
    "homed::worker::life::plan",
];

/// What runs in a turn of the daemon's loop, and what only waits beside it on the same thread. What asks a file system, a
/// process or a database is somewhere else, and is called on a thread aside. `/run` is memory: its files do not hang
/// (`markers.rs`, `references.rs`, `inhibitors.rs`, `hold.rs`).
pub const ON_THE_LOOP: &[&str] = &[
    "homed/src/daemon/answers.rs",
    "homed/src/daemon/beat.rs",
    "homed/src/daemon/events.rs",
    "homed/src/daemon/ground.rs",
    "homed/src/daemon/jobs.rs",
    "homed/src/daemon/load.rs",
    "homed/src/daemon/looks.rs",
    "homed/src/daemon/obey.rs",
    "homed/src/daemon/pace.rs",
    "homed/src/daemon/prove.rs",
    "homed/src/daemon/run.rs",
    "homed/src/daemon/signals.rs",
    "homed/src/daemon/slept.rs",
    "homed/src/daemon/system.rs",
    "homed/src/daemon/watch.rs",
    "homed/src/daemon/weaknesses.rs",
];

/// What may be called aside only: each answers when a file system, a process or a database does.
pub const ASIDE: &[&str] = &[
    "scan::folder",
    "scan::file",
    "scan::named",
    "figures::of",
    "whereabouts::ask",
    "whereabouts::standing",
    "surroundings::look",
    "seal::look",
    "config::read",
    "outside::look_up",
];

/// What a kind of storage or of token is.
pub const IS_A_KIND: &[&str] = &[
    "homed/src/storage/cifs/",
    "homed/src/storage/directory.rs",
    "homed/src/storage/fscrypt/",
    "homed/src/storage/luks/",
    "homed/src/storage/subvolume.rs",
    "homed/src/token/",
];

/// Where else one is called by its name, and how often. Each of these is a reason to think again.
pub const NAMES_A_KIND: &[(&str, usize)] = &[
    // A home that has a device and no record here: only one kind has devices.
    ("homed/src/daemon/open.rs", 1),
    // Where there are no block devices: which kind of folder.
    ("homed/src/daemon/usual_storage.rs", 2),
    // Whether a password is all that is asked for.
    ("homed/src/home/belief.rs", 1),
    // Which passwords have changed, for their quality.
    ("homed/src/home/update.rs", 1),
    // A folder of the file system, and no home.
    ("homed/src/sys/file.rs", 1),
];
