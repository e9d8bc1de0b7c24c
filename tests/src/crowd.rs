//! What a crowd does, as perl scripts: perl is on every machine, and one process of it makes more noise than a thousand
//! small programs.

/// Calls a method, so many times, without waiting for answers. Arguments: count, service, object, interface, method, and a
/// string to give with it, `@FILE` for what is in a file. Ends when the bus has taken all of them in; with `hold` as a
/// last argument it stays connected, with all answers open, until it is killed.
pub const CALLS: &str = r#"
use IO::Socket::UNIX; $| = 1; my ($count, @words) = @ARGV;
my $given = @words > 4 ? $words[4] : undef; my $hold = ($words[5] // "") eq "hold";
if (defined $given && $given =~ /^\@(.*)/) { local $/; open my $f, "<", $1 or die; $given = <$f>; }
my $s = IO::Socket::UNIX->new(Peer => "/run/dbus/system_bus_socket") or die; $s->autoflush(1);
print $s "\0AUTH EXTERNAL " . unpack("H*", $>) . "\r\n"; <$s> =~ /^OK/ or die; print $s "BEGIN\r\n";
my $serial = 0;
sub text { my ($code, $kind, $t) = @_; my $f = pack("CC", $code, 1) . $kind . "\0" . pack("V", length $t) . $t . "\0"; }
sub message { my ($flags, $body, @w) = @_; my $h = "";
  for ([1, "o", $w[1]], [6, "s", $w[0]], [2, "s", $w[2]], [3, "s", $w[3]]) { $h .= "\0" x (-length($h) % 8); $h .= text(@$_); }
  if (defined $body) { $h .= "\0" x (-length($h) % 8) . "\x08\x01g\0\x01s\0"; $body = pack("V", length $body) . "$body\0"; }
  my $m = "l" . pack("CCC", 1, $flags, 1) . pack("VVV", length($body // ""), ++$serial, length $h) . $h;
  $m . "\0" x (-length($m) % 8) . ($body // ""); }
print $s message(0, undef, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"); sysread $s, my $b, 65536;
for (1..$count) { print $s message($hold ? 0 : 1, $given, @words[0..3]) or die "cut off"; }
print $s message(0, undef, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId");
while (sysread $s, $b, 65536) { last if $b =~ /[0-9a-f]{32}/ } print "sent $count\n"; sleep 1 while $hold;
"#;

/// Runs a program as each of so many UIDs at once, with no groups, and waits for all. Arguments: first UID, count, program.
pub const EACH: &str = r#"
use POSIX (); my ($first, $count, @words) = @ARGV; my @all;
for my $uid ($first .. $first + $count - 1) { my $pid = fork // die; push(@all, $pid), next if $pid;
  $) = "65534 65534"; POSIX::setgid(65534) and POSIX::setuid($uid) or die; exec @words or die; }
$SIG{TERM} = sub { kill 9, @all; exit }; waitpid $_, 0 for @all; print "each of $count has ended\n";
"#;

/// Opens connections to a socket, says so much on each, says how many are open, and keeps them until it is killed.
/// Arguments: path, count, text.
pub const CONNECTIONS: &str = r#"
use IO::Socket::UNIX; my ($path, $count, $text) = @ARGV; $SIG{PIPE} = "IGNORE"; $| = 1; my @all;
for (1..$count) { my $s = IO::Socket::UNIX->new(Peer => $path) or print("$_: $!\n"), last; syswrite $s, $text if length $text; push @all, $s; }
print "open " . @all . "\n"; sleep 1 while 1;
"#;

/// Asks the user database again and again over one connection, for a name, a UID and all in turn, as fast as it answers.
/// Arguments: count of questions, name, UID. Says how many answers were none.
pub const QUESTIONS: &str = r#"
use IO::Socket::UNIX; my ($count, $name, $uid) = @ARGV; $| = 1;
my $s = IO::Socket::UNIX->new(Peer => "/run/systemd/userdb/io.systemd.Home") or die; my ($bad, $buf) = (0, "");
for my $i (1..$count) {
  my $which = ("\"userName\":\"$name\",", "\"uid\":$uid,", "")[$i % 3];
  my $call = "{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\"more\":true,\"parameters\":{$which\"service\":\"io.systemd.Home\"}}\0";
  syswrite $s, $call or die "cut off at $i: $!"; my $more = 1;
  while ($more) { my $reply;
    until (defined $reply) { if ($buf =~ s/^([^\0]*)\0//) { $reply = $1 } else { sysread($s, $buf, 65536, length $buf) or die "closed at $i" } }
    $bad++ if $reply =~ /"error"/; $more = $reply =~ /"continues":true/; }
}
print "asked $count bad $bad\n";
"#;

/// Writes the scripts to where anybody can run them, as `/run/crowd/calls.pl` and so on.
pub fn install(machine: &machine::Machine) -> anyhow::Result<()> {
    machine.check("mkdir -p /run/crowd")?;
    let all = [("calls", CALLS), ("connections", CONNECTIONS), ("each", EACH), ("questions", QUESTIONS)];
    for (name, script) in all {
        machine.write_file(&format!("/run/crowd/{name}.pl"), script)?;
    }
    machine.check("chmod -R a+rX /run/crowd").map(drop)
}
