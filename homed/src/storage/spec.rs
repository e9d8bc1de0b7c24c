//! What a backend of any kind has to know of a record: where the storage is and how it is made. What one kind has
//! beside that, it reads from [`Spec::values`] itself.

use super::parts::size::Wish;
use super::whereabouts::{self, Clues, Standing, Walk};
use crate::job::{Context, Failure, refuse};
use crate::sys::mount::Attributes;
use records::signature::Vouched;
use records::{Machine, Record, Refusal, Settings, Storage};
use std::path::PathBuf;

/// The values of one home that are in force on one machine.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `user` or `user@realm`: labels and the directory inside.
    pub name: String,
    /// User name alone.
    pub user: String,
    /// `storage`.
    pub storage: Storage,
    /// Where the storage is; `//host/share/folder` on a server.
    pub image: PathBuf,
    /// Where the home is mounted.
    pub home_directory: PathBuf,
    /// `diskSize`, `diskSizeRelative`.
    pub size: Wish,
    /// Mount attributes as the record wishes them.
    pub(super) wished: Attributes,
    /// `skeletonDirectory`.
    pub skeleton: PathBuf,
    /// `accessMode`.
    pub access_mode: u32,
    /// The machine that this is.
    pub machine: Machine,
    /// All values, for what only one kind has.
    pub values: Settings,
}

impl Spec {
    /// Reads the record as it is in force on the machine.
    pub fn of(record: &Record, machine: &Machine) -> Result<Self, Failure> {
        let values = record.of_home_on(machine);
        let name = record.full_name().to_string();
        let Some(image) = values.effective_place() else {
            return refuse(
                Refusal::InvalidArgs,
                "The record does not say where the home lies. Nothing was changed. On a server: --cifs-service=//HOST/SHARE[/FOLDER]",
            );
        };
        Ok(Self {
            storage: values.effective_storage(),
            image: image.into(),
            home_directory: values.effective_home_directory().into(),
            size: match (values.disk_size, values.disk_size_relative) {
                (Some(bytes), _) => Wish::Bytes(bytes),
                (None, Some(share)) => Wish::Share(share.0),
                (None, None) => Wish::Unset,
            },
            wished: Attributes {
                no_suid: values.effective_mount_no_suid(),
                no_devices: values.effective_mount_no_devices(),
                no_execute: values.effective_mount_no_execute(),
                ..Attributes::default()
            },
            skeleton: values.effective_skeleton_directory().into(),
            access_mode: values.effective_access_mode() & 0o777,
            user: record.user().to_string(),
            machine: machine.clone(),
            name,
            values,
        })
    }

    /// The attributes of the home's mount. `mountNoSuid=false` and the like are believed of this machine's own records alone:
    /// who can sign here could otherwise be root here, by a program in a home that belongs to root.
    pub fn attributes(&self, vouched: Option<Vouched>) -> Attributes {
        let foreign = !vouched.is_some_and(Vouched::is_local);
        Attributes {
            no_suid: foreign || self.wished.no_suid,
            no_devices: foreign || self.wished.no_devices,
            ..self.wished
        }
    }

    /// Whether this record of the same home wishes for a size that the one in force does not wish for.
    pub(super) fn wishes_another_size(&self, record: &Record) -> Result<bool, Failure> {
        let wished = Self::of(record, &self.machine)?.size;
        Ok(wished != Wish::Unset && wished != self.size)
    }

    /// How far the home is open.
    pub fn standing(&self) -> Result<Standing, Failure> {
        whereabouts::standing(&self.clues()).during("looking where the home is")
    }

    /// What the kernel knows its parts by.
    pub fn clues(&self) -> Clues<'_> {
        Clues {
            kind: self.storage,
            user: &self.user,
            image: &self.image,
            home_directory: &self.home_directory,
            luks: None,
            walk: Walk::Now,
        }
        .with_luks(self.values.luks_uuid.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::signature::{PrivateKey, Trust, sign};
    use records::{HostName, MachineId, Sections};

    #[test]
    fn setuid_programs_and_devices_are_for_homes_of_this_machine_alone() {
        let machine =
            Machine { id: MachineId::parse(&"1".repeat(32)).expect("valid"), host: HostName("box".into()) };
        let text = r#"{"userName":"alice","storage":"directory","mountNoSuid":false,"mountNoDevices":false}"#;
        let record = Record::parse(text, Sections::EMBEDDED).expect("valid");
        let spec = Spec::of(&record, &machine).expect("complete");
        let key = |seed| PrivateKey::from_seed([seed; 32]);
        let trust = Trust {
            local: vec![key(1).public()],
            others: vec![key(2).public()],
            strangers: Default::default(),
        };
        for (seed, no_suid) in [(1, false), (2, true), (3, true)] {
            let vouched = trust.vouch(&sign(&record, &key(seed)).expect("signable"));
            let attributes = spec.attributes(vouched);
            assert_eq!((attributes.no_suid, attributes.no_devices), (no_suid, no_suid), "signed by {seed}");
        }
        assert!(spec.attributes(Some(Vouched::by_administrator())).no_suid);
    }
}
