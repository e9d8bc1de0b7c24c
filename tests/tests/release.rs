//! A home becomes a classic account, and the home again.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};
use machine::{Image, Init, Machine};

const TREECOPY: &str = env!("CARGO_BIN_EXE_treecopy");

/// An account with all that copies get wrong.
const BOB: &str = "\
set -e
groupadd -g 1500 bob; groupadd -f audio
useradd -m -k /var/empty -u 1500 -g bob -G audio -s /bin/bash -c 'Bob Builder' bob
echo bob:correcthorse | chpasswd
chage -M 300 -W 9 bob
cp /root/treecopy /usr/local/bin/treecopy; chmod 755 /usr/local/bin/treecopy
chown bob:bob /home/bob; runuser -u bob -- mkdir /home/bob/tree; runuser -u bob -- treecopy own /home/bob/tree
cd /home/bob
echo mine > file; cp /bin/true setuid; mkdir shared held; echo held > held/held; touch roots
chown bob:bob file setuid held held/held; chmod 4755 setuid; chown bob:audio shared; chmod 2770 shared; chattr +a held/held
mkdir stolen; cd stolen; cp /bin/true root; cp /bin/true group; cp /bin/true capable; cp /bin/true plain; mknod disk b 7 0; mknod none c 0 0
chown bob:disk group; chmod 4755 root; chmod 2755 group; chown bob:bob capable plain; setcap cap_net_bind_service=ep capable
touch -d @1000000000 * /home/bob/*; chown bob:bob .; chmod 750 /home/bob";

const ACCOUNT: &str = "cat /etc/passwd /etc/shadow /etc/group /etc/gshadow | grep bob | sort";

fn full() -> Result<Ours> {
    let machine = Ours(Machine::builder().image(Image::Ours).init(Init::Full).start()?);
    machine.copy_in(TREECOPY.as_ref(), "/root/treecopy")?;
    Ok(machine)
}

/// All that a listing tells of a folder.
fn listing(folder: &str) -> String {
    format!(
        "cd {folder}
         find . -mindepth 1 -maxdepth 50 -path ./stolen -prune -o -type d -printf '%p %y %m %u %g %T@\\n' | sort | sha256sum
         find . -mindepth 1 -maxdepth 50 -path ./stolen -prune -o -not -name '.identity*' -not -type d -not -type s -printf '%p %y %m %u %g %s %n %T@ %l\\n' | sort | sha256sum
         find . -maxdepth 50 -path ./stolen -prune -o -type f -not -name '.identity*' -print0 | sort -z | xargs -0 sha256sum | sha256sum
         lsattr -d held/held | cut -c1-20 | grep -o a; find . -maxdepth 50 -type f -not -name '.identity*' -print0 | sort -z | xargs -0 getfattr -hd -m 'user|system' 2>/dev/null | sha256sum"
    )
}

#[test]
fn an_account_that_became_a_home_is_released_as_it_was() -> Result<()> {
    let machine = full()?;
    machine.check(BOB)?;
    let (account, before) = (machine.check(ACCOUNT)?, machine.check(&listing("/home/bob"))?);
    machine.done(&format!("convert bob --yes --fs-type=ext4 {CHEAP}"), "correcthorse", "")?;
    let said = machine.refused("release bob --yes", "correcthorse", "")?;
    ensure!(said.contains("1 in the way"), "{said}");
    machine.done("convert bob --discard-original --yes", "", "")?;

    // Looked at first.
    let told = machine.done("release bob --dry-run", "correcthorse", "")?;
    for word in [
        "(1500)",
        "groups audio",
        ".bob.before-release.home",
        "--undo",
        "not encrypted",
        "4 files",
        "stolen/root",
    ] {
        ensure!(told.contains(word), "{word}: {told}");
    }
    machine.becomes("bob", "inactive")?;
    machine.check(
        "! grep ^bob: /etc/passwd && test ! -e /var/lib/homed/released && test ! -e /home/.bob.released",
    )?;

    // Not while its user is there.
    machine.console().login("bob", "correcthorse")?;
    let said = machine.homectl("release bob --yes", "correcthorse", "")?;
    ensure!(said.status != 0 && said.stdout.contains("bob is logged in"), "{said:?}");
    machine.console().send("exit")?;
    machine.becomes("bob", "inactive")?;
    machine.check("while pgrep -u bob >/dev/null; do sleep 0.1; done")?;

    machine.done("release bob --yes", "correcthorse", "")?;
    ensure!(machine.check(ACCOUNT)? == account, "{}\n{account}", machine.check(ACCOUNT)?);
    machine.check("rm -f /home/bob/.bash_history")?;
    let after = machine.check(&listing("/home/bob"))?;
    ensure!(after == before, "{after}\n{before}");
    machine.check(
        "test ! -e /home/bob.home && test -f /home/.bob.before-release.home && ! homectl inspect bob",
    )?;
    // What no user could have made is not in the account.
    let stolen = machine.check("cd /home/bob/stolen; stat -c '%n %a %F' *; getcap *")?;
    ensure!(
        stolen
            == "capable 755 regular file\ngroup 755 regular file\nnone 644 character special file\nplain 755 regular file\n\
                root 755 regular file\n",
        "{stolen}"
    );
    machine.check("! getfattr -d -m - /home/bob 2>&1 | grep copytree && ! findmnt /home/bob")?;
    logs_in(&machine, "correcthorse")?;
    let said = machine.refused("release bob --yes", "", "")?;
    ensure!(said.contains("classic account already"), "{said}");
    back_and_forth(&machine)
}

/// Through PAM, as whoever it is: into a plain folder.
fn logs_in(machine: &Ours, password: &str) -> Result<()> {
    machine.console().login("bob", password)?;
    let shown = machine.console().shell("findmnt -n ~; cat ~/file; id -nG")?.0.replace('\r', "");
    machine.console().send("exit")?;
    ensure!(shown == "mine\nbob audio\n", "{shown}");
    machine.check("loginctl terminate-user bob; while pgrep -u bob >/dev/null; do sleep 0.1; done").map(drop)
}

/// The home again, and the account again, to stay.
fn back_and_forth(machine: &Ours) -> Result<()> {
    machine.check("echo since > /home/bob/since; chown bob:bob /home/bob/since")?;
    let said = machine.refused(&format!("convert bob --yes --fs-type=ext4 {CHEAP}"), "correcthorse", "")?;
    ensure!(said.contains("release bob --undo"), "{said}");
    machine.done("release bob --undo --yes", "", "")?;
    machine.check(
        "! grep ^bob: /etc/passwd && test -f /home/bob.home && test ! -e /var/lib/homed/released/bob.json",
    )?;
    machine.check("grep -q since /home/.bob.put-away-*/since && getent passwd bob | grep 1500:1500")?;
    machine.console().login("bob", "correcthorse")?;
    let shown = machine.console().shell("findmnt -no TARGET ~; cat ~/file; id -nG; ls ~/since")?.0;
    ensure!(
        shown.contains("/home/bob") && shown.contains("mine") && shown.contains("No such file"),
        "{shown}"
    );
    machine.console().send("exit")?;
    machine.becomes("bob", "inactive")?;
    machine.check("while pgrep -u bob >/dev/null; do sleep 0.1; done")?;
    machine.done("release bob --yes", "correcthorse", "")?;
    machine.done("release bob --discard-original --yes", "", "")?;
    machine
        .check("ls -A /home | grep -c release | grep -qx 0 && test ! -e /var/lib/homed/released/bob.json")?;
    let said = machine.refused("release bob --undo --yes", "", "")?;
    ensure!(said.contains("Nothing is kept"), "{said}");
    logs_in(machine, "correcthorse")
}

