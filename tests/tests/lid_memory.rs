//! Memory around a lock: what was freed before it is written over; where it fails, an unlock can be tried again.

use anyhow::{Result, ensure};
use homed_tests::secrets::pages_with;
use homed_tests::{Ours, frames};

/// Not in one piece in what is run in the machine.
const MARK: &str = "freed-5c1a77e09b";

/// Pages that may be left, in what the kernel keeps free for those who cannot wait. Seen was none.
const MOST_LEFT: usize = 64;

/// Has nearly all free memory hold a text, and gives it back.
const FREED: &str = r#"
perl -e '
    open my $info, "<", "/proc/meminfo" or die;
    my ($free) = map { /^MemFree:\s+(\d+)/ ? $1 : () } <$info>;
    my $line = join("", "freed-5c1a77", "e09b") . " " x 48;
    my $all = "";
    vec($all, ($free - 12 * 1024) * 1024, 8) = 0;
    substr($all, $_ * 4096, length $line) = $line for 0 .. length($all) / 4096 - 1;
    print length($all) >> 20, " MiB
";
'
"#;

#[test]
fn what_was_freed_long_before_a_lock_is_written_over() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    let filled = machine.check(FREED)?;
    let before = pages_with(&machine, MARK)?;
    ensure!(before > 10_000, "{before} pages hold it, of {filled}");
    machine.done("lock alice", "", "")?;
    let left = machine.find_in_ram(MARK.as_bytes())?;
    println!("{before} pages before, {} left", left.len());
    ensure!(left.len() <= MOST_LEFT, "{} of {before}\n{}", left.len(), frames::explain(&machine, &left)?);
    Ok(())
}

#[test]
fn too_little_memory_to_unlock_leaves_it_locked() -> Result<()> {
    let machine = Ours::full()?;
    let dear = "--disk-size=256M --luks-pbkdf-type=argon2id --luks-pbkdf-memory-cost=192M --luks-pbkdf-force-iterations=4 \
                --enforce-password-policy=no --rate-limit-burst=1000";
    machine.done(&format!("create alice {dear}"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("lock alice", "", "")?;
    machine.check("systemctl set-property --runtime homed.service MemoryMax=64M MemorySwapMax=0")?;
    for _ in 0..2 {
        machine.refused("unlock alice", "correcthorse", "")?;
        // What was broken off is settled first.
        machine
            .check("until homectl list -j | jq -e 'any(.[]; .state == \"locked\")'; do sleep 0.1; done")?;
        ensure!(machine.run("ls /home/alice/.bashrc")?.status != 0, "somebody comes in");
    }
    machine.check("systemctl set-property --runtime homed.service MemoryMax=infinity")?;
    machine.done("unlock alice", "correcthorse", "")?;
    machine.check("ls /home/alice/.bashrc")?;
    Ok(())
}
