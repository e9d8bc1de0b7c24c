//! What the computed processor of the machine with a screen gets wrong, told from what we do.

use anyhow::Result;

/// How often something is begun with anew where the processor, and nothing else, has failed.
const TRIES: usize = 4;

/// Does it anew where the computed processor has failed; `act` starts a machine of its own each time.
pub fn past_processor_faults<T>(mut act: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tried = 1;
    loop {
        match act() {
            Err(error) if tried < TRIES && is_processors(&error) => {
                println!("machine: try {tried} of {TRIES}: a fault of qemu's: {error}");
            }
            done => return done,
        }
        tried += 1;
    }
}

/// It comes back from S3 with rubbish among its flags now and then, and the kernel dies of it. Those above bit 21 are
/// always 0 on a real one (Intel SDM, volume 1, 3.4.3).
fn is_processors(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    let flags = |rest: &str| u32::from_str_radix(rest.get(..8)?, 16).ok();
    text.split("EFLAGS: ").skip(1).filter_map(flags).any(|flags| flags >> 22 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{anyhow, bail, ensure};

    #[test]
    fn only_impossible_flags_are_the_processors_fault() {
        for (text, fault) in [
            ("RIP: 0010:x86_64\nRSP: 0018:ffff EFLAGS: 83fe0046\n", true),
            ("a panic EFLAGS: 00010246 and EFLAGS: 00400002", true),
            ("a panic of our own EFLAGS: 00010246", false),
            ("EFLAGS: 0", false),
            ("no answer from the machine in 120 s", false),
        ] {
            assert_eq!(is_processors(&anyhow!("{text}").context("waking")), fault, "{text}");
        }
    }

    #[test]
    fn other_errors_and_too_many_faults_are_told() -> Result<()> {
        let mut calls = 0;
        let other = past_processor_faults(|| -> Result<()> {
            calls += 1;
            bail!("EFLAGS: 00010246")
        });
        ensure!(other.is_err() && calls == 1);
        let mut calls = 0;
        let again = past_processor_faults(|| -> Result<()> {
            calls += 1;
            bail!("EFLAGS: ffffffff")
        });
        ensure!(again.is_err() && calls == TRIES);
        let mut calls = 0;
        let second = past_processor_faults(|| {
            calls += 1;
            if calls == 1 { Err(anyhow!("EFLAGS: ffffffff")) } else { Ok(calls) }
        });
        ensure!(second? == 2);
        Ok(())
    }
}
