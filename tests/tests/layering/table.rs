//! The table of rooms. A new room, or a dependency of one, is a row or a word here, for a reviewer to see.

use super::rooms::Room;

/// Who may use whom, from the ground up: first what all programs share.
pub const ROOMS: &[Room] = &[
    Room {
        name: "records",
        at: "records/src",
        rooms: &[],
        crates: &[
            "base64",
            "ed25519_dalek",
            "serde",
            "serde_json",
            "siphasher",
            "thiserror",
            "uuid",
            "zeroize",
        ],
    },
    Room { name: "agents", at: "homed/agents/src", rooms: &["records"], crates: &["nix", "rustix"] },
    // Terminals, for who hides them and for who is shown on them.
    Room { name: "console", at: "homed/console/src", rooms: &[], crates: &["libc", "nix", "rustix"] },
    Room {
        name: "handoff",
        at: "homed/handoff/src",
        rooms: &["records"],
        crates: &["libc", "rustix", "serde_json", "thiserror"],
    },
    Room { name: "quality", at: "homed/quality/src", rooms: &["handoff", "records"], crates: &[] },
    // Security keys: libfido2, for the worker, and for homectl where one is enrolled. Never for daemon or PAM.
    Room {
        name: "fido2",
        at: "homed/fido2/src",
        rooms: &["records"],
        crates: &["base64", "libc", "rustix", "thiserror", "zeroize"],
    },
    // Smart cards: p11-kit, for the worker, and for homectl where one is enrolled. Never for daemon or PAM.
    Room {
        name: "pkcs11",
        at: "homed/pkcs11/src",
        rooms: &["records"],
        crates: &["base64", "cryptoki_sys", "libc", "openssl", "serde", "thiserror", "zeroize"],
    },
    // A PIN of the TPM, for the worker. Never for daemon, PAM or homectl.
    Room {
        name: "tpm2",
        at: "homed/tpm2/src",
        rooms: &["records"],
        crates: &["argon2", "base64", "openssl", "thiserror", "zeroize"],
    },
    // Outside of the daemon, and of every session: knows the notes of who is locked, PAM, and logind.
    Room {
        name: "homed_prompt",
        at: "homed/prompt/src",
        rooms: &["agents", "console", "records"],
        crates: &["libc", "rustix", "unicode_width", "zbus"],
    },
    // The daemon. Ground: system calls, C libraries, and what else takes `unsafe`.
    Room {
        name: "homed::sys",
        at: "homed/src/sys",
        rooms: &["console", "records"],
        crates: &[
            "libc",
            "libcryptsetup_rs",
            "libcryptsetup_rs_sys",
            "linux_raw_sys",
            "nix",
            "rustix",
            "serde_json",
            "thiserror",
            "tokio",
            "uuid",
            "zeroize",
        ],
    },
    Room {
        name: "homed::statedir",
        at: "homed/src/statedir",
        rooms: &["homed::sys::durable", "homed::sys::waiting", "records"],
        crates: &["rustix", "sha2", "thiserror", "uuid"],
    },
    Room {
        name: "homed::job",
        at: "homed/src/job",
        rooms: &["records"],
        crates: &["serde", "serde_json", "thiserror"],
    },
    // Hands: blocking, no bus, no tokio.
    Room {
        name: "homed::token",
        at: "homed/src/token",
        rooms: &[
            "fido2",
            "homed::statedir",
            "homed::sys::bounded",
            "homed::sys::crypt3",
            "homed::sys::input",
            "homed::sys::memory",
            "homed::sys::oom",
            "homed::sys::usb",
            "pkcs11",
            "records",
            "tpm2",
        ],
        crates: &["base64", "openssl", "serde", "serde_json"],
    },
    // What is to be done with a home on disk, as data.
    Room {
        name: "homed::storage::luks::plan",
        at: "homed/src/storage/luks/plan",
        rooms: &["homed::storage"],
        crates: &[],
    },
    Room {
        name: "homed::storage::parts::mapped::plan",
        at: "homed/src/storage/parts/mapped/plan",
        rooms: &[],
        crates: &[],
    },
    // Tests alone: what the daemon lets happen to a home is asked of the daemon's own table.
    Room {
        name: "homed::storage::luks::model",
        at: "homed/src/storage/luks/model",
        rooms: &[
            "homed::home::facts",
            "homed::home::state",
            "homed::home::verdict",
            "homed::job",
            "homed::storage",
            "records",
        ],
        crates: &[],
    },
    Room {
        name: "homed::storage",
        at: "homed/src/storage",
        rooms: &[
            "homed::job",
            "homed::storage::luks::plan",
            "homed::storage::parts::mapped::plan",
            "homed::sys",
            "records",
        ],
        crates: &["base64", "libc", "openssl", "rustix", "serde_json", "uuid"],
    },
    Room {
        name: "homed::worker::life::plan",
        at: "homed/src/worker/life/plan",
        rooms: &["homed::job"],
        crates: &[],
    },
    Room {
        name: "homed::worker",
        at: "homed/src/worker",
        rooms: &[
            "copytree",
            "homed::job",
            "homed::statedir",
            "homed::storage",
            "homed::sys",
            "homed::token",
            "homed::worker::life::plan",
            "records",
        ],
        crates: &["nix", "openssl", "rustix", "serde_json"],
    },
    // Core. One home knows nothing of the set of them; what both speak of lies below them.
    Room {
        name: "homed::words",
        at: "homed/src/words",
        rooms: &["homed::job", "records"],
        crates: &["serde_json"],
    },
    Room {
        name: "homed::home",
        at: "homed/src/home",
        rooms: &["homed::job", "homed::words", "records"],
        crates: &["serde_json"],
    },
    Room {
        name: "homed::manager",
        at: "homed/src/manager",
        rooms: &["homed::home", "homed::job", "homed::words", "records"],
        crates: &["serde_json"],
    },
    // Ready answers, for who only asks.
    Room {
        name: "homed::lookup",
        at: "homed/src/lookup",
        rooms: &[
            "homed::home::facts",
            "homed::home::live",
            "homed::home::state",
            "homed::home::view",
            "homed::words",
            "records",
        ],
        crates: &["tokio"],
    },
    // Drive.
    Room {
        name: "homed::daemon",
        at: "homed/src/daemon",
        rooms: &[
            "homed::home",
            "homed::job",
            "homed::lookup",
            "homed::manager",
            "homed::statedir",
            "homed::storage::kind",
            "homed::storage::plugged",
            "homed::storage::strays",
            "homed::storage::traces",
            "homed::storage::whereabouts",
            "homed::sys::accounts",
            "homed::sys::apart",
            "homed::sys::blockdev",
            "homed::sys::environment",
            "homed::sys::handed",
            "homed::sys::ipc",
            "homed::sys::limits",
            "homed::sys::memory",
            "homed::sys::probe",
            "homed::sys::reactor",
            "homed::words",
            "quality",
            "records",
        ],
        crates: &[
            "nix",
            "rustix",
            "serde_json",
            "thiserror",
            "sha2",
            "tokio",
            "tracing",
            "tracing_journald",
            "tracing_subscriber",
        ],
    },
    // Run for a sleep, whether the daemon lives or not.
    Room {
        name: "homed::sleep",
        at: "homed/src/sleep",
        rooms: &["homed::daemon", "homed::home", "homed::manager", "homed::words"],
        crates: &["tokio", "tracing", "zbus"],
    },
    // Run by the package's scripts, whether the daemon lives or not.
    Room {
        name: "homed::removal",
        at: "homed/src/removal.rs",
        rooms: &["homed::daemon::open", "homed::storage::whereabouts"],
        crates: &[],
    },
    // Fronts see the link to the loop, and nothing behind it.
    Room {
        name: "homed::front",
        at: "homed/src/front",
        rooms: &[
            "handoff",
            "homed::daemon::beat",
            "homed::daemon::handed",
            "homed::daemon::link",
            "homed::daemon::log",
            "homed::daemon::this_machine",
            "records",
        ],
        crates: &["futures_util", "rustix", "serde_json", "tokio", "tracing", "zbus", "zbus_polkit"],
    },
    Room {
        name: "homed",
        at: "homed/src/lib.rs",
        rooms: &["homed::daemon::main", "homed::front::start", "homed::removal::before", "homed::sleep"],
        crates: &[],
    },
    Room { name: "homed", at: "homed/src/main.rs", rooms: &[], crates: &[] },
    Room {
        name: "homed::bin::homed_worker",
        at: "homed/src/bin/homed-worker.rs",
        rooms: &["homed::worker::main"],
        crates: &[],
    },
    // Who talks to the daemon knows its words, and nothing of its inside.
    Room {
        name: "pam_homed",
        at: "pam/src",
        rooms: &["handoff", "records"],
        crates: &["pam", "rustix", "serde_json"],
    },
    Room {
        name: "homectl",
        at: "ctl/src",
        rooms: &["agents", "carry", "copytree", "fido2", "handoff", "pkcs11", "quality", "records"],
        crates: &[
            "base64",
            "clap",
            "clap_mangen",
            "comfy_table",
            "indicatif",
            "qrcode",
            "rpassword",
            "jiff",
            "rustix",
            "serde",
            "serde_json",
            "tempfile",
            "tokio",
            "yescrypt",
            "zbus",
        ],
    },
    // Beside the daemon, for desktops: what they do not ask for themselves.
    Room {
        name: "homed_desk",
        at: "homed/desk/src",
        rooms: &["records"],
        crates: &["futures_util", "serde", "serde_json", "tokio", "zbus"],
    },
    Room { name: "tests of desk", at: "homed/desk/tests", rooms: &[], crates: &["tokio", "zbus"] },
    // A home on its way: the talk of both ends, over any pair of pipes. No file, no network.
    Room { name: "carry", at: "ctl/carry/src", rooms: &[], crates: &["blake3", "thiserror"] },
    // A tree of files and its copy: by open descriptors, without accounts, homes and questions.
    Room { name: "copytree", at: "ctl/copytree/src", rooms: &[], crates: &["rustix", "thiserror"] },
    // Tests. The machine and the scenarios see the programs from outside only.
    Room {
        name: "machine",
        at: "tests/machine/src",
        rooms: &[],
        crates: &["anyhow", "base64", "memchr", "nix", "serde_json", "sha2"],
    },
    Room {
        name: "devices of tests",
        at: "tests/src/bin",
        rooms: &[],
        crates: &["anyhow", "ciborium", "cryptoki", "openssl"],
    },
    Room {
        name: "treecopy",
        at: "tests/src/bin/treecopy",
        rooms: &["copytree", "homed_tests"],
        crates: &["anyhow"],
    },
    Room {
        name: "xtask",
        at: "tests/xtask/src",
        rooms: &["homed_tests", "machine"],
        crates: &["anyhow", "nix", "serde_json"],
    },
    Room {
        name: "homed_tests",
        at: "tests/src",
        rooms: &["machine"],
        crates: &["anyhow", "rustix", "serde_json"],
    },
    Room {
        name: "scenarios",
        at: "tests/tests",
        rooms: &["homed_tests", "machine"],
        crates: &["anyhow", "serde_json"],
    },
    // Measurements on the host: of the ground, and of the daemon without its workers.
    Room {
        name: "examples of homed",
        at: "homed/examples",
        rooms: &[
            "homed::daemon",
            "homed::front",
            "homed::home",
            "homed::manager",
            "homed::statedir",
            "homed::sys",
            "records",
        ],
        crates: &["rustix", "serde_json", "tokio"],
    },
    Room { name: "tests of records", at: "records/tests", rooms: &["records"], crates: &["serde_json"] },
    Room {
        name: "tests of copytree",
        at: "ctl/copytree/tests",
        rooms: &["copytree"],
        crates: &["proptest", "rustix", "tempfile"],
    },
    Room { name: "tests of ctl", at: "ctl/tests", rooms: &["homectl", "records"], crates: &["serde_json"] },
    // The daemon on a private bus, with the simulated worker.
    Room {
        name: "tests of homed",
        at: "homed/tests",
        rooms: &["homed::daemon", "homed::front", "homed::home", "homed::manager", "records"],
        crates: &["futures_util", "serde", "serde_json", "tokio", "zbus"],
    },
    Room {
        name: "fuzz",
        at: "tests/fuzz/fuzz_targets",
        rooms: &["records"],
        crates: &["libfuzzer_sys", "serde_json"],
    },
];
