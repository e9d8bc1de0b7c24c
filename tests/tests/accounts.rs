//! AccountsService, which greeters and settings ask: who is listed, with which picture, and what is changed through it.
//! With Debian stable's, which knows nothing of homed, and with testing's, which asks homed itself.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};

const ACCOUNTS: &str = "org.freedesktop.Accounts";

/// A machine with that AccountsService.
fn machine(suite: &str) -> Result<Ours> {
    let machine = Ours::full()?;
    machine.install(suite, &["accountsservice"])?;
    machine.check("printf '\\211PNG\\r\\n\\032\\n one' > /root/one.png; printf '\\211PNG\\r\\n\\032\\n two' > /root/two.png")?;
    Ok(machine)
}

/// A property of a user's object, as AccountsService shows it.
fn property(machine: &Ours, user: &str, name: &str) -> Result<String> {
    let script = format!(
        "path=$(busctl -j call {ACCOUNTS} /org/freedesktop/Accounts {ACCOUNTS} FindUserByName s {user} | jq -r '.data[0]')
         busctl -j get-property {ACCOUNTS} $path {ACCOUNTS}.User {name} | jq -r .data"
    );
    Ok(machine.check(&script)?.trim().to_owned())
}

/// Waits until a property of a user's object is that.
fn becomes(machine: &Ours, user: &str, name: &str, value: &str) -> Result<()> {
    let mut now = String::new();
    for _ in 0..200 {
        now = property(machine, user, name)?;
        if now == value {
            return Ok(());
        }
        machine.check("sleep 0.1")?;
    }
    anyhow::bail!(
        "{user}: {name} is {now:?}, not {value:?}\n{}",
        machine.check("journalctl -b -n 60 -o cat")?
    )
}

/// Changes a user through AccountsService, as settings do.
fn change(machine: &Ours, user: &str, method: &str, value: &str) -> Result<()> {
    let script = format!(
        "path=$(busctl -j call {ACCOUNTS} /org/freedesktop/Accounts {ACCOUNTS} FindUserByName s {user} | jq -r '.data[0]')
         busctl --timeout=60 call {ACCOUNTS} $path {ACCOUNTS}.User {method} s '{value}'"
    );
    machine.check(&script).map(drop)
}

/// What a record says of attempts to open the home.
fn attempts(machine: &Ours, user: &str) -> Result<String> {
    machine.check(&format!(
        "homectl inspect -j {user} | jq -c '.status[] | [.goodAuthenticationCounter, .badAuthenticationCounter, .rateLimitCount]'"
    ))
}

#[test]
fn the_one_that_asks_homed_reads_and_changes_without_a_password() -> Result<()> {
    let machine = machine("forky")?;
    machine.create("alice", "correcthorse")?;
    becomes(&machine, "alice", "UsesHomed", "true")?;
    for state in ["closed", "open"] {
        if state == "open" {
            machine.done("activate alice", "correcthorse", "")?;
        }
        let before = attempts(&machine, "alice")?;
        for (method, name, value, member) in [
            ("SetRealName", "RealName", format!("Alice {state}"), "realName"),
            ("SetEmail", "Email", format!("{state}@example.com"), "emailAddress"),
            ("SetLanguage", "Language", "de_DE.UTF-8".to_owned(), "preferredLanguage"),
        ] {
            change(&machine, "alice", method, &value)?;
            becomes(&machine, "alice", name, &value)?;
            let kept = machine.check(&format!("homectl inspect -j alice | jq -r .{member}"))?;
            ensure!(kept.trim() == value, "{state}: {method}: {kept}");
        }
        // Its first call is refused while the home is closed; the second brings the same open file.
        let picture = if state == "open" { "/root/one.png" } else { "/root/two.png" };
        change(&machine, "alice", "SetIconFile", picture)?;
        until(&machine, &format!("cmp -s {picture} /var/cache/systemd/home/alice/avatar"))?;
        becomes(&machine, "alice", "IconFile", "/var/cache/systemd/home/alice/avatar")?;
        let after = attempts(&machine, "alice")?;
        ensure!(before == after, "{state}: {before} and {after}");
    }
    // What is changed by homed's own way is read again.
    machine.done("update alice --real-name=Elsewhere", "correcthorse", "")?;
    becomes(&machine, "alice", "RealName", "Elsewhere")?;
    a_blank_password_is_set_by_who_may(&machine)
}

/// As gnome-initial-setup has it: a user is made with an empty password, and a service that polkit knows sets the true one.
fn a_blank_password_is_set_by_who_may(machine: &Ours) -> Result<()> {
    machine.write_file(
        "/etc/polkit-1/rules.d/20-setup.rules",
        "polkit.addRule(function(action, subject) {
            if (action.id == 'org.freedesktop.home1.passwd-home' && subject.user == 'gnome-initial-setup') return polkit.Result.YES;
        });",
    )?;
    machine.check("useradd --system gnome-initial-setup && systemctl restart polkit")?;
    machine.check(
        r#"hash=$(perl -e 'print crypt("", "\$6\$saltsalt\$")')
        busctl --timeout=120 call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Manager CreateHome s \
        "{\"userName\":\"blank\",\"diskSize\":268435456,\"luksPbkdfType\":\"pbkdf2\",\"enforcePasswordPolicy\":false,
          \"privileged\":{\"hashedPassword\":[\"$hash\"]},\"secret\":{\"password\":[\"\"]}}""#,
    )?;
    let call = |method: &str, words: &str| {
        let manager = "org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Manager";
        format!("busctl --timeout=120 call {manager} {method} {words}")
    };
    let (empty, new) = (r#"'{"password":[""]}'"#, r#"'{"password":["battery staple"]}'"#);
    machine.check(&call("AuthenticateHome", &format!("ss blank {empty}")))?;
    // Who has only to press a key does not get in.
    let pressed = machine.command("pamtester login blank authenticate").stdin("\n\n\n").run()?;
    ensure!(pressed.status != 0 && machine.state("blank")? == "inactive", "{pressed:?}");
    let set = call("ChangePasswordHome", &format!("sss blank {new} {empty}"));
    let stranger = machine.command(&set).user("nobody").run()?;
    ensure!(stranger.status != 0 && stranger.stderr.contains("ccess denied"), "{stranger:?}");
    machine.command(&set).user("gnome-initial-setup").check()?;
    machine.check(&call("AuthenticateHome", &format!("ss blank {new}")))?;
    let gone = machine.run(&call("AuthenticateHome", &format!("ss blank {empty}")))?;
    ensure!(gone.status != 0, "{gone:?}");
    Ok(())
}

