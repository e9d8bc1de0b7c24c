//! The table of rooms. A new room, or a dependency of one, is a row or a word here, for a reviewer to see.

mod daemon;

use super::rooms::Room;
use std::sync::LazyLock;

/// Who may use whom.
pub static ROOMS: LazyLock<Vec<Room>> = LazyLock::new(|| [SHARED, daemon::ROOMS, PROGRAMS].concat());

/// What programs share.
const SHARED: &[Room] = &[
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
    // The system bus, without the files that others send over it.
    Room { name: "bus", at: "homed/bus/src", rooms: &[], crates: &["rustix", "tokio", "zbus"] },
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
        rooms: &["agents", "bus", "console", "records"],
        crates: &["libc", "rustix", "tokio", "unicode_width", "zbus"],
    },
];

/// Programs that talk to the daemon, and tests.
const PROGRAMS: &[Room] = &[
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
        rooms: &["agents", "carry", "copytree", "fido2", "handoff", "pkcs11", "quality", "records", "twin"],
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
        rooms: &["bus", "records"],
        crates: &["futures_util", "serde", "serde_json", "tokio", "zbus"],
    },
    Room { name: "tests of desk", at: "homed/desk/tests", rooms: &[], crates: &["tokio", "zbus"] },
    // A home on its way: the talk of both ends, over any pair of pipes. No file, no network.
    Room { name: "carry", at: "ctl/carry/src", rooms: &[], crates: &["blake3", "thiserror"] },
    // A home on two machines: the talk of both ends, over any pair of pipes, with the user's rights. No network, no account.
    Room { name: "twin", at: "ctl/twin/src", rooms: &[], crates: &["blake3", "libc", "rustix", "thiserror"] },
    // A tree of files and its copy: by open descriptors, without accounts, homes and questions.
    Room { name: "copytree", at: "ctl/copytree/src", rooms: &["records"], crates: &["rustix", "thiserror"] },
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
        rooms: &["carry", "records", "twin"],
        crates: &["libfuzzer_sys", "serde_json"],
    },
    Room {
        name: "firmkey",
        at: "tests/firmkey/src",
        rooms: &[],
        crates: &[
            "anyhow",
            "ciborium",
            "ctaphid_dispatch",
            "fido_authenticator",
            "heapless_bytes",
            "interchange",
            "openssl",
            "rand_core",
            "trussed",
            "trussed_core",
            "trussed_staging",
        ],
    },
];
