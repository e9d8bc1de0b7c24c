//! The test machine itself: what every scenario rests on.

use anyhow::Result;
use machine::Machine;

#[test]
fn a_small_machine_runs_commands() -> Result<()> {
    let machine = Machine::builder()
        .machine_id("00112233445566778899aabbccddeeff")
        .start()?;
    let output = machine
        .command("cat; echo noise >&2; exit 3")
        .stdin("from the host\n")
        .run()?;
    assert_eq!(
        (
            output.status,
            output.stdout.as_str(),
            output.stderr.as_str()
        ),
        (3, "from the host\n", "noise\n")
    );
    assert_eq!(
        machine.check("cat /etc/machine-id")?.trim(),
        "00112233445566778899aabbccddeeff"
    );
    assert_eq!(
        machine.command("id -un").user("nobody").check()?.trim(),
        "nobody"
    );
    Ok(())
}

#[test]
fn what_was_synced_survives_a_power_cut() -> Result<()> {
    let machine = Machine::builder().start()?;
    machine.write_file("/root/kept", "kept")?;
    machine.check("sync /root/kept /root")?;
    machine.check("echo gone > /run/gone")?;
    let machine = machine.power_cut()?.start()?;
    assert_eq!(machine.read_file("/root/kept")?, b"kept");
    assert_eq!(machine.run("cat /run/gone")?.status, 1);
    Ok(())
}
