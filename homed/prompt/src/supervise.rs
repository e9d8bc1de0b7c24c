//! One dialog on each terminal that needs one, as long as somebody is locked.

use crate::vt::Vt;
use crate::{Ended, locked, sessions};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

/// A dialog that runs.
struct Dialog {
    child: Child,
    handle: OwnedFd,
    users: Vec<String>,
}

/// Device, and the users that are asked for there (none: all).
type Wanted = BTreeMap<String, Vec<String>>;

/// Runs until nobody is locked.
pub fn run() -> Ended<()> {
    let watch = locked::watch()?;
    let vt = Vt::take().ok();
    if let Some(vt) = &vt {
        vt.show()?;
    }
    let mut dialogs: BTreeMap<String, Dialog> = BTreeMap::new();
    let mut given_up: BTreeSet<String> = BTreeSet::new();
    loop {
        locked::forget_changes(&watch);
        let waiting = locked::users();
        let mut wanted = if waiting.is_empty() { Wanted::new() } else { wanted(vt.as_ref(), &waiting) };
        wanted.retain(|device, _| !given_up.contains(device));
        for (device, users) in &wanted {
            if !dialogs.contains_key(device) {
                dialogs.insert(device.clone(), begin(device, users)?);
            }
        }
        // Each ends by itself when its users are unlocked.
        if dialogs.is_empty() {
            return Ok(());
        }
        wait(&watch, &dialogs)?;
        // A dialog that ended while its users are locked has lost its terminal.
        for device in ended(&mut dialogs)? {
            if let Some(dialog) = dialogs.remove(&device)
                && locked::users().iter().any(|user| dialog.users.is_empty() || dialog.users.contains(user))
            {
                given_up.insert(device);
            }
        }
    }
}

fn wanted(vt: Option<&Vt>, waiting: &[String]) -> Wanted {
    let mut wanted = Wanted::new();
    if let Some(vt) = vt {
        wanted.insert(vt.device().display().to_string(), Vec::new());
    }
    for session in sessions::all().into_iter().filter(|session| waiting.contains(&session.user)) {
        // Virtual terminals are behind ours; a pseudo-terminal has nobody in front of it.
        let direct =
            !session.has_seat && !session.terminal.is_empty() && !session.terminal.starts_with("pts/");
        if direct {
            wanted.entry(format!("/dev/{}", session.terminal)).or_default().push(session.user);
        }
    }
    wanted
}

fn begin(device: &str, users: &[String]) -> Ended<Dialog> {
    let child = Command::new(std::env::current_exe()?).arg("on").arg(device).args(users).spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(Dialog { child, handle, users: users.to_vec() })
}

fn wait(watch: &OwnedFd, dialogs: &BTreeMap<String, Dialog>) -> io::Result<()> {
    let handles = dialogs.values().map(|dialog| &dialog.handle);
    let mut fds: Vec<PollFd<'_>> =
        std::iter::once(watch).chain(handles).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn ended(dialogs: &mut BTreeMap<String, Dialog>) -> io::Result<Vec<String>> {
    let mut ended = Vec::new();
    for (device, dialog) in dialogs {
        if dialog.child.try_wait()?.is_some() {
            ended.push(device.clone());
        }
    }
    Ok(ended)
}
