//! Snapshots of a home in an encrypted image: its btrfs is mounted a second time, for this process alone.
//!
//! That mount is of the file system as it is open: it needs no key, and goes with the process. A lock and a close do not wait
//! for it, for this work makes way for them.

use super::mounted_home;
use crate::job::{Context, Failure, Snapshots, Steps, refuse};
use crate::storage::luks::spec::Spec;
use crate::storage::parts::tree::PrivateMount;
use crate::storage::snapshots::{self, Ground, Schedule};
use crate::sys::{durable, filesystem, snapshot};
use records::Refusal;
use serde_json::Value;

/// Does what somebody wants.
pub fn serve(spec: &Spec, wish: &Snapshots, now: u64, steps: &mut dyn Steps) -> Result<Value, Failure> {
    on_ground(spec, now, |ground| snapshots::serve(ground, wish, steps))
}

/// Follows the schedule, if there is one, and puts in order what was cut short.
pub fn tend(spec: &Spec, now: u64, steps: &mut dyn Steps) -> Result<(), Failure> {
    let Some(home) = mounted_home(spec)? else { return Ok(()) };
    let directory = home.open().during("opening the home directory")?;
    let is_btrfs = filesystem::look(&directory).during("looking at the file system")?.kind
        == Some(filesystem::Kind::Btrfs);
    if filesystem::is_read_only(&directory).during("looking at the file system")? {
        return Ok(());
    }
    // One is the home itself.
    let has_any = is_btrfs && snapshot::count(&directory).during("counting snapshots")? > 1;
    if !is_btrfs || (Schedule::of(&spec.values).is_off() && !has_any) {
        return Ok(());
    }
    on_ground(spec, now, |ground| snapshots::tend(ground, steps))
}

/// What there is beside the home in its file system, for who is told that it does not shrink.
pub fn count(directory: &std::os::fd::OwnedFd) -> usize {
    snapshot::count(directory).map_or(0, |all| all.saturating_sub(1))
}

fn on_ground<T>(
    spec: &Spec,
    now: u64,
    work: impl FnOnce(Ground<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(home) = mounted_home(spec)? else {
        return refuse(Refusal::HomeNotActive, "The home is not mounted from its encrypted device.");
    };
    let shown = home.open().during("opening the home directory")?;
    if filesystem::look(&shown).during("looking at the file system")?.kind != Some(filesystem::Kind::Btrfs) {
        return refuse(
            Refusal::NotSupported,
            "The file system inside of this home has no snapshots: only btrfs has. Nothing was changed.",
        );
    }
    let mount = PrivateMount::again(&home, &shown)?;
    let top = mount.top().during("opening the file system")?;
    durable::directory_at(&top, &spec.name).during("looking for the home in its file system")?;
    let home_directory = spec.home_directory.to_string_lossy();
    let schedule = Schedule::of(&spec.values);
    // All that is opened of it is let go before the mount is.
    work(Ground { top, name: &spec.name, shown, home_directory: &home_directory, now, schedule })
}
