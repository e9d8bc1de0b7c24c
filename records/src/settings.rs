//! The values in force on one machine: top level < perMachine < binding < status.

use crate::fields::{Layer, lay_over};
use crate::kinds::{AutoResize, RebalanceWeight, Storage};
use crate::machine::Machine;
use crate::matching;
use serde_json::{Map, Value};

pub use crate::fields::Settings;

/// Where homes and their images are.
pub const HOME_ROOT: &str = "/home";
/// Where it is noted, as `USER.json`, that a home is being made of a backup, and is not whole yet.
pub const RESTORING: &str = "/var/lib/homed/restoring";
/// The shell where the record does not say.
pub const DEFAULT_SHELL: &str = "/bin/bash";

impl Settings {
    pub(crate) fn of(members: &Map<String, Value>, machine: &Machine) -> Self {
        let mut settings = Self::default();
        lay_over(&mut settings, Layer::Regular, members);
        for entry in matching::entries(members, machine) {
            lay_over(&mut settings, Layer::PerMachine, entry);
        }
        for (layer, section) in [(Layer::Binding, "binding"), (Layer::Status, "status")] {
            if let Some(Value::Object(entry)) =
                members.get(section).and_then(|all| all.get(machine.id.as_str()))
            {
                lay_over(&mut settings, layer, entry);
            }
        }
        settings
    }

    /// `user` or `user@realm`.
    pub fn full_name(&self) -> String {
        let user = self.user_name.as_deref().unwrap_or_default();
        match &self.realm {
            None => user.to_owned(),
            Some(realm) => format!("{user}@{realm}"),
        }
    }

    /// How it is stored; the specification's default is `classic`.
    pub fn effective_storage(&self) -> Storage {
        self.storage.unwrap_or(Storage::Classic)
    }

    /// Where the home is mounted.
    pub fn effective_home_directory(&self) -> String {
        let name = || format!("{HOME_ROOT}/{}", self.user_name.as_deref().unwrap_or_default());
        self.home_directory.clone().unwrap_or_else(name)
    }

    /// Where the storage is; `None` for kinds that have none here.
    pub fn effective_image_path(&self) -> Option<String> {
        match (&self.image_path, self.effective_storage()) {
            (Some(path), _) => Some(path.clone()),
            (None, Storage::Classic) => Some(self.effective_home_directory()),
            (None, Storage::Cifs) => None,
            (None, kind) => Some(format!("{HOME_ROOT}/{}.{}", self.full_name(), kind.ending())),
        }
    }

    /// Where the storage is: a path of this machine, or a place on a server.
    pub fn effective_place(&self) -> Option<String> {
        match self.effective_storage().is_on_server() {
            true => self.cifs_service.clone(),
            false => self.effective_image_path(),
        }
    }

    /// The login shell.
    pub fn effective_shell(&self) -> &str {
        self.shell.as_deref().unwrap_or(DEFAULT_SHELL)
    }

    /// The name for people.
    pub fn effective_real_name(&self) -> &str {
        self.real_name.as_deref().or(self.user_name.as_deref()).unwrap_or_default()
    }

    /// The group of the user's files: the UID's twin where the record does not say.
    pub fn effective_gid(&self) -> Option<u32> {
        self.gid.or(self.uid)
    }

    /// What new homes are filled from.
    pub fn effective_skeleton_directory(&self) -> &str {
        self.skeleton_directory.as_deref().unwrap_or("/etc/skel")
    }

    /// The home directory's mode.
    pub fn effective_access_mode(&self) -> u32 {
        self.access_mode.unwrap_or(0o700)
    }

    /// The file system inside a LUKS home.
    pub fn effective_file_system_type(&self) -> &str {
        self.file_system_type.as_deref().unwrap_or("btrfs")
    }

    /// Whether blocks are given back while the home is open: by default for real devices only.
    pub fn effective_luks_discard(&self) -> bool {
        let on_device = || self.effective_image_path().is_some_and(|path| path.starts_with("/dev/"));
        self.luks_discard.unwrap_or_else(on_device)
    }

    /// Whether blocks are given back when the home is closed.
    pub fn effective_luks_offline_discard(&self) -> bool {
        let on_device = self.effective_image_path().is_some_and(|path| path.starts_with("/dev/"));
        let default = || if on_device { self.effective_luks_discard() } else { true };
        self.luks_offline_discard.unwrap_or_else(default)
    }

    /// Whether the kernel's caches are dropped when the home is closed: by default where they would hold
    /// what fscrypt decrypted.
    pub fn effective_drop_caches(&self) -> bool {
        self.drop_caches.unwrap_or(self.effective_storage() == Storage::Fscrypt)
    }

    /// `luksCipher`, by default `aes`.
    pub fn effective_luks_cipher(&self) -> &str {
        self.luks_cipher.as_deref().unwrap_or("aes")
    }

    /// `luksCipherMode`, by default `xts-plain64`.
    pub fn effective_luks_cipher_mode(&self) -> &str {
        self.luks_cipher_mode.as_deref().unwrap_or("xts-plain64")
    }

    /// When the image is resized by itself.
    pub fn effective_auto_resize_mode(&self) -> AutoResize {
        let luks = self.effective_storage() == Storage::Luks;
        self.auto_resize_mode.unwrap_or(if luks { AutoResize::ShrinkAndGrow } else { AutoResize::Off })
    }

    /// The weight when free space is shared.
    pub fn effective_rebalance_weight(&self) -> RebalanceWeight {
        self.rebalance_weight.unwrap_or(RebalanceWeight::DEFAULT)
    }

    /// Mount flags: set-uid programs are ignored.
    pub fn effective_mount_no_suid(&self) -> bool {
        self.mount_no_suid.unwrap_or(true)
    }

    /// Mount flags: device nodes are ignored.
    pub fn effective_mount_no_devices(&self) -> bool {
        self.mount_no_devices.unwrap_or(true)
    }

    /// Mount flags: programs cannot be run.
    pub fn effective_mount_no_execute(&self) -> bool {
        self.mount_no_execute.unwrap_or(false)
    }

    /// Whether weak passwords are refused.
    pub fn effective_enforce_password_policy(&self) -> bool {
        self.enforce_password_policy.unwrap_or(true)
    }

    /// Window of the rate limit, in µs.
    pub fn effective_rate_limit_interval_usec(&self) -> u64 {
        self.rate_limit_interval_usec.unwrap_or(60_000_000)
    }

    /// Attempts per window.
    pub fn effective_rate_limit_burst(&self) -> u64 {
        self.rate_limit_burst.unwrap_or(30)
    }
}
