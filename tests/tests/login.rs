//! Logins through PAM on a full system.

use anyhow::Result;
use homed_tests::Ours;

/// A script that returns when nobody has the home open any more: logind keeps a user's services for ten seconds.
const CLOSED: &str = "until homectl list -j | grep -q '\"inactive\"'; do sleep 0.2; done";

#[test]
fn alice_logs_in_at_the_console_and_leaves_nothing_behind() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    let console = machine.console();
    assert!(console.login("alice", "wrong").is_err());
    machine.nothing_open("alice")?;
    console.try_again("correcthorse")?;
    assert_eq!(console.shell("pwd; id -un; echo hello > file; cat file")?.0, "/home/alice\nalice\nhello\n");
    assert_eq!(machine.check("loginctl list-users --no-legend | awk '{print $2}'")?.trim(), "alice");
    assert_eq!(machine.state("alice")?, "active");

    // A second login shares the home; it stays until the last has gone.
    let second = machine.second_console();
    second.login("alice", "correcthorse")?;
    assert_eq!(second.shell("cat file")?.0, "hello\n");
    status_tells(&machine)?;
    tab_completes(second)?;
    console.send("exit")?;
    console.expect("login:")?;
    assert_eq!(second.shell("cat file")?.0, "hello\n");
    second.send("exit")?;
    second.expect("login:")?;
    machine.check(CLOSED)?;
    machine.nothing_open("alice")?;

    // The secret went by our own socket: the bus daemon has never seen it.
    assert!(bus_daemon_holds(&machine, "org.freedesktop.home1")?);
    assert!(!bus_daemon_holds(&machine, "correcthorse")?, "the bus daemon has the password");
    Ok(())
}

/// Tab in bash: verbs, users in a state that fits, options and their values, without a password.
fn tab_completes(console: &machine::Console) -> Result<()> {
    console.shell(". /usr/share/bash-completion/completions/homectl")?;
    console.send_raw("homectl deactivate a\t--no-l\t")?;
    console.expect("homectl deactivate alice --no-legend ")?;
    // No home is locked.
    console.send_raw("\x15homectl unlock a\t-E --json=pr\t")?;
    let said = console.expect("-E --json=pretty ")?;
    assert!(said.contains("unlock a") && !said.contains("unlock alice"), "{said:?}");
    console.send_raw("\x15")?;
    console.shell("true").map(drop)
}

/// `homectl status` tells what is true, to her and to root, and goes on telling while it changes.
fn status_tells(machine: &Ours) -> Result<()> {
    let ask = |user: &str| -> Result<serde_json::Value> {
        let told = machine.command("homectl status -j").user(user).check()?;
        Ok(serde_json::from_str::<serde_json::Value>(&told)?["homes"][0].take())
    };
    for user in ["root", "alice"] {
        let home = ask(user)?;
        assert_eq!((&home["userName"], &home["state"]), (&"alice".into(), &"active".into()), "{home}");
        let terminals: Vec<_> =
            home["sessions"].as_array().into_iter().flatten().map(|one| &one["tty"]).collect();
        assert_eq!(terminals, ["ttyS0", "ttyS1"], "{home}");
        assert_eq!((&home["opensBy"]["passwords"], &home["opensBy"]["recoveryKeys"]), (&1.into(), &0.into()));
        assert!(home["space"]["used"].as_u64().is_some_and(|used| used > 0), "{home}");
    }
    assert!(machine.refused("status bob", "", "")?.contains("bob"));
    machine.check("homectl status --watch -j > /run/watched & echo $! > /run/watcher; until test -s /run/watched; do sleep 0.1; done")?;
    machine.check("homectl inhibit-lock alice --why=copy --for=1h sleep inf & until grep -q copy /run/watched; do sleep 0.1; done; kill %1 $(cat /run/watcher)")?;
    Ok(())
}

/// Whether a text is in the memory of the bus daemon.
fn bus_daemon_holds(machine: &Ours, text: &str) -> Result<bool> {
    let script = "\
pid=$(pgrep -o -f 'dbus-daemon --system')
while IFS=' -' read -r from to mode rest; do
    case $mode in rw*) ;; *) continue ;; esac
    from=$((16#$from / 4096)) to=$((16#$to / 4096))
    dd if=/proc/$pid/mem bs=4096 skip=$from count=$((to - from)) 2>/dev/null
done < /proc/$pid/maps";
    // The text itself goes in by a file: it must not be in anything that the machine runs.
    machine.write_file("/run/sought", text)?;
    Ok(machine.check(&format!("{{ {script}\n}} | grep -c -a -F -f /run/sought || :"))?.trim() != "0")
}

#[test]
fn su_sudo_ssh_and_passwd_work() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    let console = machine.console();
    console.login("root", "machine")?;
    assert_eq!(console.shell("id -un")?.0, "root\n");

    // ssh with the password opens the home; nobody else has done so.
    machine.write_file("/root/ask", "#!/bin/sh\necho correcthorse\n")?;
    let ssh = "chmod +x /root/ask; SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force setsid -w ssh -o StrictHostKeyChecking=no \
               -o PreferredAuthentications=password,keyboard-interactive alice@localhost";
    assert_eq!(machine.check(&format!("{ssh} 'pwd; echo from ssh > file' 2>/dev/null"))?, "/home/alice\n");
    machine.check(CLOSED)?;

    // passwd through PAM, as alice; then sudo and su with the new password.
    machine.check("echo 'alice ALL=(ALL) ALL' > /etc/sudoers.d/alice")?;
    let second = machine.second_console();
    second.login("alice", "correcthorse")?;
    assert_eq!(second.shell("cat file")?.0, "from ssh\n");
    second.send("passwd; echo status $?")?;
    second.expect("assword")?;
    second.send("correcthorse")?;
    second.expect("ew password")?;
    second.send("batterystaple9")?;
    second.expect("password")?;
    second.send("batterystaple9")?;
    second.expect("status 0")?;
    second.send("sudo -k id -u")?;
    second.expect("assword")?;
    second.send("batterystaple9")?;
    second.expect("\n0\r\n")?;
    second.expect("$ ")?;
    second.send("exit")?;
    second.expect("login:")?;
    machine.check(CLOSED)?;
    console.send("su - nobody -s /bin/bash -c 'su - alice -c pwd'")?;
    console.expect("assword")?;
    console.send("batterystaple9")?;
    console.expect("/home/alice")?;
    machine.check(CLOSED)?;
    machine.nothing_open("alice")
}
