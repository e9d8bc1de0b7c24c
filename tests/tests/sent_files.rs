//! Files that strangers send along with a message, whose close waits for ever: nobody waits for them.

use anyhow::{Result, ensure};
use homed_tests::Ours;

/// A file system whose server tells the bus at once that a file was closed, and nobody else ever.
const FILE_SYSTEM: &str = r#"
use strict;
open(my $server, "+<", "/dev/fuse") or die "open: $!";
my $options = "fd=" . fileno($server) . ",rootmode=40755,user_id=65534,group_id=65534,allow_other";
my ($source, $target, $kind) = ("slow", "/run/slow", "fuse");
syscall(165, $source, $target, $kind, 6, $options) == 0 or die "mount: $!";
sub attributes {
    my ($node) = @_;
    my $mode = $node == 1 ? 040755 : 0100644;
    return pack("Q6L10", $node, 4, 0, 0, 0, 0, 0, 0, 0, $mode, 1, 0, 0, 0, 4096, 0);
}
while (sysread($server, my $request, 200000)) {
    my ($length, $code, $id, $node, $uid, $gid, $thread) = unpack("LLQQLLL", $request);
    my ($error, $answer) = (0, "");
    if ($code == 26) { $answer = pack("L6", 7, 22, 0, 0, 0, 4096); }
    elsif ($code == 1) { $answer = pack("Q4LL", 2, 0, 1000, 1000, 0, 0) . attributes(2); }
    elsif ($code == 3) { $answer = pack("QLL", 1000, 0, 0) . attributes($node); }
    elsif ($code == 14) { $answer = pack("QLL", 0, 0, 0); }
    elsif ($code == 15) { $answer = "abcd"; }
    elsif ($code == 25) {
        open(my $name, "<", "/proc/$thread/comm"); my $who = <$name>; chomp $who;
        open(my $log, ">>", "/run/closed"); print $log "$who\n"; close $log;
        next unless $who =~ /^(dbus|perl)/;
    }
    elsif ($code == 2 || $code == 42 || $code == 36) { next; }
    elsif ($code == 18) { }
    else { $error = -38; }
    syswrite($server, pack("LlQ", 16 + length $answer, $error, $id) . $answer);
}
"#;

/// `sender bus|SOCKET file|linger|oob|many`: sends one along, or hundreds, and waits until it is told to end.
const SENDER: &str = r#"
use strict; use Socket; use Fcntl;
my ($where, $what) = @ARGV;
my @far;
sub lingering {
    socket(my $listener, PF_INET, SOCK_STREAM, 0); setsockopt($listener, SOL_SOCKET, SO_RCVBUF, 4096);
    listen($listener, 1) or die; my $at = getsockname($listener);
    socket(my $file, PF_INET, SOCK_STREAM, 0); setsockopt($file, SOL_SOCKET, SO_SNDBUF, 4096);
    connect($file, $at) or die "connect: $!"; accept(my $far, $listener) or die; push @far, $far;
    setsockopt($file, SOL_SOCKET, SO_LINGER, pack("ll", 1, 30000)) or die;
    fcntl($file, F_SETFL, O_NONBLOCK);
    1 while syswrite($file, "x" x 65536);
    return $file;
}
socket(my $socket, PF_UNIX, SOCK_STREAM, 0);
connect($socket, sockaddr_un($where eq "bus" ? "/run/dbus/system_bus_socket" : $where)) or die "connect: $!";
sub said { sysread($socket, my $said, 65536) or die "closed"; return $said; }
sub message {
    my ($kind, $serial, %fields) = @_;
    my $all = "";
    for my $code (sort keys %fields) {
        my ($type, $value) = @{$fields{$code}};
        $all .= "\0" while length($all) % 8;
        $all .= pack("CCa1C", $code, 1, $type, 0);
        $all .= $type eq "u" ? pack("L", $value) : pack("La*x", length $value, $value);
    }
    my $whole = pack("a1CCCLLL", "l", $kind, 0, 1, 0, $serial, length $all) . $all;
    $whole .= "\0" while length($whole) % 8;
    return $whole;
}
sub put {
    my ($bytes, $flags, @files) = @_;
    my $numbers = pack("l*", map { fileno $_ } @files);
    my $vector = pack("PQ", $bytes, length $bytes);
    my $control = pack("Qll", 16 + length $numbers, 1, 1) . $numbers . ("\0" x (length($numbers) % 8));
    my $header = pack("QQPQPQQ", 0, 0, $vector, 1, $control, length $control, 0);
    syscall(46, fileno $socket, $header, $flags) == length $bytes or die "sendmsg: $!";
}
if ($where eq "bus") {
    syswrite($socket, "\0AUTH EXTERNAL " . unpack("H*", $<) . "\r\n"); said();
    syswrite($socket, "NEGOTIATE_UNIX_FD\r\n"); said();
    my $bus = "org.freedesktop.DBus";
    syswrite($socket, "BEGIN\r\n" . message(1, 1, 1 => ["o", "/org/freedesktop/DBus"], 2 => ["s", $bus],
        3 => ["s", "Hello"], 6 => ["s", $bus])); said();
}
my ($path, $home) = ("/org/freedesktop/home1", "org.freedesktop.home1");
if ($what eq "file") {
    open(my $file, "<", "/run/slow/picture") or die "open: $!";
    put(message(1, 2, 1 => ["o", $path], 2 => ["s", "org.freedesktop.DBus.Peer"], 3 => ["s", "Ping"], 6 => ["s", $home],
        9 => ["u", 1]), 0, $file);
} elsif ($what eq "many") {
    for my $number (1 .. 28) {
        my @files = map { lingering() } 1 .. 16;
        put(message(1, 1 + $number, 1 => ["o", $path], 2 => ["s", "org.freedesktop.DBus.Peer"], 3 => ["s", "Ping"],
            6 => ["s", $home], 9 => ["u", 16]), 0, @files);
    }
} elsif ($what eq "oob") {
    put("o", 1, lingering());
    syswrite($socket, "x");
} else {
    put("{}\0\n", 0, lingering());
}
print "sent\n"; close STDOUT;
sleep 100000;
"#;

