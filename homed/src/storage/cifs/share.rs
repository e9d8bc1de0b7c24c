//! The share that a home lies in, and how it is mounted: by the kernel, which gets the password in a call of its own. So that
//! stands in no argument, no environment and no file, and the table of mounts does not show it.

use crate::job::{Context, Failure, refuse};
use crate::storage::Spec;
use crate::storage::luks::mount_options::split;
use crate::sys::mount::{self, Attributes, Entry, NoShare, Setting};
use records::{Refusal, Secret};
use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;

/// What the kernel calls the file system.
const KIND: &str = "cifs";
/// Where a server answers, unless an option says another port. It matters to nobody who looks up a name alone.
const PORT: u16 = 445;
/// Options that say where the server is: the name is not looked up then.
const ADDRESSES: [&str; 2] = ["ip", "addr"];

/// A share, and the folder in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// `//host/share`.
    pub root: String,
    /// The folders from its top to the home's.
    pub folders: Vec<String>,
    host: String,
    /// What the record says to the file system beside (`cifsExtraMountOptions`).
    extra: Vec<Setting>,
}

/// How its files are shown, for they have no owner and no mode of their own.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// Whose they are.
    pub owner: u32,
    /// What holds for the mount.
    pub attributes: Attributes,
}

impl Share {
    /// As the record says it. What it says of the mount goes into the spec, where it counts as far as who has signed is
    /// believed ([`Spec::attributes`]).
    pub fn of(spec: &mut Spec) -> Result<Self, Failure> {
        let options = spec.values.cifs_extra_mount_options.clone().unwrap_or_default();
        let extra = split(&options, &mut spec.wished);
        let parts = |service: &str| {
            let mut parts = service.strip_prefix("//")?.split('/').map(str::to_owned);
            let (host, share) = (parts.next()?, parts.next()?);
            Some(Self { root: format!("//{host}/{share}"), folders: parts.collect(), host, extra })
        };
        match spec.values.cifs_service.as_deref().and_then(parts) {
            Some(share) => Ok(share),
            None => refuse(
                Refusal::InvalidArgs,
                "The record does not say in which share of a server the home lies. Nothing was changed: --cifs-service=//HOST/SHARE[/FOLDER]",
            ),
        }
    }

    /// Where the home is: `//host/share/folder`.
    pub fn place(&self) -> String {
        [std::slice::from_ref(&self.root), &self.folders].concat().join("/")
    }

    /// Whether a mount shows that place.
    pub fn is_shown_by(&self, mount: &Entry) -> bool {
        mount.kind == KIND && mount.source.as_os_str() == self.place().as_str()
    }

    /// Mounts a place in the share, which nobody else sees yet. `None`: the server does not take this password.
    pub fn mount(
        &self,
        (spec, place): (&Spec, &str),
        shown: Shown,
        password: &Secret,
    ) -> Result<Option<OwnedFd>, Failure> {
        // The kernel takes a text, and no server has a password with that in it.
        if password.open().contains(&0) || password.open_text().is_none() {
            return Ok(None);
        }
        let settings = self.settings(spec, shown.owner);
        let mut last = None;
        for address in self.addresses(&settings)? {
            let all: Vec<Setting> = address.into_iter().chain(settings.iter().cloned()).collect();
            match mount::open_share(KIND, place, &all, ("pass", password), shown.attributes) {
                Ok(mount) => return Ok(Some(mount)),
                Err(NoShare::Refused) => return Ok(None),
                Err(NoShare::Unknown) => {
                    return refuse(
                        Refusal::NotSupported,
                        "This kernel cannot mount shares of a server (its module cifs is missing). Nothing was changed.",
                    );
                }
                Err(NoShare::Failed(error)) => last = Some(error),
            }
        }
        let why = last.map(|error| error.to_string()).unwrap_or_default();
        refuse(
            Refusal::HomeAbsent,
            format!(
                "The home lies in {place}, which could not be mounted ({why}). Nothing was changed: is the server there?"
            ),
        )
    }