/// A home with a number that no account can have, with some of what people have.
const CAROL: &str = "\
set -e
cd /home/carol; umask 022
echo mine > file; ln file second; ln -s ../nowhere link; mkdir deep; head -c 60000000 /dev/urandom > deep/large
echo roots > roots; setfattr -n user.note -v kept file; truncate -s 5M sparse
chown -hR carol: file link deep sparse; touch -d @1000000000 *";

const HOME: &str = "cd /home/carol; find . -mindepth 1 -type d -printf '%p %m %U %G %T@\\n' | sort
     find . -not -type d -not -name '.identity*' -printf '%p %y %m %U %G %n %T@ %l\\n' | sort
     find . -type f -not -name '.identity*' -print0 | sort -z | xargs -0 sha256sum; getfattr -d file";

/// Runs homectl, and kills it as soon as `seen` is true.
fn killed(machine: &Ours, words: &str, seen: &str, signal: &str) -> Result<String> {
    machine.check(&format!(
        "export PASSWORD=correcthorse; setsid homectl --no-ask-password {words} >/tmp/said 2>&1 & homectl=$!
         while [ -e /proc/$homectl ]; do {seen} && break; done
         kill -{signal} $homectl; wait $homectl; cat /tmp/said"
    ))
}

#[test]
fn a_release_that_is_cut_leaves_the_home_or_the_account() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("carol", "correcthorse")?;
    machine.done("activate carol", "correcthorse", "")?;
    machine.check(CAROL)?;
    let (home, uid) = (machine.check(HOME)?, machine.check("id -u carol")?.trim().to_owned());
    machine.done("deactivate carol", "", "")?;
    let before = machine.check("cat /etc/passwd /etc/shadow /etc/group; ls -A /home")?;
    let said = machine.refused("release carol --yes", "wronghorse", "")?;
    ensure!(said.contains("othing was changed"), "{said}");
    ensure!(machine.check("cat /etc/passwd /etc/shadow /etc/group; ls -A /home")? == before);

    // Stopped, what was copied is removed; killed, it goes on.
    let is_begun = "[ -e /home/.carol.released/deep ]";
    let said = killed(&machine, "release carol --yes", is_begun, "INT")?;
    ensure!(said.contains("It was stopped") && !said.contains("is open at"), "{said}");
    machine.becomes("carol", "inactive")?;
    ensure!(machine.check("cat /etc/passwd /etc/shadow /etc/group; ls -A /home")? == before);
    let said = killed(&machine, "release carol --yes", is_begun, "KILL")?;
    machine.becomes("carol", "inactive")?;
    machine.nothing_open("carol")?;
    let left = machine.check("ls -d /home/.carol.released /var/lib/homed/released/carol.json | wc -l")?;
    ensure!(left == "2\n", "{left}{said}{}{}", machine.check("findmnt; ls -la /home")?, machine.log());
    // What is written meanwhile is in the account.
    machine.done("activate carol", "correcthorse", "")?;
    ensure!(machine.check(HOME)? == home, "the home is as it was");
    machine.check(
        "cd /home/carol && echo news > news && chown carol: news && rm roots && touch -d @1000000000 news",
    )?;
    let home = machine.check(HOME)?;
    machine.done("deactivate carol", "", "")?;

    // The lines are there, and perhaps the home is forgotten already.
    killed(&machine, "release carol --yes", "grep -q ^carol: /etc/passwd", "KILL")?;
    let is_home = machine.run("test -e /var/lib/systemd/home/carol.identity")?.status == 0;
    if is_home {
        machine.done("authenticate carol", "correcthorse", "")?;
    }
    machine.done("release carol --yes", "correcthorse", "")?;
    let number = machine.check("id -u carol")?.trim().to_owned();
    ensure!(number != uid && number.parse::<u32>()? < 60000, "{number}");
    let account = machine.check(HOME)?;
    ensure!(
        account == home.replace(&format!(" {uid} {uid} "), &format!(" {number} {number} ")),
        "{account}\n{home}"
    );
    machine.check(
        "grep ^carol:.y /etc/shadow && test ! -e /home/carol.home && stat -c %u /home/carol | grep -v ^0",
    )?;
    cut_behind_the_switch(&machine, &home)
}