/// Everybody is served, and in no more than this.
const SERVED: &str = r#"
timeout 20 getent passwd alice >/dev/null || { echo "the user database is silent"; exit 1; }
timeout 20 homectl list | grep -q alice || { echo "the bus is silent"; exit 1; }
NEWPASSWORD=x PASSWORD=correcthorse timeout 60 homectl with alice -- true || { echo "no login"; exit 1; }"#;

fn send(machine: &Ours, to: &str, what: &str) -> Result<()> {
    machine.check(&format!(
        "rm -f /run/said; setsid runuser -u nobody -- perl /run/sender {to} {what} </dev/null >/run/said 2>&1 &
        until grep . /run/said; do kill -0 $! || {{ echo ended; exit 1; }}; sleep 0.05; done
        grep -q sent /run/said || {{ cat /run/said; exit 1; }}"
    ))?;
    Ok(())
}

#[test]
fn a_file_whose_close_waits_for_ever_stops_nobody() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.write_file("/run/server", FILE_SYSTEM)?;
    machine.write_file("/run/sender", SENDER)?;
    machine.check(
        "modprobe fuse; mkdir -p /run/slow; ip link set lo up
        setsid perl /run/server </dev/null >/run/server.log 2>&1 &
        until grep -q /run/slow /proc/self/mounts; do kill -0 $! || { cat /run/server.log; exit 1; }; sleep 0.05; done",
    )?;
    // More than the four that a stranger has places for: of the others one is waited for.
    for _ in 0..6 {
        send(&machine, "bus", "file")?;
        machine.check(SERVED)?;
    }
    machine.check("until [ $(grep -v -c -E '^(dbus|perl)' /run/closed) -ge 5 ]; do sleep 0.05; done")?;
    for socket in ["/run/systemd/userdb/io.systemd.Home", "/run/homed/handoff"] {
        // They are still unread when their sender has closed them: whoever closes one last waits for it.
        machine.check("systemctl kill --kill-whom=main -s STOP homed")?;
        for what in ["linger", "oob", "linger"] {
            send(&machine, socket, what)?;
        }
        machine.check("systemctl kill --kill-whom=main -s CONT homed")?;
        machine.check(SERVED)?;
    }
    // Hundreds, of somebody who has no place any more, take two threads.
    machine.check("systemctl kill --kill-whom=main -s STOP homed")?;
    send(&machine, "bus", "many")?;
    machine.check("systemctl kill --kill-whom=main -s CONT homed")?;
    machine.check(SERVED)?;
    let threads = machine.check("ls /proc/$(systemctl show -P MainPID homed)/task | wc -l")?;
    ensure!(threads.trim().parse::<u32>()? < 60, "{threads}");
    // Somebody who behaves has a picture, by whatever file.
    machine.check(
        "echo picture >/run/picture; PASSWORD=correcthorse homectl update alice --avatar=/run/picture",
    )?;
    let picture = machine.check("cat /var/cache/systemd/home/alice/avatar")?;
    ensure!(picture == "picture\n", "{picture}");
    // And whoever is started next finds its name free, though threads of the one before wait for ever.
    let closed = machine.check("sort /run/closed | uniq -c")?;
    println!("{closed}");
    machine.check(&format!("timeout 60 systemctl restart homed; {SERVED}"))?;
    Ok(())
}
