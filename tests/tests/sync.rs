//! A home that is open on two machines, made the same on both: two machines, and a line between them that breaks.

use anyhow::{Result, ensure};
use homed_tests::{CHEAP, Ours};
use machine::{Machine, Output};

/// ssh from one machine to the other, by files in a folder that both see. `CUT`: it breaks after so many bytes; `KILL`: whoever
/// started it is killed then.
const SSH: &str = r#"#!/usr/bin/perl
use strict;
my ($id, $moved, $starter) = ("$$." . time, 0, getppid);
my ($cut, $kill) = ($ENV{CUT} // 1e12, $ENV{KILL} // 1e12);
my $words = "@ARGV"; $words =~ /BatchMode=yes/ || !$ENV{BATCH} or die "ssh would ask";
shift while @ARGV && $ARGV[0] ne '--';
my (undef, $host, @words) = @ARGV;
sub put { my ($name, $bytes) = @_; open my $f, '>', "/mnt/$name.new" or die "$name: $!"; print $f $bytes; close $f; rename "/mnt/$name.new", "/mnt/$name" }
sub counted {
    $moved += length $_[0];
    if ($moved > $kill) { kill 9, $starter; $cut = 0 }
    if ($moved > $cut) { put("$id.broken", ''); kill 9, -getpgrp }
}
setpgrp;
put("$id.command", "@words");
my $sender = fork // die;
if (!$sender) {
    my $n = 0;
    while (sysread STDIN, my $bytes, 30000) { counted($bytes); put("$id.a" . $n++, $bytes) }
    put("$id.a" . $n, ''); exit 0;
}
for (my $n = 0;; $n++) {
    until (-e "/mnt/$id.b$n") { select undef, undef, undef, 0.005 }
    open my $f, '<', "/mnt/$id.b$n" or die; local $/; my $bytes = <$f>; unlink "/mnt/$id.b$n";
    last if $bytes eq '';
    counted($bytes);
    syswrite STDOUT, $bytes or last;
}
until (-e "/mnt/$id.status") { select undef, undef, undef, 0.005 }
open my $f, '<', "/mnt/$id.said"; print STDERR <$f>;
open $f, '<', "/mnt/$id.status"; my $status = <$f>;
kill 9, $sender; exit $status;
"#;

/// The other end of it: runs what is asked for, until /mnt/stop is there.
const SSHD: &str = r#"#!/usr/bin/perl
use strict; use IPC::Open3;
sub put { my ($name, $bytes) = @_; open my $f, '>', "/mnt/$name.new" or die "$name: $!"; print $f $bytes; close $f; rename "/mnt/$name.new", "/mnt/$name" }
$SIG{PIPE} = 'IGNORE';
until (-e '/mnt/stop') {
    my ($command) = glob('/mnt/*.command');
    if (!$command) { select undef, undef, undef, 0.01; next }
    my ($id) = $command =~ m{/mnt/(.*)\.command};
    open my $f, '<', $command or die; local $/; my $words = <$f>; unlink $command;
    open my $said, '>', "/tmp/said.$$" or die;
    my $pid = open3(my $in, my $out, '>&' . fileno($said), 'sh', '-c', "exec $words");
    my $reader = fork // die;
    if (!$reader) {
        close $in; my $n = 0;
        while (sysread $out, my $bytes, 30000) { put("$id.b" . $n++, $bytes) }
        put("$id.b$n", ''); exit 0;
    }
    close $out;
    for (my $n = 0;; $n++) {
        my $over = 0;
        until (-e "/mnt/$id.a$n") {
            if (-e "/mnt/$id.broken" || !kill 0, $reader or waitpid($reader, 1) == $reader) { $over = 1; last }
            select undef, undef, undef, 0.005;
        }
        last if $over;
        open my $g, '<', "/mnt/$id.a$n" or die; my $bytes = <$g>; unlink "/mnt/$id.a$n";
        last if $bytes eq '';
        syswrite $in, $bytes or last;
    }
    close $in; waitpid $pid, 0; my $status = $? >> 8; waitpid $reader, 0;
    open $f, '<', "/tmp/said.$$"; put("$id.said", <$f>); put("$id.status", $status);
}
"#;

/// All there is in a home: what it is, its rights, time and content.
const LISTING: &str = r#"cd && find . -mindepth 1 -path ./.homed-sync -prune -o ! -path './.identity*' ! -path ./.snapshots \
    \( -type d -printf '%p d %m\n' -o -type l -printf '%p l %l\n' -o -type f -printf '%p f %m %T@\n' \) | sort
find . -path ./.homed-sync -prune -o -type f ! -path './.identity*' -print0 | sort -z | xargs -0 sha256sum"#;

/// Two machines on which alice is at home.
struct Two {
    here: Ours,
    there: Ours,
    _folder: tempfile::TempDir,
}

impl Two {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open)?;
        let start = |id: &str, name: &str| -> Result<Ours> {
            let machine = Ours::small_with(Machine::builder().machine_id(id).shared(folder.path()))?;
            machine.check(&format!("hostname {name}; mkdir -p /usr/local/bin"))?;
            machine.kill_daemon()?;
            machine.start_daemon()?;
            machine.done(&format!("create alice {CHEAP}"), "", "correcthorse")?;
            machine.done("activate alice", "correcthorse", "")?;
            machine.write_file("/usr/local/bin/ssh", SSH)?;
            machine.write_file("/usr/local/bin/answers", SSHD)?;
            machine.check("chmod 755 /usr/local/bin/ssh /usr/local/bin/answers")?;
            Ok(machine)
        };
        let here = start("11111111111111111111111111111111", "here")?;
        let there = start("22222222222222222222222222222222", "there")?;
        Ok(Self { here, there, _folder: folder })
    }

    fn homectl(&self, words: &str) -> Result<Output> {
        let script = format!("export PATH=/usr/local/bin:$PATH; {words} </dev/null");
        self.here.command(script).user("alice").run()
    }

    fn sync(&self) -> Result<String> {
        let done = self.homectl("homectl sync alice there")?;
        ensure!(done.status == 0, "{}{}\n{}", done.stdout, done.stderr, self.here.log());
        Ok(done.stdout)
    }

    fn acts(&self, here: &str, there: &str) -> Result<()> {
        self.here.command(format!("cd; {here}")).user("alice").check()?;
        self.there.command(format!("cd; {there}")).user("alice").check()?;
        Ok(())
    }

    fn are_the_same(&self) -> Result<()> {
        let listed = |machine: &Ours| machine.command(LISTING).user("alice").check();
        let (here, there) = (listed(&self.here)?, listed(&self.there)?);
        ensure!(here == there, "here:\n{here}\nthere:\n{there}");
        let again = self.sync()?;
        ensure!(again.contains("0 changed here, 0 changed on there; 0 bytes"), "{again}");
        Ok(())
    }
}

