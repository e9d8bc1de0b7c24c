//! Unlocking while memory fails: it stays locked, and can be tried again.

use anyhow::{Result, ensure};
use homed_tests::Ours;

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
