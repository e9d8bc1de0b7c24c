//! Backups: what is in a home at one moment, handed to restic, and a home made anew of that; killed on the way; and what nobody
//! gets by it.

use anyhow::{Context, Result, ensure};
use homed_tests::{CHEAP, Ours};

/// The repository, and the file with its password.
const TO: &str = "--backup-repository=/srv/backups --backup-password-file=/srv/word";

/// As alice; what it printed.
fn own(machine: &Ours, script: &str) -> Result<String> {
    Ok(machine.command(script).user("alice").check()?.trim().to_owned())
}

/// A machine with restic, a repository that alice's UID can read, and her home, open.
fn with_alice() -> Result<Ours> {
    let machine = Ours::small()?;
    machine.install("trixie", &["restic"])?;
    machine.check("useradd -m bob; mkdir /srv/backups; echo hunter2 > /srv/word; chmod 644 /srv/word")?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.check(
        "chown -R alice: /srv/backups && setpriv --reuid alice --regid alice --clear-groups \
         env HOME=/home/alice RESTIC_PASSWORD_FILE=/srv/word restic init --no-cache -r /srv/backups >&2",
    )?;
    own(
        &machine,
        "mkdir -p ~/d/e && echo first > ~/d/e/x && chmod 640 ~/d/e/x && ln ~/d/e/x ~/linked && ln -s /etc/shadow ~/away \
         && setfattr -n user.note -v hers ~/d/e/x && truncate -s 5M ~/holes && head -c 3000000 /dev/urandom > ~/noise && sync -f ~",
    )?;
    Ok(machine)
}

/// What is in the home, all of it: kinds, modes, owners, times, links, contents.
fn listing(machine: &Ours) -> Result<String> {
    machine.check(
        "cd /home/alice && find . -path './.identity*' -prune -o -path ./.cache -prune -o -printf '%P %y %m %u %n %s %T@ %l\\n' | grep -v '^ d ' | sort
         find . -path './.identity*' -prune -o -path ./.cache -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
         getfattr -n user.note d/e/x 2>/dev/null",
    )
}

/// Nothing of a view is left, whatever it is called.
fn no_view(machine: &Ours) -> Result<()> {
    let left = machine.check(
        "ls -A /home/alice | grep -i view; btrfs subvolume list -o /home/alice | grep -v snapshots; :",
    )?;
    ensure!(left.is_empty(), "left: {left}\n{}", machine.log());
    Ok(())
}

#[test]
fn a_home_in_use_is_backed_up() -> Result<()> {
    let machine = with_alice()?;
    own(&machine, &format!("homectl backup alice {TO}")).context("by the owner")?;
    no_view(&machine)?;
    machine.done(&format!("update alice {TO}"), "correcthorse", "")?;
    let public = machine.check("userdbctl user alice -j 2>/dev/null || busctl call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Manager GetUserRecordByName s alice")?;
    ensure!(
        machine.command("homectl inspect alice -j").user("bob").run()?.stdout.matches("/srv/backups").count()
            == 0,
        "{public}"
    );
    own(&machine, "echo second > ~/d/e/later").context("a change")?;
    machine.done("backup alice", "", "").context("by root, from the record")?;
    let listed = own(&machine, "homectl backup alice list")?;
    ensure!(listed.contains("2 snapshots") && listed.contains("homed:alice"), "{listed}");
    strangers(&machine).context("strangers")?;
    killed(&machine).context("killed")
}

#[test]
fn a_closed_home_is_backed_up_and_made_anew() -> Result<()> {
    let machine = with_alice()?;
    machine.done(&format!("update alice {TO}"), "correcthorse", "")?;
    closed(&machine).context("closed")?;
    restored(&machine).context("restored")
}