#[test]
fn a_home_is_kept_the_same_on_two_machines() -> Result<()> {
    let two = Two::new()?;
    let answering = two.there.command("exec /usr/local/bin/answers").user("alice");
    let answering = answering.timeout(std::time::Duration::from_secs(600)).spawn()?;
    it_is_refused_in_words(&two)?;
    two.acts(
        "mkdir -p docs/deep && for n in $(seq 60); do head -c $((n * 700)) /dev/urandom >docs/$n; done
         truncate -s 3M docs/holes; echo end >>docs/holes; ln -s /etc/passwd docs/link; chmod 750 docs/deep; chmod 4711 docs/7",
        "mkdir -p docs mine; echo theirs >mine/theirs; echo other >docs/of-there",
    )?;
    let said = two.sync()?;
    ensure!(said.contains("changed here") && !said.contains("Not done"), "{said}");
    two.here.command("chmod 711 ~/docs/7").user("alice").check()?;
    two.are_the_same()?;
    // As the timer's service does it.
    let line = "sed -n 's/^ExecStart=//p' /usr/lib/systemd/user/homed-sync@.service | sed 's/%u/alice/; s/%I/there/'";
    let by_timer = two.homectl(&format!("BATCH=1 bash -c \"$({line})\""))?;
    ensure!(by_timer.status == 0 && by_timer.stdout.contains("0 changed here"), "{}", by_timer.stderr);
    let blocks = two.there.command("stat -c %b ~/docs/holes").user("alice").check()?;
    ensure!(blocks.trim().parse::<u64>()? < 1000, "holes stay holes: {blocks}");
    // Changed and gone on either side.
    two.acts(
        "echo more >>docs/1; rm docs/2; mv docs/3 docs/deep/three",
        "echo more >>docs/4; rm docs/5; rm -r mine; touch docs/6",
    )?;
    let said = two.sync()?;
    ensure!(said.contains("of them gone") && !said.contains("kept twice"), "{said}");
    two.are_the_same()?;
    two.there
        .command("cd; test ! -e docs/2 && test -e docs/deep/three && test ! -e mine")
        .user("alice")
        .check()?;
    both_have_changed(&two)?;
    the_line_breaks(&two)?;
    two.here.check("touch /mnt/stop")?;
    answering.wait()?;
    two.acts("exec true", "exec true")?;
    for machine in [&two.here, &two.there] {
        machine.done("deactivate alice", "", "")?;
        machine.nothing_open("alice")?;
    }
    Ok(())
}

