//! A classic account becomes a home, and an account again.

use anyhow::Result;
use homed_tests::{CHEAP, Ours};
use machine::{Image, Init, Machine};

/// An account with some of what people have, and hard things among it.
const BOB: &str = "\
set -e
groupadd -g 1500 bob
groupadd -f audio; groupadd -f staff2
useradd -m -k /var/empty -u 1500 -g bob -G audio,staff2 -s /bin/bash -c 'Bob Builder,Room 1,,' bob
echo bob:correcthorse | chpasswd
chage -M 300 -W 9 bob
chmod 750 /home/bob
cd /home/bob
echo mine > file; chmod 640 file; ln file second; ln -s ../nowhere link; mkfifo pipe
mkdir -p deep/'odd name
here' .config; touch -d '2001-02-03 04:05:06.789' deep/old; setfattr -n user.note -v kept file
truncate -s 5M sparse; printf end | dd of=sparse bs=1 seek=3000000 conv=notrunc status=none
cp /bin/true setuid; chmod 4755 setuid; touch roots; mkdir -p shared; chmod 2770 shared
chown -Rh bob:bob /home/bob; chown root:root roots; chgrp audio shared; chmod 2770 shared; chmod 4755 setuid";

/// All that a listing tells of a folder, but for what homed itself has there.
fn listing(folder: &str) -> String {
    format!(
        "cd {folder}
         of='-mindepth 1 -not -name .identity* -not -name .bash_history'
         find . $of -type d -printf '%p %y %m %u %g %T@\\n' | sort
         find . $of -not -type d -printf '%p %y %m %u %g %s %n %T@ %l\\n' | sort
         find . -type f -not -name '.identity*' -not -name .bash_history -print0 | sort -z | xargs -0 sha256sum
         getfattr -d file"
    )
}

const ACCOUNT: &str =
    "sha256sum /etc/passwd /etc/shadow /etc/group /etc/gshadow; ls -A /home; ls -A /var/lib/systemd/home";