/// Nobody else has one made, and what the user does to the view does not get anybody anything.
fn strangers(machine: &Ours) -> Result<()> {
    for words in ["", " list", " restore"] {
        let done =
            machine.command(format!("setsid --wait homectl backup alice{words} {TO}")).user("bob").run()?;
        ensure!(done.status != 0, "bob: backup alice{words}: {}", done.stdout);
    }
    let done =
        machine.command(format!("setsid --wait homectl backup alice restore {TO}")).user("alice").run()?;
    ensure!(done.status != 0 && done.stderr.contains("root"), "{done:?}");
    for wrong in ["restore latest", "restore --yes -- --target=/", "make now", "nonsense"] {
        machine.refused(&format!("backup alice {TO} {wrong}"), "", "")?;
    }
    // What lies where the view is to be.
    own(machine, "mkdir ~/.homed-view && echo x > ~/.homed-view/x")?;
    ensure!(machine.refused("backup alice", "", "")?.contains("in the way"));
    own(machine, "rm -r ~/.homed-view && ln -s /home/bob ~/.homed-view")?;
    ensure!(machine.refused("backup alice", "", "")?.contains("in the way"));
    own(machine, "rm ~/.homed-view")?;
    // The folder is root's: nothing is put into it or taken out, and called otherwise it is found.
    let call = "busctl call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Homed1";
    own(machine, &format!("{call} MakeView s alice"))?;
    own(
        machine,
        "! touch ~/.homed-view/x && ! touch ~/.homed-view/home/x && ! rm -rf ~/.homed-view && ! mv ~/.homed-view/home ~/stolen \
         && cat ~/.homed-view/home/d/e/x && mv ~/.homed-view ~/.renamed-view",
    )?;
    own(machine, &format!("{call} EndView s alice"))?;
    machine.check("test ! -e /home/alice/.renamed-view")?;
    no_view(machine)
}

/// Killed at each step of the worker, and with restic under way: nothing is left behind the next one, which works.
fn killed(machine: &Ours) -> Result<()> {
    let mut hit = 0;
    for step in 1..10 {
        machine.check(&format!("echo 'snapshot#{step} kill' > /run/homed/fault"))?;
        let done = machine.homectl("backup alice", "", "")?;
        machine.check("rm -f /run/homed/fault")?;
        if done.status == 0 {
            break;
        }
        hit = step;
        machine.done("backup alice", "", "").with_context(|| format!("after a kill at step {step}"))?;
        no_view(machine).with_context(|| format!("after a kill at step {step}"))?;
    }
    ensure!((2..9).contains(&hit), "{hit} steps were hit");
    // restic waits for the end of a pipe: it is under way for as long as this test likes.
    machine.check("mkdir -p /root/bin /run/slow; mkfifo /run/slow/pipe; printf '#!/bin/sh\\nif [ \"$1\" = backup ]; then touch /run/slow/begun; exec cat /run/slow/pipe; fi\\nexec /usr/bin/restic \"$@\"\\n' > /root/bin/restic; chmod 755 /root /root/bin /root/bin/restic; chmod -R 777 /run/slow")?;
    let begin = "rm -f /run/slow/begun; PATH=/root/bin:$PATH setsid homectl backup alice >/run/slow/said 2>&1 & echo $! > /run/slow/pid
        for try in $(seq 600); do test -e /run/slow/begun && exit 0; sleep 0.1; done; cat /run/slow/said >&2; exit 1";
    for (signal, is_left) in [("TERM", false), ("KILL", true)] {
        machine.check("rm -f /home/alice/d/e/new")?;
        machine.check(begin)?;
        ensure!(machine.refused("backup alice", "", "")?.contains("already"), "a second one");
        let view = machine.check("cat /home/alice/.homed-view/home/d/e/x; ls -A /home/alice/.homed-view/home/.homed-view; echo new > /home/alice/d/e/new; ls /home/alice/.homed-view/home/d/e")?;
        ensure!(view.starts_with("first\n") && !view.contains("new"), "one moment: {view}");
        machine.check(&format!(
            "kill -{signal} $(cat /run/slow/pid); tail --pid=$(cat /run/slow/pid) -f /dev/null"
        ))?;
        if is_left {
            // Whoever reads still has it; homectl alone is gone.
            machine.check("ls /home/alice/.homed-view/home/d")?;
            ensure!(machine.refused("backup alice", "", "")?.contains("already"));
            machine.check("pids=$(pgrep -u alice -f /run/slow/pipe); kill -KILL $pids; for pid in $pids; do tail --pid=$pid -f /dev/null; done")?;
        } else {
            no_view(machine).context("a backup that is broken off takes its view away")?;
        }
        machine.done("backup alice", "", "").with_context(|| format!("after {signal}"))?;
        no_view(machine)?;
    }
    // Nobody comes but the care of the home itself.
    machine.check(begin)?;
    machine.check("pids=\"$(cat /run/slow/pid) $(pgrep -u alice -f /run/slow/pipe)\"; kill -KILL $pids; for pid in $pids; do tail --pid=$pid -f /dev/null; done; touch -d '10 minutes ago' /home/alice/.homed-view")?;
    machine.done("rebalance", "", "")?;
    no_view(machine).context("after the care of the home")
}

