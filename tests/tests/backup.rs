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
    killed(&machine).context("killed")?;
    roots(&machine).context("what is root's")
}

#[test]
fn a_closed_home_is_backed_up_and_made_anew() -> Result<()> {
    let machine = with_alice()?;
    machine.done(&format!("update alice {TO}"), "correcthorse", "")?;
    closed(&machine).context("closed")?;
    let was = restored(&machine).context("restored")?;
    anew(machine, &was).context("restored on a machine whose power fails")
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

/// What root has in the home is no view, however like one it is: the care of the home, backups and restores leave it alone.
fn roots(machine: &Ours) -> Result<()> {
    machine.check(
        "cd /home/alice; mkdir plain sealed of-home marked
         for at in plain sealed marked; do btrfs -q subvolume create $at/home; echo of-root > $at/home/x; done
         btrfs property set sealed/home ro true
         btrfs -q subvolume snapshot -r . of-home/home
         number=$(btrfs subvolume show . | awk '$1 == \"UUID:\" { print $2 }'); test -n \"$number\"
         setfattr -n trusted.homed.view -v $number marked
         touch -d '10 minutes ago' plain sealed of-home marked",
    )?;
    let stands = |top: &str| {
        machine.check(&format!(
            "cd {top}; grep -qx of-root plain/home/x && grep -qx of-root sealed/home/x && grep -qx of-root marked/home/x && grep -qx first of-home/home/d/e/x"
        ))
    };
    machine.done("rebalance", "", "")?;
    stands("/home/alice").context("after the care of the home")?;
    machine.done("backup alice", "", "")?;
    stands("/home/alice").context("after a backup")?;
    machine.done("snapshot alice make roots", "", "")?;
    machine.done("snapshot alice restore roots d/e/x", "", "")?;
    stands("/home/alice").context("after a file was restored")?;
    machine.done("snapshot alice restore roots --yes", "", "")?;
    stands("/home/alice").context("after all was restored")?;
    reopen(machine)?;
    machine.done("backup alice", "", "")?;
    machine.check("mkdir /run/top; mount -o subvolid=5 /dev/mapper/home-alice /run/top")?;
    stands("$(ls -d /run/top/.snapshots/*.former | tail -1)").context("in the home as it was")?;
    machine.check("umount /run/top")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

fn reopen(machine: &Ours) -> Result<()> {
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    machine.done("activate alice", "correcthorse", "").map(drop)
}

/// A snapshot that was made beside a backup has a trace of its view, and is in no later one's way.
fn traced(machine: &Ours) -> Result<()> {
    machine.done("snapshot alice restore during --yes", "", "")?;
    reopen(machine)?;
    machine.check("test -d /home/alice/.homed-view/home")?;
    machine.done("backup alice", "", "").context("after a snapshot beside a view was restored")?;
    no_view(machine)?;
    machine.done("snapshot alice restore during --yes", "", "")?;
    reopen(machine)?;
    machine.done("rebalance", "", "")?;
    no_view(machine).context("the care of the home")
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
    under_way(machine)?;
    traced(machine)
}

/// With restic under way, broken off and killed.
fn under_way(machine: &Ours) -> Result<()> {
    // restic waits for the end of a pipe: it is under way for as long as this test likes.
    machine.check("mkdir -p /root/bin /run/slow; mkfifo /run/slow/pipe; printf '#!/bin/sh\\nif [ \"$1\" = backup ]; then touch /run/slow/begun; exec cat /run/slow/pipe; fi\\nexec /usr/bin/restic \"$@\"\\n' > /root/bin/restic; chmod 755 /root /root/bin /root/bin/restic; chmod -R 777 /run/slow")?;
    let begin = "rm -f /run/slow/begun; RESTIC_REST_PASSWORD=of-root PATH=/root/bin:$PATH setsid homectl backup alice >/run/slow/said 2>&1 9</etc/shadow & echo $! > /run/slow/pid
        for try in $(seq 600); do test -e /run/slow/begun && exit 0; sleep 0.1; done; cat /run/slow/said >&2; exit 1";
    for (signal, is_left) in [("TERM", false), ("INT", false), ("KILL", true)] {
        machine.check("rm -f /home/alice/d/e/new")?;
        machine.check(begin)?;
        ensure!(machine.refused("backup alice", "", "")?.contains("already"), "a second one");
        let view = machine.check("cat /home/alice/.homed-view/home/d/e/x; ls -A /home/alice/.homed-view/home/.homed-view; echo new > /home/alice/d/e/new; ls /home/alice/.homed-view/home/d/e")?;
        ensure!(view.starts_with("first\n") && !view.contains("new"), "one moment: {view}");
        if signal == "TERM" {
            apart(machine)?;
            beside(machine)?;
        }
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

/// Root's homectl opens nothing in the home, and restic, which is alice's, has nothing of root's: no descriptor, terminal, password.
fn apart(machine: &Ours) -> Result<()> {
    let has = |pid: &str| {
        machine.check(&format!("pid=$({pid}); readlink /proc/$pid/fd/*; readlink /proc/$pid/cwd"))
    };
    let roots = has("cat /run/slow/pid")?;
    ensure!(!roots.contains("/home/alice"), "{roots}");
    let restic = "pgrep -u alice -f /run/slow/pipe";
    let hers = has(restic)?;
    ensure!(hers.matches("/home/alice/.homed-view/home").count() == 2, "the view, and where it is: {hers}");
    let other = |line: &&str| {
        let is_hers = ["/home/alice/.homed-view/home", "/run/slow/pipe", "/dev/null"].contains(line);
        !is_hers && !line.starts_with("pipe:")
    };
    ensure!(hers.lines().find(other).is_none(), "{hers}");
    machine.check(&format!("test $(ps -o sid= $({restic})) = $({restic})"))?;
    let environment = machine.check(&format!("tr '\\0' '\\n' < /proc/$({restic})/environ"))?;
    ensure!(environment.contains("/srv/backups") && !environment.contains("of-root"), "{environment}");
    Ok(())
}

/// What is done with snapshots while a view stands.
fn beside(machine: &Ours) -> Result<()> {
    machine.done("snapshot alice make during", "", "")?;
    let said = machine.refused("snapshot alice restore during --yes", "", "")?;
    ensure!(said.contains("A backup of this home runs"), "{said}");
    Ok(())
}

/// A closed home is opened with its password for that, and closed again.
fn closed(machine: &Ours) -> Result<()> {
    machine.done("deactivate alice", "", "")?;
    ensure!(!machine.refused("backup alice", "wrong", "")?.is_empty());
    machine.done("backup alice", "correcthorse", "")?;
    machine.becomes("alice", "inactive")?;
    machine.nothing_open("alice")
}

/// The power fails when the home has its storage, and homed no record of it yet: the same again goes on.
fn cut_while_it_is_made(mut machine: Ours, restore: &str) -> Result<Ours> {
    machine.check("sync; echo write-host stop > /run/homed/fault")?;
    machine.check(&format!(
        "export PASSWORD=correcthorse; setsid homectl {restore} >/tmp/said 2>&1 &
         while :; do worker=$(pgrep -x homed-worker | head -1); [ -n \"$worker\" ] && grep -q 'State:.*T' /proc/$worker/status 2>/dev/null && break; sleep 0.05; done"
    ))?;
    machine = Ours::on(machine.0.power_cut()?.start()?)?;
    machine.becomes("alice", "unfixated")?;
    machine.check("test -e /var/lib/homed/restoring/alice.json")?;
    machine.done(restore, "correcthorse", "").context("after a power cut")?;
    machine.check("test -z \"$(ls /var/lib/homed/restoring)\"")?;
    Ok(machine)
}

/// The home is gone, and made anew with its repository and passwords alone, however often that is broken off.
fn restored(machine: &Ours) -> Result<Was> {
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
    machine.check("cp /var/lib/homed/restoring/alice.json /root/note.json")?;
    let told = machine.done("status alice", "", "")?;
    ensure!(
        told.contains("not all of the backup of") && told.contains("homectl backup alice restore"),
        "{told}"
    );
    machine.becomes("alice", "inactive")?;
    machine
        .check("chown -R $(homectl list -j | jq '.[] | select(.name == \"alice\") | .uid') /srv/backups")?;
    machine.done("activate alice", "correcthorse", "")?;
    own(machine, "mkdir -p ~/d/e; echo meanwhile > ~/d/e/x; sync -f ~")?;
    machine.done(&restore, "correcthorse", "").context("again")?;
    let forgotten =
        || machine.check("test -z \"$(ls /var/lib/homed/restoring)\"").context("the note is gone");
    forgotten()?;
    // Killed when all was in the home, and the note was not gone yet.
    for (wanted, is_done) in [(" 0123abcd", false), ("", true)] {
        machine.check("jq '.filled = true' /root/note.json > /var/lib/homed/restoring/alice.json")?;
        let words = restore.replace(" restore", &format!(" restore{wanted}"));
        let done = machine.homectl(&words, "correcthorse", "")?;
        ensure!((done.status == 0) == is_done, "{words}: {}", done.stderr);
        forgotten()?;
    }
    let kept = machine.check("homectl snapshot alice -j | jq -r '.snapshots[0].name'")?;
    own(
        machine,
        &format!("homectl snapshot alice restore {} d/e/x && grep -x meanwhile ~/d/e/x", kept.trim()),
    )?;
    own(machine, "mv ~/d/e/x.before-* ~/x && cat ~/x > /dev/null; rm -r ~/d ~/x")?;
    machine.done("deactivate alice", "", "")?;
    machine.done("remove alice", "", "")?;
    Ok(Was { listing: before, uid, restore })
}

/// What a home was like, and what makes it anew.
struct Was {
    listing: String,
    uid: String,
    restore: String,
}

fn anew(machine: Ours, was: &Was) -> Result<()> {
    let machine = cut_while_it_is_made(machine, &was.restore)?;
    machine.becomes("alice", "inactive")?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.check("id -u alice")?, was.uid);
    let (before, after) = (&was.listing, listing(&machine)?);
    ensure!(*before == after, "before:\n{before}\nafter:\n{after}");
    let told = machine.done("inspect alice", "", "")?;
    ensure!(told.contains("Alice") && !told.contains("disk"), "{told}");
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}
