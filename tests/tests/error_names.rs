//! Every name of an error on the bus: something that provokes it, on a machine, or the test that does.

use anyhow::{Context, Result, ensure};
use homed_tests::{CHEAP, Ours};
use std::path::Path;

/// All names there are: a row of the table, each.
const TABLE: &str = include_str!("../../records/src/refusal.rs");

/// What the rows below use: `call`, as root, `answer`, a program's words that has called, and records to call with.
const WORDS: &str = r#"
to="--system --print-reply --reply-timeout=90000 --dest=org.freedesktop.home1 /org/freedesktop/home1"
call() { dbus-send $to org.freedesktop.home1.Manager."$@" 2>&1; }
right='string:{"password":["correcthorse"]}' wrong='string:{"password":["wrong"]}'
# The record of alice, changed by a filter of jq's, as clients send it.
record() { echo "string:$(homectl inspect -j alice | jq -c "del(.binding, .status, .signature) | $1")"; }
# … of a new user, with the password.
new() { record "del(.uid, .lastChangeUSec, .perMachine) | .userName = \"$1\" | .secret = {password: [\"correcthorse\"]} | $2"; }
later='.lastChangeUSec += 1'
"#;

/// Names, what is done before, and the call that is answered so. From the first to the last on one machine, where alice's
/// home is made after the first.
const ROWS: &[(&str, &str, &str)] = &[
    ("NoSuchHome", "", "call ActivateHome string:nosuch $right"),
    ("UIDInUse", "useradd --uid 60123 -M other", r#"call RegisterHome 'string:{"userName":"carol","uid":60123}'"#),
    ("UserNameExists", "", r#"call RegisterHome 'string:{"userName":"daemon"}'"#),
    ("HomeExists", "mkdir /srv/carol.homedir",
        "call CreateHome \"$(new carol '.storage = \"directory\" | .imagePath = \"/srv/carol.homedir\"')\"",
    ),
    ("NotSupported", "", "call CreateHome \"$(new dora '.storage = \"directory\" | .diskSize = 134217728')\""),
    (
        "NoDiskSpace",
        "mkdir /srv/small; truncate -s 40M /root/small; mkfs.ext4 -q /root/small; mount /root/small /srv/small",
        "call CreateHome \"$(new dora '.imagePath = \"/srv/small/dora.home\" | .diskSize = 134217728')\"",
    ),
    ("InvalidArgs", "", "call CreateHome string:{}"),
    ("BadSignature", "", r#"call RegisterHome "string:$(homectl inspect -j alice | jq -c 'del(.binding, .status) | .userName = "erna"')""#),
    ("UnrecognizedHomeFormat", "echo none > /root/fritz", "call AdoptHome string:/root/fritz uint64:0"),
    ("NoSuchKey", "", "call RemoveSigningKey string:nosuch.public uint64:0"),
    ("BadPassword", "", "call ActivateHome string:alice $wrong"),
    ("HomeAlreadyFixated", "", "call FixateHome string:alice $right"),
    ("HomeNotActive", "", "call DeactivateHome string:alice"),
    ("HomeNotReferenced", "", "call ActivateHomeIfReferenced string:alice $right"),
    ("LowPasswordQuality", "", "call ChangePasswordHome string:alice 'string:{\"password\":[\"x\"]}' $right"),
    ("RecordDowngrade", "", "call UpdateHome \"$(record '.lastChangeUSec = 1')\""),
    ("RecordMismatch", "", "call UpdateHome \"$(record \".realm = \\\"example.org\\\" | $later\")\""),
    ("BadHomeSize", "", "call ResizeHome string:alice uint64:5 $right"),
    (
        "HomeCantAuthenticate",
        "",
        "call UpdateHome \"$(record \"del(.privileged) | .secret = {password: [\\\"correcthorse\\\"]} | $later\")\"",
    ),
    (
        "HomeInUse",
        "setsid flock /home/alice.home tail -f /dev/null >/dev/null 2>&1 </dev/null & echo $! > /run/holder
         while flock -n /home/alice.home true; do kill -0 $(cat /run/holder); done",
        "call ActivateHome string:alice $right",
    ),
    ("HomeAbsent", "pkill tail; mv /home/alice.home /root/", "call ActivateHome string:alice $right"),
    (
        "HomeAlreadyActive",
        "mv /root/alice.home /home/; until homectl list -j | grep -q inactive; do sleep 0.1; done; call ActivateHome string:alice $right",
        "call ActivateHome string:alice $right",
    ),
    ("HomeBusy", "", "call RemoveHome string:alice"),
    ("HomeNotLocked", "", "call UnlockHome string:alice $right"),
    ("HomeLocked", "call LockHome string:alice", "call ActivateHome string:alice $right"),
    ("AccessDenied", "call UnlockHome string:alice $right", "setpriv --reuid=65534 --regid=65534 --clear-groups dbus-send $to org.freedesktop.home1.Manager.LockAllHomes 2>&1"),
    (
        "AuthenticationLimitHit",
        "call CreateHome \"$(new gerd '.storage = \"directory\" | .rateLimitBurst = 1 | .rateLimitIntervalUSec = 3600000000')\"; call AuthenticateHome string:gerd $wrong",
        "call AuthenticateHome string:gerd $wrong",
    ),
    ("HomeUnfixated", "call UnregisterHome string:gerd; until homectl list -j | grep -q unfixated; do sleep 0.1; done", "call UnregisterHome string:gerd"),
    (
        "RecordSigned",
        // The key of this machine becomes that of another one, which is trusted.
        "call DeactivateHome string:alice; kill $(cat /run/homed.pid); tail --pid=$(cat /run/homed.pid) -f /dev/null
         mkdir -p /etc/systemd/home; mv /var/lib/systemd/home/local.public /etc/systemd/home/first.public; rm /var/lib/systemd/home/local.private; START",
        "call ChangePasswordHome string:alice 'string:{\"password\":[\"batterystaple\"]}' $right",
    ),
    ("HomeDamaged", "dd if=/dev/zero of=/home/alice.home bs=1M seek=1 count=16 conv=notrunc status=none", "call ActivateHome string:alice $right"),
];

/// Names that are provoked elsewhere: by devices that are played, by crowds, by failing locks. A file each, which has the name.
const ELSEWHERE: &[(&str, &str)] = &[
    ("RebalanceNotNeeded", "homed/src/manager/space.rs"),
    ("BadRecoveryKey", "homed/src/token/mod.rs"),
    ("BadPasswordAndNoToken", "homed/src/token/fido2/tests.rs"),
    ("TokenPinNeeded", "homed/src/token/fido2/tests.rs"),
    ("TokenProtectedAuthenticationPathNeeded", "homed/src/token/pkcs11/tests.rs"),
    ("TokenUserPresenceNeeded", "homed/src/token/fido2/tests.rs"),
    ("TokenUserVerificationNeeded", "homed/src/token/fido2/tests.rs"),
    ("TokenActionTimeout", "homed/src/token/fido2/tests.rs"),
    ("TokenPinLocked", "homed/src/token/fido2/tests.rs"),
    ("BadPin", "homed/src/token/fido2/tests.rs"),
    ("BadPinFewTriesLeft", "homed/src/token/fido2/tests.rs"),
    ("BadPinOneTryLeft", "homed/src/token/fido2/tests.rs"),
    ("NotLocked", "tests/tests/lid_policy.rs"),
    ("TooManyOperations", "homed/src/daemon/link.rs"),
    ("TooManyHomes", "homed/src/manager/tests/crowd.rs"),
    // Never sent: a private key that is lost is made anew. Clients know what to say of the original's.
    ("NoPrivateKey", "docs/GAPS.md"),
];

/// Variants of the table with their names on the bus.
fn table() -> Vec<(&'static str, &'static str)> {
    let row = |line: &'static str| {
        let (variant, rest) = line.trim().split_once(", \"")?;
        Some((variant, rest.split_once('"')?.0))
    };
    let (_, rows) = TABLE.split_once("\nrefusals! {").unwrap_or_default();
    rows.lines().take_while(|line| *line != "}").filter_map(row).collect()
}

fn last_word(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[test]
fn each_name_has_a_row_or_another_test() -> Result<()> {
    let table = table();
    ensure!(table.len() > 40, "{table:?}");
    for (variant, name) in table {
        if ROWS.iter().any(|(row, ..)| *row == last_word(name)) {
            continue;
        }
        let (_, file) =
            ELSEWHERE.iter().find(|(row, _)| *row == variant).context(format!("nothing provokes {name}"))?;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        ensure!(std::fs::read_to_string(&path)?.contains(variant), "{file} says nothing of {variant}");
    }
    Ok(())
}

#[test]
fn each_of_them_is_what_a_caller_hears() -> Result<()> {
    let machine = Ours::small()?;
    let options = CHEAP.replace("--enforce-password-policy=no", "");
    machine.done(&format!("create alice {options}"), "", "correcthorse")?;
    let mut wrong = Vec::new();
    for (name, before, call) in ROWS {
        let before = before.replace("START", &format!("( {} )", homed_tests::START));
        let script = format!("{WORDS}\n{before}\nsaid=$({call}); echo \"$said\"");
        let output = machine.run(&script)?;
        let full = table().into_iter().map(|(_, full)| full).find(|full| last_word(full) == *name);
        let full = full.context(format!("{name} is no name"))?;
        if !output.stdout.contains(&format!("Error {full}: ")) {
            wrong.push(format!("{name}: {}{}", output.stdout, output.stderr));
        }
    }
    ensure!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), machine.log());
    Ok(())
}
