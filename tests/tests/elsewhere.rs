//! `homectl --host=` and `--machine=`: the same words, run there.

use anyhow::{Result, ensure};
use homed_tests::Ours;

#[test]
fn the_same_is_done_over_ssh_and_in_a_container() -> Result<()> {
    let machine = Ours::full()?;
    machine.create("alice", "correcthorse")?;
    machine.check(
        "mkdir -p -m 700 /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
         cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys; echo 'StrictHostKeyChecking no' > /root/.ssh/config",
    )?;
    // The machine itself, reached as a container is.
    for place in ["-H root@localhost", "--host=root@localhost", "-M .host", "--machine .host"] {
        let here = machine.done("list -j", "", "")?;
        ensure!(machine.done(&format!("{place} list -j"), "", "")? == here, "{place}");
        let unknown = machine.homectl(&format!("inspect {place} nosuch"), "", "")?;
        ensure!(unknown.status == 1 && unknown.stderr.contains("nosuch"), "{place}: {unknown:?}");
        // What a shell would take apart arrives whole.
        machine.done(
            &format!("{place} update alice --offline '--real-name=Al \"$HOME\" ${{HOME}}; ls'"),
            "",
            "",
        )?;
        let said = machine.check("getent passwd alice | cut -d: -f5")?;
        ensure!(said.trim() == "Al \"$HOME\" ${HOME}; ls", "{place}: {said}");
        machine.done("update alice --offline --real-name=Alice", "", "")?;
    }
    let nowhere = machine.homectl("-H root@localhost.invalid list", "", "")?;
    ensure!(nowhere.status != 0 && !nowhere.stderr.is_empty(), "{nowhere:?}");
    Ok(())
}
