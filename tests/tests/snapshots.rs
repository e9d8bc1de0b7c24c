//! Snapshots of an open home: made, shown, restored, deleted, by schedule and where space is short; killed at each step; and what
//! nobody gets by them.

use anyhow::{Context, Result, ensure};
use homed_tests::Ours;
use serde_json::Value;

/// As alice; what it printed.
fn own(machine: &Ours, script: &str) -> Result<String> {
    Ok(machine.command(script).user("alice").check()?.trim().to_owned())
}

fn report(machine: &Ours, words: &str) -> Result<Value> {
    serde_json::from_str(&machine.done(&format!("{words} -j"), "", "")?).context("a report")
}

/// The names of all snapshots of an origin.
fn of_origin(machine: &Ours, origin: &str) -> Result<Vec<String>> {
    let report = report(machine, "snapshot alice")?;
    let all = report["snapshots"].as_array().into_iter().flatten();
    Ok(all
        .filter(|one| one["origin"] == origin)
        .filter_map(|one| one["name"].as_str())
        .map(str::to_owned)
        .collect())
}

fn reopen(machine: &Ours) -> Result<()> {
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")?;
    machine.done("activate alice", "correcthorse", "").map(drop)
}

#[test]
fn a_home_is_kept_and_restored_and_nobody_gains_by_it() -> Result<()> {
    let machine = Ours::small()?;
    machine.check("useradd -m bob && echo of-bob > /home/bob/secret && chmod 700 /home/bob")?;
    machine.create("alice", "correcthorse")?;
    ensure!(
        machine.refused("snapshot alice", "", "")?.contains("not active"),
        "a closed home has none to tell"
    );
    machine.done("activate alice", "correcthorse", "")?;
    files(&machine).context("files")?;
    strangers(&machine).context("strangers")?;
    all_of_it(&machine).context("all of it")?;
    killed(&machine).context("killed")?;
    space(&machine).context("space")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// The owner makes one, and has a file and a folder as they were.
fn files(machine: &Ours) -> Result<()> {
    own(
        machine,
        "mkdir -p ~/d/e && echo first > ~/d/e/x && chmod 640 ~/d/e/x && echo first > ~/whole && sync -f ~",
    )?;
    own(machine, "homectl snapshot alice make begin")?;
    machine.refused("snapshot alice make begin", "", "")?;
    machine.refused("snapshot alice make ../x", "", "")?;
    machine.done("update alice --real-name=Later", "correcthorse", "")?;
    own(machine, "echo second > ~/d/e/x; echo second > ~/whole; echo new > ~/fresh; sync -f ~")?;
    let shown = own(machine, "homectl snapshot alice show begin")?;
    for change in ["changed  d/e/x", "changed  whole", "new      fresh"] {
        ensure!(shown.contains(change), "{shown}");
    }
    let told = own(machine, "homectl snapshot alice restore begin d/e/x")?;
    ensure!(told.contains("kept: d/e/x.before-"), "{told}");
    let stand = own(machine, "cat ~/d/e/x ~/d/e/x.before-*; stat -c '%U %a' ~/d/e/x")?;
    assert_eq!(stand, "first\nsecond\nalice 640");
    own(machine, "rm -r ~/d && homectl snapshot alice restore begin ~/d && grep -x first ~/d/e/x")?;
    ensure!(machine.refused("snapshot alice restore begin d/none", "", "")?.contains("There is no"));
    ensure!(machine.refused("snapshot alice restore none d", "", "")?.contains("No snapshot is called"));
    // A folder that is not to be written to comes back, and stands in no later restore's way.
    own(machine, "mkdir -p ~/p/shut && echo x > ~/p/shut/x && chmod 555 ~/p/shut && sync -f ~")?;
    own(machine, "homectl snapshot alice make shut && homectl snapshot alice restore shut p/shut")?;
    assert_eq!(own(machine, "stat -c %a ~/p/shut; cat ~/p/shut/x; chmod -R u+w ~/p; rm -r ~/p")?, "555\nx");
    machine.done("snapshot alice delete --yes shut", "", "")?;
    // Looking at snapshots makes nothing writable that can only be read.
    let remount = |how: &str| {
        machine.check(&format!(
            "mount --options-mode ignore -o remount,{how} /dev/mapper/home-alice /home/alice"
        ))
    };
    remount("ro")?;
    ensure!(own(machine, "homectl snapshot alice")?.contains("begin"));
    ensure!(machine.refused("snapshot alice make x", "", "")?.contains("can only be read"));
    let options = machine.check("findmnt -n -o FS-OPTIONS /home/alice")?;
    ensure!(options.starts_with("ro,"), "{options}");
    remount("rw")?;
    // They lie where nobody but root comes, and a lock waits for nothing of them.
    assert_eq!(machine.check("ls -A /home/alice | grep -c snapshots || :")?.trim(), "0");
    machine.done("lock alice", "", "")?;
    ensure!(machine.refused("snapshot alice", "", "")?.contains("locked"));
    machine.done("unlock alice", "correcthorse", "").map(drop)
}

/// Neither another user nor a link gets anything.
fn strangers(machine: &Ours) -> Result<()> {
    for words in ["", " make mine", " show begin", " restore begin whole", " --yes delete begin"] {
        let done =
            machine.command(format!("setsid --wait homectl snapshot alice{words}")).user("bob").run()?;
        ensure!(done.status != 0, "bob: snapshot alice{words}: {}", done.stdout);
    }
    // In the home: what was a folder leads elsewhere now, and so does what is unfinished.
    own(machine, "mv ~/d ~/d.mine && ln -s /home/bob ~/d && ln -s /home/bob ~/.homed-restoring")?;
    let said = machine.refused("snapshot alice restore begin d/e/x", "", "")?;
    ensure!(said.contains("no folder, such as a symbolic link"), "{said}");
    own(machine, "rm ~/d ~/.homed-restoring; mv ~/d.mine ~/d")?;
    // In the snapshot: it is restored as the link that it is.
    own(machine, "ln -s /home/bob/secret ~/link && ln -s /home/bob ~/bobs && sync -f ~")?;
    own(
        machine,
        "homectl snapshot alice make links && rm ~/link ~/bobs && homectl snapshot alice restore links link",
    )?;
    assert_eq!(
        own(machine, "readlink ~/link; cat ~/link 2>/dev/null || echo none")?,
        "/home/bob/secret\nnone"
    );
    machine.refused("snapshot alice restore links bobs/secret", "", "")?;
    machine.refused("snapshot alice restore links /home/bob/secret", "", "")?;
    machine.refused("snapshot alice restore links ../.snapshots", "", "")?;
    // What a restore has left is swept away, and root's subvolume under that name is nothing that one has left.
    machine.check("btrfs -q subvolume create /home/alice/.homed-restoring && echo of-root > /home/alice/.homed-restoring/x")?;
    let said = machine.refused("snapshot alice restore begin whole", "", "")?;
    ensure!(said.contains("is a subvolume"), "{said}");
    machine.check("grep -x of-root /home/alice/.homed-restoring/x && btrfs -q subvolume delete /home/alice/.homed-restoring")?;
    // What is root's in the home is not the user's to have.
    machine.check("mkdir /home/alice/r && echo of-root > /home/alice/r/x && chmod 600 /home/alice/r/x")?;
    own(machine, "homectl snapshot alice make roots")?;
    machine.check("rm -r /home/alice/r")?;
    let told = own(machine, "homectl snapshot alice restore roots r")?;
    ensure!(told.contains("Left out") && own(machine, "ls ~/r")?.is_empty(), "{told}");
    assert_eq!(
        machine.check("cat /home/bob/secret; ls -A /home/bob | grep -c restoring || :")?,
        "of-bob\n0\n"
    );
    machine.done("snapshot alice delete --yes links roots", "", "").map(drop)
}

/// From the next login on, with the record in force, and the former home is kept.
fn all_of_it(machine: &Ours) -> Result<()> {
    machine.refused("snapshot alice restore begin", "", "")?;
    own(machine, "echo second > ~/whole")?;
    let told = machine.done("snapshot alice restore begin --yes", "", "")?;
    ensure!(told.contains("log out"), "{told}");
    assert_eq!(own(machine, "echo third >> ~/whole; cat ~/whole")?, "second\nthird");
    ensure!(machine.refused("snapshot alice make x", "", "")?.contains("closed and opened"));
    let former = of_origin(machine, "former")?;
    ensure!(former.len() == 1, "{former:?}");
    machine.refused(&format!("snapshot alice --yes delete {}", former[0]), "", "")?;
    ensure!(machine.done("status alice", "", "")?.contains("shows when the home is opened again"));
    machine.done("lock alice", "", "")?;
    machine.done("unlock alice", "correcthorse", "")?;
    reopen(machine)?;
    assert_eq!(own(machine, "cat ~/whole; test ! -e ~/fresh && stat -c %U ~/whole")?, "first\nalice");
    ensure!(machine.done("inspect alice", "", "")?.contains("Later"), "the record in force");
    own(machine, &format!("homectl snapshot alice restore {} whole", former[0]))?;
    assert_eq!(own(machine, "cat ~/whole")?, "second\nthird");
    machine.done(&format!("snapshot alice --yes delete {}", former[0]), "", "").map(drop)
}

/// Runs homectl with its worker killed at each step in turn, until one is not; `after` says what must hold then. How many were.
fn at_each_step(machine: &Ours, words: &str, after: impl Fn() -> Result<()>) -> Result<usize> {
    for step in 1..10 {
        own(machine, "echo now > ~/whole; rm -f ~/whole.before-*; sync -f ~")?;
        machine.check(&format!("echo 'snapshot#{step} kill' > /run/homed/fault"))?;
        let done = machine.homectl(&format!("snapshot alice {words}"), "", "")?;
        machine.check("rm -f /run/homed/fault")?;
        after().with_context(|| format!("{words}, killed at step {step}: {}", done.stderr))?;
        if done.status == 0 {
            return Ok(step - 1);
        }
    }
    Err(anyhow::anyhow!("{words} has more steps than can be"))
}

/// A worker that is killed at any step leaves the home as it was or as it is to be, and nothing is lost.
fn killed(machine: &Ours) -> Result<()> {
    let hit = at_each_step(machine, "restore begin whole", || {
        own(machine, "cat ~/whole ~/whole.before-* 2>/dev/null | grep -x now")?;
        Ok(())
    })?;
    ensure!(hit == 4, "{hit} steps of a file's were hit");
    let hit = at_each_step(machine, "restore begin --yes", || {
        // Whoever comes puts it in order, and be it in vain.
        machine.refused("snapshot alice delete --yes none", "", "")?;
        if report(machine, "snapshot alice")?["waitsForReopening"] == true {
            reopen(machine)?;
        }
        let former = of_origin(machine, "former")?;
        let content = own(machine, "cat ~/whole")?;
        ensure!(content == if former.is_empty() { "now" } else { "first" }, "{content}, {former:?}");
        for name in former {
            own(machine, &format!("homectl snapshot alice restore {name} whole; grep -x now ~/whole"))?;
            machine.done(&format!("snapshot alice --yes delete {name}"), "", "")?;
        }
        assert_eq!(own(machine, "ls -A ~ | grep -c restoring || :")?, "0");
        Ok(())
    })?;
    ensure!(hit == 4, "{hit} steps of all of it were hit");
    let hit = at_each_step(machine, "make cut", || Ok(()))?;
    let gone = at_each_step(machine, "delete cut --yes", || Ok(()))?;
    ensure!((hit, gone) == (1, 1), "{hit} steps of making and {gone} of deleting were hit");
    let made = of_origin(machine, "made")?;
    ensure!(made.len() == 1 && made[0].ends_with("begin"), "{made:?}");
    Ok(())
}

/// What the schedule has made goes where space is short, and a shrink says what is in its way.
fn space(machine: &Ours) -> Result<()> {
    machine.done("resize alice 500M", "", "")?;
    own(machine, "fallocate -l 300M ~/large; sync -f ~")?;
    // From now on one may be made at any moment.
    machine.done("update alice --snapshot-keep-hourly=3", "correcthorse", "")?;
    machine.done("rebalance", "", "")?;
    let scheduled = of_origin(machine, "scheduled")?;
    ensure!(!scheduled.is_empty(), "{scheduled:?}\n{}", machine.log());
    machine.done("rebalance", "", "")?;
    ensure!(of_origin(machine, "scheduled")?.starts_with(&scheduled), "what was made before stays");
    own(machine, "rm ~/large; sync -f ~")?;
    let said = machine.refused("resize alice 290M", "", "")?;
    ensure!(said.contains("snapshots"), "{said}");
    own(machine, "fallocate -l $(($(df -B1 --output=avail ~ | tail -1) - 20000000)) ~/fill; sync -f ~")?;
    let free = |machine: &Ours| -> Result<u64> {
        Ok(machine.check("df -B1 --output=avail /home/alice | tail -1")?.trim().parse()?)
    };
    let before = free(machine)?;
    machine.done("rebalance", "", "")?;
    ensure!(!of_origin(machine, "scheduled")?.contains(&scheduled[0]), "it stays: {}", machine.log());
    let after = free(machine)?;
    ensure!(after > before + (200 << 20), "{before} were free, {after} are");
    ensure!(of_origin(machine, "made")?.len() == 1, "what somebody made stays");
    own(machine, "rm ~/fill; sync -f ~; homectl snapshot alice make last")?;
    machine.done("resize alice min", "", "")?;
    assert_eq!(own(machine, "test -e ~/whole && echo there")?, "there");
    Ok(())
}