/// As if it had been cut before the last step; then back, cut too.
fn cut_behind_the_switch(machine: &Ours, home: &str) -> Result<()> {
    machine.check("mv /home/.carol.before-release.home /home/carol.home")?;
    machine.done("release carol --yes", "", "")?;
    machine.check("test ! -e /home/carol.home && test -f /home/.carol.before-release.home && id carol")?;
    killed(machine, "release carol --undo --yes", "! grep -q ^carol: /etc/passwd", "KILL")?;
    // The storage is somewhere, and so is what the account had.
    machine.check("ls /home/carol.home /home/.carol.before-release.home 2>/dev/null | grep -q home")?;
    machine.check("ls -d /home/carol/file /home/.carol.put-away-*/file 2>/dev/null | grep -q file")?;
    let back = machine.homectl("release carol --undo --yes", "", "")?;
    ensure!(back.status == 0 || back.stderr.contains("Nothing is kept"), "{back:?}");
    machine
        .check("test -f /home/carol.home && ! grep ^carol: /etc/passwd && ls /home/.carol.put-away-*/file")?;
    machine.becomes("carol", "inactive")?;
    machine.done("activate carol", "correcthorse", "")?;
    ensure!(machine.check(HOME)? == home, "the home is as it was");
    machine.done("deactivate carol", "", "").map(drop)
}
