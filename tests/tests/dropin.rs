//! What programs and scripts that know the original expect of the bus and of homectl, several of it per machine: the
//! effect is looked at, not the record.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};

/// A call of the manager, as root or as somebody else.
const CALL: &str = "busctl call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Manager";

/// The record that a program like AccountsService sends back: with another name, and without what it leaves out.
const AS_ACCOUNTS_SERVICE: &str = "\
busctl -j call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Manager GetUserRecordByName s alice |
    jq -c '.data[0] | fromjson | del(.status, .binding, .signature, .blobManifest) | .lastChangeUSec += 1' |
    jq -c";

/// A public key of nobody's.
const OTHER_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAQGT/1ihUNr06I16XTNRExq4Q08YMNMkPQtFRChGvdGw=
-----END PUBLIC KEY-----
";

fn state_is(machine: &Ours, expected: &str) -> Result<()> {
    assert_eq!(machine.state("alice")?, expected);
    Ok(())
}

#[test]
fn clients_that_know_no_secret_change_what_needs_none() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    let change = |member: &str, flag: u8| {
        machine.run(&format!(
            "record=$({AS_ACCOUNTS_SERVICE} '{member}'); {CALL} UpdateHomeEx 'sa{{sh}}t' \"$record\" 0 {flag}"
        ))
    };
    // Closed: not without the password, or on this machine alone.
    let closed = change(".realName = \"Alice A.\"", 0)?;
    ensure!(closed.status != 0 && closed.stderr.contains("password"), "{}", closed.stderr);
    ensure!(change(".realName = \"Offline\"", 1)?.status == 0);
    // Open: the name goes, what opens the home does not.
    machine.done("activate alice", "correcthorse", "")?;
    let open = change(".realName = \"Alice B.\"", 0)?;
    ensure!(open.status == 0, "{}", open.stderr);
    assert_eq!(machine.check("getent passwd alice | cut -d: -f5")?.trim(), "Alice B.");
    let keys = change(".privileged.hashedPassword = [\"$6$x$y\"]", 0)?;
    ensure!(keys.status != 0 && keys.stderr.contains("password"), "{}", keys.stderr);
    // A stranger does neither.
    let stranger =
        machine.command(format!("{CALL} UpdateHome s '{{\"userName\":\"alice\"}}'")).user("nobody");
    ensure!(stranger.run()?.status != 0);
    // None of it was an attempt, and the copy inside follows at the next login.
    let attempts =
        machine.check("homectl inspect -j alice | jq '[.status[].badAuthenticationCounter // 0] | max'")?;
    assert_eq!(attempts.trim(), "0");
    machine.done("deactivate alice", "", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.check("jq -r .realName /home/alice/.identity")?.trim(), "Alice B.");
    // Key slots "follow the record" without a new password.
    let follow = |old: &str| {
        machine.run(&format!("{CALL} ChangePasswordHome sss alice '{{}}' '{{\"password\":[\"{old}\"]}}'"))
    };
    ensure!(follow("wrong")?.status != 0);
    ensure!(follow("correcthorse")?.status == 0);
    // What she writes into her own copy counts, where it is hers to change, and nothing else of the file then.
    let edit = |what: &str| {
        let now = "(now * 1000000 | floor)";
        let script =
            format!("jq '{what} | .lastChangeUSec = {now}' ~/.identity > ~/new && mv ~/new ~/.identity");
        machine.command(script).user("alice").check()?;
        machine.done("deactivate alice", "", "")?;
        machine.done("activate alice", "correcthorse", "")
    };
    edit(".realName = \"Alice C.\"")?;
    assert_eq!(machine.check("getent passwd alice | cut -d: -f5")?.trim(), "Alice C.");
    edit(".realName = \"Root\" | .memberOf = [\"sudo\"]")?;
    edit(".realName = \"Root\" | .privileged.hashedPassword = [\"$6$x$y\"]")?;
    assert_eq!(machine.check("getent passwd alice | cut -d: -f5; id -nG alice")?, "Alice C.\nalice\n");
    assert_eq!(machine.check("jq -r .realName /home/alice/.identity")?.trim(), "Alice C.");
    // Sections that only the daemon makes.
    let status = machine.run(&format!("{CALL} CreateHome s '{{\"userName\":\"bob\",\"status\":{{}}}}'"))?;
    ensure!(status.status != 0 && status.stderr.contains("status"), "{}", status.stderr);
    state_is(&machine, "active")
}