#[test]
fn an_account_becomes_a_home_with_its_password_and_an_account_again() -> Result<()> {
    let machine = Ours(Machine::builder().image(Image::Ours).init(Init::Full).start()?);
    machine.check(BOB)?;
    let (account, files) = (machine.check(ACCOUNT)?, machine.check(&listing("/home/bob"))?);
    let lines = machine.check("getent passwd bob; id -nG bob | tr ' ' '\\n' | sort")?;

    // Looked at first, and nothing is changed.
    let told = machine.done(&format!("convert bob --dry-run {CHEAP}"), "", "")?;
    for word in ["/home/bob.home", "audio", "--undo", "--discard-original", "find / -xdev -uid 1500"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let told = machine.done("convert bob --dry-run --json=short", "", "")?;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    assert_eq!(told["record"]["memberOf"], serde_json::json!(["audio", "staff2"]));
    assert_eq!(machine.check(ACCOUNT)?, account);
    // What a home of that kind cannot have is told before anything is copied, with a way to have it.
    machine.check("touch /home/bob/with-acl; setfacl -m u:nobody:r /home/bob/with-acl")?;
    let seen = machine.homectl(&format!("convert bob --dry-run {CHEAP}"), "", "")?;
    let is_told = ["access control lists", "--luks-extra-mount-options=acl"]
        .iter()
        .all(|words| seen.stdout.contains(words));
    assert!(seen.status != 0 && is_told, "{}{}", seen.stdout, seen.stderr);
    machine.done(&format!("convert bob --dry-run {CHEAP} --luks-extra-mount-options=acl"), "", "")?;
    machine.check("rm /home/bob/with-acl")?;

    // Not while its user is there, nor with another's password.
    machine.console().login("bob", "correcthorse")?;
    let said = machine.refused(&format!("convert bob --yes {CHEAP}"), "correcthorse", "")?;
    assert!(said.contains("Nothing was changed"), "{said}");
    machine.console().send("exit")?;
    machine.check("loginctl terminate-user bob; while pgrep -u bob >/dev/null; do sleep 0.1; done; rm -f /home/bob/.bash_history")?;
    let files_now = machine.check(&listing("/home/bob"))?;
    assert_eq!(files_now, files);
    let said = machine.refused(&format!("convert bob --yes {CHEAP}"), "wronghorse", "")?;
    assert!(said.contains("not the password of the account"), "{said}");
    assert_eq!(machine.check(ACCOUNT)?, account);

    machine.done(&format!("convert bob --yes {CHEAP}"), "correcthorse", "")?;
    machine.check(
        "! grep -r '^bob:' /etc/passwd /etc/shadow /etc/group /etc/gshadow && ! grep -w bob /etc/group",
    )?;
    assert_eq!(
        machine.check("getent passwd bob; id -nG bob | tr ' ' '\\n' | sort")?,
        lines.replace("Bob Builder,Room 1,,", "Bob Builder")
    );
    machine.check("test ! -e /home/bob && test -d /home/.bob.before-homed && test -f /home/bob.home")?;
    let record = machine.check("homectl inspect bob -j")?;
    assert!(record.contains("passwordChangeMaxUSec"), "{record}");
    machine.console().login("bob", "correcthorse")?;
    assert_eq!(
        machine.console().shell("cat file; stat -c %a:%U:%G ~")?.0.replace('\r', ""),
        "mine\n750:bob:bob\n"
    );
    assert_eq!(machine.check(&listing("/home/bob"))?, files, "all of it is in the home");
    machine.console().shell("echo more > new; echo other > file")?;
    machine.console().send("exit")?;
    machine.becomes("bob", "inactive")?;
    back_and_forth(&machine, &lines, &files)
}

/// The account again, and the home again, to stay.
fn back_and_forth(machine: &Ours, lines: &str, files: &str) -> Result<()> {
    // Back: what was written since is told, and kept.
    let told = machine.done("convert bob --undo --yes", "correcthorse", "")?;
    assert!(told.contains("\n  new") && told.contains("\n  file") && !told.contains("deep"), "{told}");
    assert_eq!(machine.check("cat /etc/passwd /etc/shadow | grep -c ^bob:")?, "2\n");
    assert_eq!(machine.check("getent passwd bob; id -nG bob | tr ' ' '\\n' | sort")?, lines);
    assert_eq!(machine.check(&listing("/home/bob"))?, files);
    machine.check("ls /home/.bob.put-away-*.home && test ! -e /var/lib/homed/converted/bob.json && ! homectl inspect bob")?;
    machine.console().login("bob", "correcthorse")?;
    assert_eq!(machine.console().shell("findmnt -n ~; cat file")?.0.replace('\r', ""), "mine\n");
    machine.console().send("exit")?;
    machine.check("loginctl terminate-user bob; while pgrep -u bob >/dev/null; do sleep 0.1; done")?;

    // And forward again, to stay.
    machine.done(&format!("convert bob --yes {CHEAP}"), "correcthorse", "")?;
    machine.done("convert bob --discard-original --yes", "", "")?;
    machine.check("test ! -e /home/.bob.before-homed && test ! -e /var/lib/homed/converted/bob.json")?;
    machine.refused("convert bob --undo --yes", "correcthorse", "")?;
    machine.console().login("bob", "correcthorse")?;
    assert_eq!(machine.console().shell("cat file")?.0.trim(), "mine");
    Ok(())
}

#[test]
fn a_conversion_that_is_cut_leaves_the_account_or_the_home() -> Result<()> {
    let machine = Ours::small()?;
    machine.check(BOB)?;
    // The first group has another number than its user.
    machine.check("groupmod -g 1600 bob && chgrp -hR bob /home/bob && chown root:root /home/bob/roots && chmod 4755 /home/bob/setuid")?;
    what_is_in_the_way(&machine)?;
    let (account, files) = (machine.check(ACCOUNT)?, machine.check(&listing("/home/bob"))?);
    let convert = format!("convert bob --yes {CHEAP}");

    // The worker is killed, at steps of all kinds.
    for step in ["make-file-system", "copy-original", "compare-original", "write-host"] {
        machine.check(&format!("echo {step} kill > /run/homed/fault"))?;
        machine.refused(&convert, "correcthorse", "")?;
        machine.check("rm /run/homed/fault")?;
        machine.check("id bob && ! homectl inspect bob")?;
        assert_eq!(machine.check("getent passwd bob && cat /home/bob/file")?.lines().last(), Some("mine"));
        assert_eq!(machine.check(&listing("/home/bob"))?, files, "{step}");
        machine.nothing_open("bob")?;
    }
    machine.check("rm -rf /home/.bob.put-away-*")?;
    changed_meanwhile(&machine, &convert, &files)?;

    // homectl is killed, and stopped by Ctrl-C: homed sees that nobody waits.
    for signal in ["KILL", "INT"] {
        machine.check("echo copy-original stop > /run/homed/fault")?;
        let stopped = machine.check(&format!(
            "export PASSWORD=correcthorse; setsid homectl {convert} >/tmp/said 2>&1 & homectl=$!
             while :; do worker=$(pgrep -x homed-worker | head -1); [ -n \"$worker\" ] && grep -q 'State:.*T' /proc/$worker/status 2>/dev/null && break; sleep 0.05; done
             rm /run/homed/fault; kill -{signal} $homectl; [ {signal} = INT ] || wait $homectl 2>/dev/null
             sleep 0.2; kill -CONT $worker; wait $homectl 2>/dev/null
             while [ -e /proc/$worker ]; do sleep 0.05; done; cat /tmp/said"
        ))?;
        assert!(signal == "KILL" || stopped.contains("It was stopped"), "{stopped}");
        machine.nothing_open("bob")?;
        machine
            .check("rm -f /var/lib/homed/converted/bob.json.left; ls /home | grep -c home$ | grep -qx 0")?;
    }
    assert_eq!(
        machine.check(ACCOUNT)?.lines().take(4).collect::<Vec<_>>(),
        account.lines().take(4).collect::<Vec<_>>()
    );
    cut_behind_the_switch(&machine, &convert, &files)
}

/// The power fails while the worker is at a step, and when all is done and nobody has written anything out.
#[test]
fn a_conversion_whose_power_fails_leaves_the_account_or_the_home() -> Result<()> {
    let mut machine = Ours::small()?;
    machine.check(BOB)?;
    machine.check("sync")?;
    let files = machine.check(&listing("/home/bob"))?;
    let convert = format!("convert bob --yes {CHEAP}");
    for step in ["make-file-system", "copy-original", "compare-original", "write-host"] {
        machine.check(&format!("echo {step} stop > /run/homed/fault"))?;
        machine.check(&format!(
            "export PASSWORD=correcthorse; setsid homectl {convert} >/tmp/said 2>&1 &
             while :; do worker=$(pgrep -x homed-worker | head -1); [ -n \"$worker\" ] && grep -q 'State:.*T' /proc/$worker/status 2>/dev/null && break; sleep 0.05; done"
        ))?;
        machine = Ours::on(machine.0.power_cut()?.start()?)?;
        machine.check("grep ^bob: /etc/passwd && ! homectl inspect bob")?;
        assert_eq!(machine.check(&listing("/home/bob"))?, files, "{step}");
        machine.nothing_open("bob")?;
    }
    machine.done(&convert, "correcthorse", "")?;
    machine = Ours::on(machine.0.power_cut()?.start()?)?;
    machine.check("! grep ^bob: /etc/passwd")?;
    machine.done("activate bob", "correcthorse", "")?;
    assert_eq!(machine.check(&listing("/home/bob"))?, files);
    machine.done("deactivate bob", "", "")?;
    machine.done("convert bob --undo --yes", "correcthorse", "")?;
    machine = Ours::on(machine.0.power_cut()?.start()?)?;
    machine.check("grep ^bob: /etc/passwd && ! homectl inspect bob")?;
    assert_eq!(machine.check(&listing("/home/bob"))?, files);
    Ok(())
}

/// A file is written to when all has been copied and compared: the last look finds it.
fn changed_meanwhile(machine: &Ours, convert: &str, files: &str) -> Result<()> {
    machine.check("cp -a /home/bob/file /root/kept; echo write-host stop > /run/homed/fault")?;
    let said = machine.check(&format!(
        "export PASSWORD=correcthorse; setsid homectl {convert} >/tmp/said 2>&1 & homectl=$!
         while :; do worker=$(pgrep -x homed-worker | head -1); [ -n \"$worker\" ] && grep -q 'State:.*T' /proc/$worker/status 2>/dev/null && break; sleep 0.05; done
         rm /run/homed/fault; echo more >> /home/bob/file; kill -CONT $worker; wait $homectl && exit 1; cat /tmp/said"
    ))?;
    assert!(said.contains("was changed while it was copied"), "{said}");
    machine.check("cat /root/kept > /home/bob/file; touch -r /root/kept /home/bob/file; id bob && ! homectl inspect bob")?;
    assert_eq!(machine.check(&listing("/home/bob"))?, files);
    machine.nothing_open("bob")
}

/// Whole at last; then as if it had been cut before each of the last steps.
fn cut_behind_the_switch(machine: &Ours, convert: &str, files: &str) -> Result<()> {
    machine.done(convert, "correcthorse", "")?;
    let home = machine.check("cat /etc/passwd /etc/group /etc/shadow")?;
    for undone in [
        "mv /home/.bob.before-homed /home/bob",
        "cp /etc/passwd- /etc/passwd; mv /home/.bob.before-homed /home/bob",
    ] {
        machine.check(undone)?;
        machine.done("authenticate bob", "correcthorse", "")?;
        machine.done("convert bob --yes", "", "")?;
        assert_eq!(machine.check("cat /etc/passwd /etc/group /etc/shadow")?, home, "{undone}");
        machine.check("test -d /home/.bob.before-homed && test ! -e /home/bob")?;
    }
    machine.done("activate bob", "correcthorse", "")?;
    let shown = machine.check(&listing("/home/bob"))?;
    assert_eq!(shown, files, "files of the first group are the home's own");
    assert_eq!(machine.check("stat -c %g /home/bob/file")?, "1500\n");
    let said = machine.refused("convert bob --undo --yes", "", "")?;
    assert!(said.contains("homectl deactivate bob"), "{said}");
    machine.check("grep ^bob: /etc/passwd && exit 1; echo x > /home/bob/written")?;
    machine.done("deactivate bob", "", "")?;
    let told = machine.done("convert bob --undo --yes", "correcthorse", "")?;
    assert!(told.contains("\n  written"), "{told}");
    assert_eq!(machine.check(&listing("/home/bob"))?, files);
    assert_eq!(machine.check("stat -c %g /home/bob/file")?, "1600\n");
    machine.check("rm -r /home/.bob.put-away-*")?;
    in_a_folder(machine, files)
}

/// The same without an image.
fn in_a_folder(machine: &Ours, files: &str) -> Result<()> {
    machine.done("convert bob --yes --storage=directory", "correcthorse", "")?;
    machine.check("test -d /home/bob.homedir && test ! -e /home/bob && ! grep ^bob: /etc/passwd")?;
    machine.done("activate bob", "correcthorse", "")?;
    assert_eq!(machine.check(&listing("/home/bob"))?, files);
    machine.done("deactivate bob", "", "")?;
    machine.done("convert bob --undo --yes", "correcthorse", "")?;
    assert_eq!(machine.check(&listing("/home/bob"))?, files);
    Ok(())
}

/// What is done to an account, what is said of it then, and what undoes that.
const IN_THE_WAY: &[(&str, &str, &str)] = &[
    (
        "su bob -s /bin/sh -c 'sleep 600 & true'",
        "(sleep)",
        "pkill -u bob; while pgrep -u bob >/dev/null; do sleep 0.05; done",
    ),
    ("mount -t tmpfs none /home/bob/deep", "/home/bob/deep: umount it first", "umount /home/bob/deep"),
    (
        "touch /home/bob/box; chown 2000000123 /home/bob/box",
        "(the first is UID 2000000123)",
        "rm /home/bob/box",
    ),
    ("touch /home/bob/.identity", "where a home has its record", "rm /home/bob/.identity"),
    ("groupadd -g 1500 others", "The group others has the number 1500", "groupdel others"),
    ("useradd -o -u 1500 -M twin", "twin has the number 1500 as well", "userdel twin"),
    ("useradd -M -d /home/bob guest", "the home directory of guest", "userdel guest"),
    ("touch /home/bob.home", "/home/bob.home is there already", "rm /home/bob.home"),
    (
        "mv /home/bob /home/b; ln -s b /home/bob",
        "it is a symbolic link",
        "rm /home/bob; mv /home/b /home/bob",
    ),
    ("chown root /home/bob", "it belongs to UID 0", "chown bob /home/bob"),
];

fn what_is_in_the_way(machine: &Ours) -> Result<()> {
    let before = machine.check(ACCOUNT)?;
    let times = machine.check("stat -c %Y /home/bob /home/bob/deep")?;
    for (done, told, undone) in IN_THE_WAY {
        machine.check(done)?;
        let said = machine.homectl(&format!("convert bob --yes {CHEAP}"), "correcthorse", "")?;
        machine.check(undone)?;
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(
            said.status != 0 && text.contains(told) && text.contains("Nothing was changed"),
            "{done}: {text}"
        );
    }
    for (who, told) in
        [("root", "reserved for the system"), ("daemon", "which is the system's"), ("nemo", "LDAP")]
    {
        let said = machine.homectl(&format!("convert {who} --yes {CHEAP}"), "", "")?;
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(said.status != 0 && text.contains(told), "{who}: {text}");
    }
    let said = machine.refused("convert bob --yes --uid=1700", "correcthorse", "")?;
    assert!(said.contains("Nothing was changed"), "{said}");
    let sums = |text: &str| {
        text.lines().filter(|line| line.contains("/etc/passwd")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(sums(&machine.check(ACCOUNT)?), sums(&before));
    let seconds: Vec<&str> = times.lines().collect();
    machine
        .check(&format!("touch -d @{} /home/bob; touch -d @{} /home/bob/deep", seconds[0], seconds[1]))
        .map(drop)
}
