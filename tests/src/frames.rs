//! What a page of a machine's memory is: its kind, as the kernel tells it, and who has it mapped.

use anyhow::Result;
use machine::Machine;

/// Most pages that are looked at.
const MOST: usize = 64;

/// Reads /proc/kpageflags (proc(5), linux/kernel-page-flags.h) for each page, and /proc/*/pagemap for all of them.
const LOOK: &str = r#"
use strict;
my %wanted = map { $_ => 1 } @ARGV;
my @names = qw(locked error referenced uptodate dirty lru active slab writeback reclaim free mmap anon swapcache
    swapbacked head tail huge unevictable hwpoison nopage ksm thp offline zero idle pgtable);
my (%owner, $buffer);
for my $folder (glob "/proc/[0-9]*") {
    open my $maps, "<", "$folder/maps" or next;
    open my $pagemap, "<", "$folder/pagemap" or next;
    binmode $pagemap;
    my $name = do { open my $comm, "<", "$folder/comm" or next; <$comm> };
    chomp $name;
    while (my $line = <$maps>) {
        my ($from, $to, $what) = $line =~ /^(\w+)-(\w+) \S+ \S+ \S+ \S+\s*(.*)$/ or next;
        ($from, $to) = (hex($from) / 4096, hex($to) / 4096);
        next if $to - $from > 1 << 20;
        sysseek $pagemap, $from * 8, 0 or next;
        sysread $pagemap, $buffer, ($to - $from) * 8 or next;
        for my $entry (unpack "Q*", $buffer) {
            my $frame = $entry & ((1 << 55) - 1);
            next unless $entry >> 63 && $wanted{$frame};
            $owner{$frame} .= " $name($folder $what)";
        }
    }
}
open my $flags, "<", "/proc/kpageflags" or die;
for my $frame (@ARGV) {
    sysseek $flags, $frame * 8, 0;
    sysread $flags, $buffer, 8;
    my $bits = unpack "Q", $buffer;
    print "page $frame:", (map { $bits >> $_ & 1 ? " $names[$_]" : () } 0 .. $#names), $owner{$frame} // "", "\n";
}
"#;

/// A line for each of these places in memory (as [`Machine::find_in_ram`] gives them): the page, its kind, its owners.
/// The machine is awake; what has moved since is told as it is now.
pub fn explain(machine: &Machine, places: &[u64]) -> Result<String> {
    let mut pages: Vec<u64> = places.iter().map(|place| place / 4096).collect();
    pages.dedup();
    if pages.is_empty() {
        return Ok(String::new());
    }
    machine.write_file("/run/look", LOOK)?;
    let words: Vec<_> = pages.iter().take(MOST).map(u64::to_string).collect();
    machine.check(&format!("perl /run/look {}", words.join(" ")))
}