/// Whom greeters offer, by object.
fn listed(machine: &Ours) -> Result<String> {
    machine.check(&format!(
        "busctl -j call {ACCOUNTS} /org/freedesktop/Accounts {ACCOUNTS} ListCachedUsers | jq -r '.data[0][]' | sort"
    ))
}

/// Waits until exactly these are offered.
fn offers(machine: &Ours, expected: &[&str]) -> Result<()> {
    let mut now = String::new();
    for _ in 0..200 {
        now = listed(machine)?;
        if now.lines().eq(expected.iter().copied()) {
            return Ok(());
        }
        machine.check("sleep 0.1")?;
    }
    let log = machine.check(
        "journalctl -b -o cat -u homed-accounts -u accounts-daemon -n 40; ls -lR /var/lib/AccountsService",
    )?;
    anyhow::bail!("{now:?} are offered, not {expected:?}\n{log}")
}

/// The object of a user.
fn object(machine: &Ours, user: &str) -> Result<String> {
    Ok(format!("/org/freedesktop/Accounts/User{}", machine.check(&format!("id -u {user}"))?.trim()))
}

#[test]
fn who_has_never_logged_in_is_offered_with_a_picture() -> Result<()> {
    let machine = machine("trixie")?;
    machine.done(&format!("create alice {CHEAP} --avatar=/root/one.png"), "", "correcthorse")?;
    let alice = object(&machine, "alice")?;
    offers(&machine, &[&alice])?;
    let icon = "/var/lib/AccountsService/icons/alice";
    becomes(&machine, "alice", "IconFile", icon)?;
    machine.check(&format!(
        "cmp {icon} /root/one.png && grep -q 'Icon={icon}' /var/lib/AccountsService/users/alice"
    ))?;
    // Another picture, by homed's own way.
    machine.done("update alice --avatar=/root/two.png", "correcthorse", "")?;
    until(&machine, &format!("cmp -s {icon} /root/two.png"))?;
    // Another home, and one that goes.
    machine.create("bob", "correcthorse")?;
    let bob = object(&machine, "bob")?;
    let mut both = [alice.as_str(), bob.as_str()];
    both.sort_unstable();
    offers(&machine, &both)?;
    // A picture that was chosen in the settings of a desktop is nobody's to take away.
    change(&machine, "bob", "SetIconFile", "/root/one.png")?;
    machine.done("update bob --real-name=Bob", "correcthorse", "")?;
    becomes(&machine, "bob", "RealName", "Bob")?;
    machine.check("cmp /var/lib/AccountsService/icons/bob /root/one.png")?;
    machine.done("remove bob", "", "")?;
    offers(&machine, &[&alice])?;
    machine.check("! ls /var/lib/AccountsService/*/bob 2>/dev/null")?;
    // Killed while homes come and go, it catches up.
    machine.check("systemctl stop homed-accounts")?;
    machine.create("carol", "correcthorse")?;
    machine.done("update alice --avatar=", "correcthorse", "")?;
    machine.check("systemctl start homed-accounts")?;
    let carol = object(&machine, "carol")?;
    let mut both = [alice.as_str(), carol.as_str()];
    both.sort_unstable();
    offers(&machine, &both)?;
    until(&machine, &format!("! [ -e {icon} ]"))?;
    // It is the greeter's, and stays; all else goes with the package.
    machine.check("printf '[User]\\nLanguage=de_DE.UTF-8\\nSystemAccount=false\\n' > /var/lib/AccountsService/users/root")?;
    machine.check(
        "dpkg --remove homed >&2; ls /var/lib/AccountsService/users /var/lib/AccountsService/icons >&2",
    )?;
    machine.check(
        "cd /var/lib/AccountsService; [ \"$(ls users icons)\" = \"$(printf 'icons:\\n\\nusers:\\nroot')\" ]",
    )?;
    offers(&machine, &["/org/freedesktop/Accounts/User0"])?;
    machine.check("dpkg --purge homed >&2; ! [ -e /var/lib/homed-accounts ]").map(drop)
}

/// Waits until a command succeeds.
fn until(machine: &Ours, what: &str) -> Result<()> {
    let script = format!("for try in $(seq 200); do {{ {what}; }} && exit 0; sleep 0.1; done; exit 1");
    let done = machine.run(&script)?;
    ensure!(done.status == 0, "{what}: {}\n{}", done.stderr, machine.check("journalctl -b -n 60 -o cat")?);
    Ok(())
}