/// What is called as a home is, and is none.
fn what_is_no_home_is_not_adopted(machine: &Ours) -> Result<()> {
    machine.check(
        "mkdir /srv/others; cd /srv/others; echo 'a letter' > text.home; : > empty.home; truncate -s 512 sector.home
         mkfifo fifo.home; mkdir bare.homedir; truncate -s 20M backup.home
         echo secret | cryptsetup luksFormat -q --pbkdf=pbkdf2 --pbkdf-force-iterations=1000 backup.home -",
    )?;
    let before = machine.check("ls -lR /srv/others /var/lib/systemd/home; homectl list")?;
    for (path, word) in [
        ("homes", "home"),
        ("homes/none.home", "No such file"),
        ("others/text.home", "no LUKS2 header"),
        ("others/empty.home", "no LUKS2 header"),
        ("others/sector.home", "no LUKS2 header"),
        ("others/backup.home", "no record of a home"),
        ("others/bare.homedir", "no record of a home"),
        ("others/fifo.home", "not a home"),
    ] {
        let said = machine.refused(&format!("adopt /srv/{path}"), "", "")?;
        ensure!(said.contains(word), "{path}: {said}");
    }
    ensure!(machine.check("ls -lR /srv/others /var/lib/systemd/home; homectl list")? == before);
    Ok(())
}