/// A closed home is opened with its password for that, and closed again.
fn closed(machine: &Ours) -> Result<()> {
    machine.done("deactivate alice", "", "")?;
    ensure!(!machine.refused("backup alice", "wrong", "")?.is_empty());
    machine.done("backup alice", "correcthorse", "")?;
    machine.becomes("alice", "inactive")?;
    machine.nothing_open("alice")
}

/// The home is gone, and made anew with its repository and passwords alone, however often that is broken off.
fn restored(machine: &Ours) -> Result<()> {
    machine.done("update alice --member-of=disk --real-name=Alice", "correcthorse", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    own(machine, "echo second > ~/d/e/later; sync -f ~")?;
    machine.done("backup alice", "", "")?;
    let before = listing(machine)?;
    let uid = machine.check("id -u alice")?;
    ensure!(
        machine.refused(&format!("backup alice restore {TO}"), "correcthorse", "")?.contains("already"),
        "it is there"
    );
    machine.done("deactivate alice", "", "")?;
    machine.done("remove alice", "", "")?;
    let restore = format!("backup alice restore {TO} {CHEAP}");
    // A repository that alice's new UID cannot read: the home is there, and noted as one that is not whole.
    machine.check("chown -R 0:0 /srv/backups")?;
    let said = machine.refused(&restore, "correcthorse", "")?;
    ensure!(said.contains("memberOf") && said.contains("same command again"), "{said}");
    machine.check("test -e /var/lib/homed/restoring/alice.json")?;
    machine.becomes("alice", "inactive")?;
    machine
        .check("chown -R $(homectl list -j | jq '.[] | select(.name == \"alice\") | .uid') /srv/backups")?;
    machine.done("activate alice", "correcthorse", "")?;
    own(machine, "mkdir -p ~/d/e; echo meanwhile > ~/d/e/x; sync -f ~")?;
    machine.done(&restore, "correcthorse", "").context("again")?;
    ensure!(machine.check("ls /var/lib/homed/restoring")?.is_empty(), "the note is gone");
    let kept = machine.check("homectl snapshot alice -j | jq -r '.snapshots[0].name'")?;
    own(
        machine,
        &format!("homectl snapshot alice restore {} d/e/x && grep -x meanwhile ~/d/e/x", kept.trim()),
    )?;
    own(machine, "mv ~/d/e/x.before-* ~/x && cat ~/x > /dev/null; rm -r ~/d ~/x")?;
    machine.done("deactivate alice", "", "")?;
    machine.done("remove alice", "", "")?;
    machine.done(&restore, "correcthorse", "").context("in one go")?;
    machine.becomes("alice", "inactive")?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.check("id -u alice")?, uid);
    let after = listing(machine)?;
    ensure!(before == after, "before:\n{before}\nafter:\n{after}");
    let told = machine.done("inspect alice", "", "")?;
    ensure!(told.contains("Alice") && !told.contains("disk"), "{told}");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}