    /// What the kernel has to be told of where the server is, to be tried in turn.
    fn addresses(&self, settings: &[Setting]) -> Result<Vec<Option<Setting>>, Failure> {
        if settings.iter().any(|(name, value)| ADDRESSES.contains(&name.as_str()) && value.is_some()) {
            return Ok(vec![None]);
        }
        let host = self.host.trim_matches(['[', ']']);
        let found = match (host, PORT).to_socket_addrs() {
            Ok(found) => found,
            Err(error) => {
                return refuse(
                    Refusal::HomeAbsent,
                    format!(
                        "The home lies on the server {host}, whose address is not found ({error}). Nothing was changed: is the network \
                         there? --cifs-extra-mount-options=ip=ADDRESS says it."
                    ),
                );
            }
        };
        let mut addresses: Vec<String> = found.map(|found| found.ip().to_string()).collect();
        addresses.dedup();
        Ok(addresses.into_iter().map(|address| Some(("ip".to_owned(), Some(address)))).collect())
    }

    /// What the file system is told; of two that contradict the later one counts.
    fn settings(&self, spec: &Spec, owner: u32) -> Vec<Setting> {
        let value = |name: &str, value: String| (name.to_owned(), Some(value));
        let user = spec.values.cifs_user_name.as_deref().unwrap_or(&spec.user);
        let mut all = vec![value("username", user.to_owned())];
        all.extend(spec.values.cifs_domain.iter().map(|domain| value("domain", domain.clone())));
        all.push(value("file_mode", format!("0{:o}", spec.access_mode & 0o666)));
        all.push(value("dir_mode", format!("0{:o}", spec.access_mode)));
        all.extend(self.extra.iter().cloned());
        for (name, flag) in [("uid", "forceuid"), ("gid", "forcegid")] {
            all.extend([value(name, owner.to_string()), (flag.to_owned(), None)]);
        }
        all
    }
}

/// Opens the top of what was mounted.
pub fn top(mount: &OwnedFd) -> Result<OwnedFd, Failure> {
    crate::sys::durable::directory_at(mount, ".").during("opening the folder of the home")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mount::AccessTimes;
    use records::{HostName, Machine, MachineId, Record, Sections};

    fn spec(more: &str) -> Spec {
        let id = MachineId::parse(&"1".repeat(32)).expect("valid");
        let machine = Machine { id, host: HostName("here".into()) };
        let text = format!(r#"{{"userName":"alice","storage":"cifs",{more}}}"#);
        Spec::of(&Record::parse(&text, Sections::HOST).expect("valid"), &machine).expect("it has a place")
    }

    #[test]
    fn a_share_and_the_folder_in_it_are_told_apart() {
        let share = Share::of(&mut spec(r#""cifsService":"//box/homes/a/b""#)).expect("a share");
        assert_eq!((share.root.as_str(), share.folders.join("/").as_str()), ("//box/homes", "a/b"));
        assert_eq!(share.place(), "//box/homes/a/b");
        let share = Share::of(&mut spec(r#""cifsService":"//192.0.2.7/homes""#)).expect("a share");
        assert_eq!(share.place(), "//192.0.2.7/homes");
        let addresses = share.addresses(&[]).expect("no name to look up");
        assert_eq!(addresses, [Some(("ip".to_owned(), Some("192.0.2.7".to_owned())))]);
    }

    #[test]
    fn the_record_says_what_the_server_and_the_kernel_are_told() {
        let mut spec = spec(
            r#""cifsService":"//box/homes","cifsUserName":"al","cifsDomain":"WORK","accessMode":493,
               "cifsExtraMountOptions":"vers=3.0,uid=0,ip=192.0.2.9,noatime,suid,dev,noexec""#,
        );
        let share = Share::of(&mut spec).expect("a share");
        let all = share.settings(&spec, 60007);
        // What is for the mount counts as far as the signer is believed.
        let shown = spec.attributes(None);
        assert!(shown.no_suid && shown.no_devices && shown.no_execute, "{shown:?}");
        assert_eq!(shown.access_times, AccessTimes::Never);
        let text = |(name, value): &Setting| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        let told = all.iter().map(text).collect::<Vec<_>>().join(" ");
        assert_eq!(
            told,
            "username=al domain=WORK file_mode=0644 dir_mode=0755 vers=3.0 uid=0 ip=192.0.2.9 uid=60007 forceuid gid=60007 forcegid"
        );
        assert_eq!(share.addresses(&all).expect("told"), [None]);
    }
}