fn it_is_refused_in_words(two: &Two) -> Result<()> {
    let said = two.here.refused("sync alice there", "", "")?;
    ensure!(said.contains("run it as alice") && said.contains("Nothing was changed"), "{said}");
    two.there.done("deactivate alice", "", "")?;
    let closed = two.homectl("homectl sync alice there")?;
    ensure!(closed.status != 0 && closed.stderr.contains("is not open on there"), "{}", closed.stderr);
    ensure!(closed.stderr.contains("Nothing is lost"), "{}", closed.stderr);
    two.there.done("activate alice", "correcthorse", "")?;
    for words in
        ["homectl sync alice --take=both", "homectl sync alice a b", "homectl sync alice --take=here /etc"]
    {
        let refused = two.homectl(words)?;
        ensure!(refused.status != 0 && !refused.stderr.is_empty(), "{words}: {}", refused.stderr);
    }
    Ok(())
}

/// Nothing is written over, both are listed, and the user chooses.
fn both_have_changed(two: &Two) -> Result<()> {
    two.acts(
        "mkdir a; echo of-here >a/x; echo of-here >docs/1",
        "mkdir a; echo of-there >a/x; echo of-there >docs/1",
    )?;
    let said = two.sync()?;
    ensure!(said.contains("kept twice") && said.contains("--take=here|there"), "{said}");
    two.are_the_same()?;
    for machine in [&two.here, &two.there] {
        let both = machine.command("cd; sort -u a/x* docs/1 docs/1.from-*").user("alice").check()?;
        ensure!(both == "of-here\nof-there\n", "{both}");
        let listed = machine.command("homectl sync alice").user("alice").check()?;
        ensure!(listed.contains("a/x.from-") && listed.contains("docs/1.from-"), "{listed}");
    }
    two.homectl("homectl sync alice --take=here a")?;
    two.there.command("homectl sync alice --take=here docs").user("alice").check()?;
    let said = two.sync()?;
    ensure!(!said.contains("kept twice"), "{said}");
    two.are_the_same()?;
    let left =
        two.here.command("cd; cat a/* docs/1; ls docs | grep -c from- || true").user("alice").check()?;
    ensure!(left == "of-here\nof-there\n0\n", "{left}");
    ensure!(two.homectl("homectl sync alice")?.stdout.contains("Nothing is kept twice"));
    Ok(())
}

/// Wherever it breaks, and whoever is killed: the next one does the rest.
fn the_line_breaks(two: &Two) -> Result<()> {
    let mut broken = 0;
    for round in 0..24 {
        two.acts(
            &format!(
                "head -c 90000 /dev/urandom >docs/here-{round}; date +%N >docs/1; rm -f docs/4{}",
                round % 10
            ),
            &format!(
                "head -c 90000 /dev/urandom >docs/there-{round}; mv docs/5{0} docs/moved-{0} || true",
                round % 10
            ),
        )?;
        let after =
            [20, 180, 400, 900, 3000, 40_000, 90_500, 95_000, 140_000, 181_000, 182_000, 182_600][round % 12];
        let how = if round < 12 { "CUT" } else { "KILL" };
        let ended = two.homectl(&format!("{how}={after} homectl sync alice there"))?;
        broken += u32::from(ended.status != 0);
        if ended.status != 0 && how == "CUT" {
            ensure!(ended.stderr.contains("Nothing is lost"), "{}", ended.stderr);
        }
    }
    ensure!(broken >= 16, "only {broken} were broken");
    let said = two.sync()?;
    ensure!(!said.contains("kept twice"), "{said}");
    two.are_the_same()?;
    let count =
        two.here.command("cd; ls docs/here-* docs/there-* | wc -l; ls -A .homed-sync/part .homed-sync/swap");
    let left = count.user("alice").check()?;
    ensure!(left == "48\n.homed-sync/part:\n\n.homed-sync/swap:\n", "{left}");
    Ok(())
}
