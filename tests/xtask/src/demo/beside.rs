//! The same search of a sleeping machine's memory, with systemd-homed.

use anyhow::Result;
use homed_tests::secrets::{traces_of_key, volume_key};
use machine::{Image, Init, Machine};

use super::show::Show;
use super::{DIARY, LINE, PASSWORD};

/// What it leaves in memory; that it is found shows that it would be found with ours.
pub fn the_original(show: &mut Show) -> Result<()> {
    show.step("beside it: the lid is closed with systemd-homed, installed as Debian has it");
    let machine = Machine::builder().image(Image::Peer).init(Init::Full).start()?;
    machine.check(&format!(
        "NEWPASSWORD={PASSWORD} homectl create alice --disk-size=512M --enforce-password-policy=no"
    ))?;
    let console = machine.console();
    console.login("alice", PASSWORD)?;
    console.shell(DIARY)?;
    let key = volume_key(&machine, "alice", PASSWORD)?;
    machine.suspend()?;
    let traces = traces_of_key(&machine, &key)?.len();
    let lines = machine.count_in_ram(LINE.as_bytes())?;
    let words = format!("{traces} traces of the key, {lines} of the diary");
    show.holds("asleep, they are in memory", &words, traces > 0 && lines > 0)
}
