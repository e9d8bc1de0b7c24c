#!/usr/bin/perl
# A session that draws and reads keys by itself: by_itself.pl KEYBOARD LOG [keep]
# Draws all of the screen green, again and again, and logs the number of each key that goes down. With "keep" it has the
# virtual terminal as well, and never agrees to leave it.
use strict;
use warnings;
use Fcntl;

my ($keyboard, $log, $keep) = @ARGV;
# linux/vt.h, linux/kd.h: VT_SETMODE to VT_PROCESS, KDSETMODE to KD_GRAPHICS.
if ($keep) {
    $SIG{USR1} = 'IGNORE';
    open(my $tty, '+<', '/dev/tty') or die "tty: $!";
    my ($owned, $free) = (pack('c c s s s', 1, 0, 10, 10, 0), pack('c c s s s', 0, 0, 0, 0, 0));
    ioctl($tty, 0x5602, $owned) or die "VT_SETMODE: $!";
    ioctl($tty, 0x4B3A, 1) or die "KDSETMODE: $!";
    # Ended, it leaves the terminal as it was.
    $SIG{TERM} = sub { ioctl($tty, 0x4B3A, 0); ioctl($tty, 0x5602, $free); exit };
}
open(my $keys, '<', $keyboard) or die "$keyboard: $!";
fcntl($keys, F_SETFL, O_NONBLOCK) or die "$!";
open(my $out, '>>', $log) or die "$log: $!";
$out->autoflush(1) if require IO::Handle;

# drm/drm_mode.h. The first screen, as the kernel has it now, with another picture.
open(my $card, '+<', '/dev/dri/card0') or die "card: $!";
sub call { my ($number, $struct) = @_; ioctl($card, $number, $_[1]) or die sprintf('%x: %s', $number, $!); }
my ($crtcs, $connectors) = ("\0" x 64, "\0" x 64);
my $resources = pack('Q4 L8', 0, unpack('J2', pack('p2', $crtcs, $connectors)), 0, 0, 16, 16, 0, 0, 0, 0, 0);
call(0xC04064A0, $resources);
my ($crtc, $connector) = (unpack('L', $crtcs), unpack('L', $connectors));
my $mode = pack('Q L7', 0, 0, $crtc, 0, 0, 0, 0, 0) . "\0" x 68;
call(0xC06864A1, $mode);
my $timing = substr($mode, 36);
my ($width, $height) = (unpack('L S4 S S4', $timing))[1, 6];
my $buffer = pack('L6 Q', $height, $width, 32, 0, 0, 0, 0);
call(0xC02064B2, $buffer);
my ($handle, $pitch, $size) = (unpack('L6 Q', $buffer))[4, 5, 6];
my $frame = pack('L7', 0, $width, $height, $pitch, 32, 24, $handle);
call(0xC01C64AE, $frame);
my $place = pack('L2 Q', $handle, 0, 0);
call(0xC01064B3, $place);
# mmap(2), and read(2) into it: a file full of green.
my $memory = syscall(9, 0, $size, 3, 1, fileno($card), unpack('x8 Q', $place));
open(my $green, '+>', undef) or die "$!";
syswrite($green, "\0\xff\0\0" x ($size / 4));
seek($green, 0, 0);
syscall(0, fileno($green), $memory, $size) == $size or die "read: $!";

my $list = pack('L', $connector);
while (1) {
    my $shown = pack('Q L7', unpack('J', pack('p', $list)), 1, $crtc, unpack('L', $frame), 0, 0, 0, 1) . $timing;
    # Where somebody else draws it waits for its turn.
    ioctl($card, 0xC06864A2, $shown);
    while (sysread($keys, my $event, 24)) {
        my ($type, $code, $value) = unpack('x16 S S l', $event);
        print $out "$code\n" if $type == 1 && $value == 1;
    }
    select(undef, undef, undef, 0.1);
}