#[test]
fn homes_come_and_go_by_path_and_by_record() -> Result<()> {
    let machine = Ours::small()?;
    // A record with the password in it, as scripts hand it over.
    let record = r#"{"userName":"alice","storage":"directory","aliases":["ali"],"secret":{"password":["correcthorse"]}}"#;
    machine.write_file("/root/alice.identity", record.as_bytes())?;
    machine.done("create -P --identity=/root/alice.identity", "", "")?;
    machine.done("authenticate alice", "correcthorse", "")?;
    // By an alias, too.
    assert_eq!(machine.done("with ali -- pwd", "correcthorse", "")?.trim(), "/home/alice");
    // Forgotten, it is found again at once; elsewhere it is adopted.
    machine.done("unregister alice", "", "")?;
    machine.becomes("alice", "unfixated")?;
    machine.done("with alice -- true", "correcthorse", "")?;
    machine.check("mkdir /srv/homes; mv /home/alice.homedir /srv/homes/")?;
    machine.becomes("alice", "absent")?;
    machine.done("unregister alice", "", "")?;
    what_is_no_home_is_not_adopted(&machine)?;
    machine.done("adopt /srv/homes/alice.homedir", "", "")?;
    ensure!(machine.refused("adopt /srv/homes/alice.homedir", "", "")?.contains("already"));
    machine.done("with alice -- true", "correcthorse", "")?;
    assert_eq!(
        machine.check("homectl inspect -j alice | jq -r '.binding[].imagePath'")?.trim(),
        "/srv/homes/alice.homedir"
    );
    // Names and UIDs of others are not taken.
    for (record, word) in [
        (r#"{"userName":"daemon"}"#, "daemon"),
        (r#"{"userName":"carol","aliases":["games"]}"#, "games"),
        (r#"{"userName":"carol","uid":65533,"secret":{"password":["x"]}}"#, ""),
    ] {
        machine.write_file("/root/other", record.as_bytes())?;
        let done = machine.homectl("register /root/other", "", "")?;
        ensure!(
            done.stderr.contains(word) && (done.status == 0) == word.is_empty(),
            "{record}: {}",
            done.stderr
        );
    }
    machine.becomes("carol", "absent")?;
    // What the credentials of a first start say.
    let record = r#"{"storage":"directory","enforcePasswordPolicy":false,"environment":["A=1"],"secret":{"password":["correcthorse"]}}"#;
    machine.check("mkdir /root/credentials")?;
    machine.write_file("/root/credentials/home.add-signing-key.other.public", OTHER_KEY.as_bytes())?;
    machine.write_file("/root/credentials/home.create.dora", record.as_bytes())?;
    machine.check("CREDENTIALS_DIRECTORY=/root/credentials homectl firstboot")?;
    ensure!(machine.check("homectl list-signing-keys")?.contains("other.public"));
    // Single entries of lists come and go, and the others stay.
    machine.check("groupadd one; groupadd two")?;
    machine.done("update dora --member-of=one --setenv=B=2", "correcthorse", "")?;
    machine.done("update dora --member-of=+two,-one --setenv=-A", "correcthorse", "")?;
    assert_eq!(machine.check("id -nG dora")?.trim(), "dora two");
    assert_eq!(machine.check("homectl inspect -j dora | jq -c .environment")?.trim(), "[\"B=2\"]");
    Ok(())
}

#[test]
fn settings_that_scripts_count_on_take_effect() -> Result<()> {
    let machine = Ours::small()?;
    // A file that cannot be a picture is left out, not the others with it.
    machine.check(
        "mkdir /root/pictures; echo a > /root/pictures/avatar; echo b > '/root/pictures/with space'",
    )?;
    let words =
        format!("create alice {CHEAP} --blob=/root/pictures --password-change-min=1d --drop-caches=yes");
    machine.done(&words, "", "correcthorse")?;
    assert_eq!(machine.check("ls /var/cache/systemd/home/alice")?.trim(), "avatar");
    // She may not change it again so soon; an administrator may.
    let change = "'{\"password\":[\"batterystaple\"]}' '{\"password\":[\"correcthorse\"]}'";
    let early =
        machine.command(format!("{CALL} ChangePasswordHome sss alice {change}")).user("alice").run()?;
    ensure!(early.status != 0 && early.stderr.contains("Access denied"), "{}", early.stderr);
    machine.done("authenticate alice", "correcthorse", "")?;
    machine.check(&format!("{CALL} ChangePasswordHome sss alice {change}"))?;
    a_new_password_is_judged(&machine)?;
    // Caches go with the home.
    an_agent_is_asked(&machine)?;
    the_log_is_controlled(&machine)?;
    let count = "awk '$1 == \"drop_pagecache\" { print $2 }' /proc/vmstat";
    let before: u64 = machine.check(count)?.trim().parse()?;
    machine.done("deactivate alice", "", "")?;
    let after: u64 = machine.check(count)?.trim().parse()?;
    ensure!(after > before, "{before} {after}");
    // Who is to be logged in by itself, and a limit that is for this machine alone.
    machine.done("update alice --auto-login=yes", "batterystaple", "")?;
    machine.done(
        "update alice --match=this --rate-limit-burst=1 --rate-limit-interval=1h",
        "batterystaple",
        "",
    )?;
    let said = machine.refused("authenticate alice", "batterystaple", "")?;
    ensure!(said.contains("Too many attempts"), "{said}");
    let logins = "busctl get-property org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Manager AutoLogin";
    let logins = machine.check(logins)?;
    ensure!(logins.contains("\"seat0\" \"alice\""), "{logins}");
    // The text is that of userdbctl: what homed alone knows comes only where it is asked for.
    let text = machine.done("inspect alice", "", "")?;
    ensure!(text.contains("Self Modify: realName") && !text.contains("Disk Blocks"), "{text}");
    let text = machine.done("inspect --details alice", "", "")?;
    ensure!(text.contains("Disk Blocks"), "{text}");
    a_container_has_folders(&machine)
}

/// In a container, which has no block devices of its own, new homes are folders where nobody says.
fn a_container_has_folders(machine: &Ours) -> Result<()> {
    machine.kill_daemon()?;
    machine.check("mkdir -p /run/systemd; echo podman > /run/systemd/container")?;
    machine.start_daemon()?;
    machine.done("create carl --enforce-password-policy=no", "", "correcthorse")?;
    let kind = machine.check("homectl inspect -j carl | jq -r '.binding[].storage'")?;
    ensure!(matches!(kind.trim(), "directory" | "subvolume"), "{kind}");
    machine.done("activate carl", "correcthorse", "")?;
    machine.done("deactivate carl", "", "")?;
    somebody_is_asked_at_the_first_start(machine)?;
    machine.check("rm /run/systemd/container").map(drop)
}

/// Who is asked for a new password reads some that are good, where a program makes them; where weak ones are allowed, that
/// it is weak. The programs are played: they are no part of this system.
fn a_new_password_is_judged(machine: &Ours) -> Result<()> {
    machine.check(
        "cat > /usr/bin/pwmake <<'END'
#!/bin/sh
[ $1 = 64 ] && echo horse$$battery
END
        cat > /usr/bin/pwscore <<'END'
#!/bin/sh
[ $1 = bob ] && [ \"$(cat)\" = letmein1 ] && echo 'Password quality check failed:' >&2 && echo ' it is in the dictionary' >&2
exit 1
END
        chmod +x /usr/bin/pwmake /usr/bin/pwscore",
    )?;
    // Somebody of the number that bob's name gives (60076) has left an object in memory: another one is his.
    machine.check("mkdir -p /dev/shm; touch /dev/shm/left; chown 60076 /dev/shm/left")?;
    let said = machine.refused("create bob --disk-size=256M", "", "letmein1")?;
    ensure!(said.contains("too weak: it is in the dictionary"), "{said}");
    machine.check(
        "cat > /run/new.exp <<'END'
set timeout 60
spawn homectl create bob --enforce-password-policy=no --storage=directory
expect -re {Password suggestions: horse\\d+battery( horse\\d+battery){5}\\r\\n} {} timeout { exit 97 } eof { exit 96 }
expect -ex {New password of bob} { send \"letmein1\\r\" } timeout { exit 95 }
expect -ex {same again} { send \"letmein1\\r\" } timeout { exit 94 }
expect -ex {too weak: it is in the dictionary. It is taken} {} timeout { exit 93 } eof { exit 92 }
expect eof
exit [lindex [wait] 3]
END
        expect /run/new.exp >&2"
    )?;
    machine.check("rm /usr/bin/pwmake /usr/bin/pwscore")?;
    ensure!(machine.state("bob")? == "inactive");
    let uids = machine.check("homectl list -j | jq -r 'map([.name, .uid]) | .[] | @tsv'")?;
    ensure!(uids.contains("alice\t60456") && uids.contains("bob\t60") && !uids.contains("60076"), "{uids}");
    Ok(())
}

/// `homectl firstboot --prompt-new-user`: the questions, an answer that cannot be, and the home that is made of them.
fn somebody_is_asked_at_the_first_start(machine: &Ours) -> Result<()> {
    machine.check(
        "cat > /run/first.exp <<'END'
set timeout 60
set env(SYSTEMD_HOME_FIRSTBOOT_OVERRIDE) 1
spawn homectl firstboot --prompt-new-user
proc answer {question text} { expect -ex $question { send \"$text\\r\" } timeout { exit 97 } eof { exit 96 } }
answer {Name of the first user} {Bad Name}
expect -ex {cannot be} {} timeout { exit 95 } eof { exit 94 }
answer {Name of the first user} erna
answer {Groups} games,audio
answer {Login shell} /bin/sh
answer {New password of erna} correcthorse
answer {same again} correcthorse
expect eof
exit [lindex [wait] 3]
END
        expect /run/first.exp >&2",
    )?;
    let made =
        machine.check("homectl inspect -j erna | jq -c '[.memberOf, .shell, .enforcePasswordPolicy]'")?;
    ensure!(made.trim() == r#"[["audio","games"],"/bin/sh",false]"#, "{made}");
    machine.done("authenticate erna", "correcthorse", "")?;
    // Where there are users nobody is asked.
    machine.check("homectl firstboot --prompt-new-user </dev/null").map(drop)
}

/// `io.systemd.service` over Varlink: root changes how much is logged, nobody else.
fn the_log_is_controlled(machine: &Ours) -> Result<()> {
    let call = "varlinkctl call /run/systemd/userdb/io.systemd.Home io.systemd.service.";
    ensure!(machine.check(&format!("{call}GetLogLevel -j '{{}}'"))?.contains(":6"));
    machine.check(&format!("{call}SetLogLevel '{{\"level\":7}}'"))?;
    let level = machine.command(format!("{call}GetLogLevel -j '{{}}'")).user("alice").check()?;
    ensure!(level.contains(":7"), "{level}");
    let denied = machine.command(format!("{call}SetLogLevel '{{\"level\":3}}'")).user("alice").run()?;
    ensure!(denied.status != 0 && denied.stderr.contains("PermissionDenied"), "{}", denied.stderr);
    ensure!(machine.check(&format!("{call}GetEnvironment '{{}}'"))?.contains("PATH="));
    Ok(())
}

/// Where homectl has no terminal, systemd-ask-password's agents are asked; nobody where that is forbidden.
fn an_agent_is_asked(machine: &Ours) -> Result<()> {
    machine.check(
        "mkdir -p /run/systemd/ask-password; ! setsid --wait homectl --no-ask-password activate alice",
    )?;
    machine.check(
        "setsid --wait homectl activate alice >/run/asked.log 2>&1 </dev/null & asked=$!
        until ls /run/systemd/ask-password/ask.* 2>/dev/null; do kill -0 $asked || break; sleep 0.1; done
        cat > /run/agent.exp <<'END'
set timeout 60
spawn systemd-tty-ask-password-agent --query
expect -ex {Password of alice} {} timeout { exit 97 } eof { exit 96 }
send \"batterystaple\\r\"
expect eof
END
        expect /run/agent.exp >&2 && wait $asked || { cat /run/asked.log >&2; exit 1; }",
    )?;
    ensure!(machine.state("alice")? == "active");
    ensure!(machine.check("ls /run/systemd/ask-password")?.is_empty(), "the question lies there for ever");
    Ok(())
}
