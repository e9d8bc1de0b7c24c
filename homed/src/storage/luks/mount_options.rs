//! Mount options of a record (`luksExtraMountOptions`), as fstab(5) and mount(8) have them: what is meant for the file system,
//! what for the mount, and what for programs that read fstab alone.

use crate::sys::mount::{AccessTimes, Attributes, Setting};

/// What of `a,b=c` is for the file system; what is for the mount goes into its attributes, the last word counts.
pub fn split(text: &str, attributes: &mut Attributes) -> Vec<Setting> {
    let options = text.split(',').map(str::trim).filter(|option| !option.is_empty());
    let pairs = options.map(|option| match option.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (option.to_owned(), None),
    });
    pairs
        .filter(|(name, value)| !(is_for_programs(name) || value.is_none() && take(name, attributes)))
        .collect()
}

/// Options that mount(8) and systemd.mount(5) keep for themselves.
fn is_for_programs(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "defaults", "auto", "noauto", "fail", "nofail", "user", "nouser", "users", "group", "owner",
        "_netdev",
    ];
    NAMES.contains(&name) || name == "comment" || name.starts_with("x-") || name.starts_with("X-")
}

/// Whether it is one of the mount's, mount(8), "filesystem-independent mount options".
fn take(name: &str, attributes: &mut Attributes) -> bool {
    match name {
        "nosuid" => attributes.no_suid = true,
        "suid" => attributes.no_suid = false,
        "nodev" => attributes.no_devices = true,
        "dev" => attributes.no_devices = false,
        "noexec" => attributes.no_execute = true,
        "exec" => attributes.no_execute = false,
        "nosymfollow" => attributes.no_symlinks = true,
        "symfollow" => attributes.no_symlinks = false,
        "noatime" => attributes.access_times = AccessTimes::Never,
        "strictatime" => attributes.access_times = AccessTimes::Always,
        "atime" | "relatime" | "norelatime" | "nostrictatime" => {
            attributes.access_times = AccessTimes::Seldom
        }
        "nodiratime" => attributes.no_directory_access_times = true,
        "diratime" => attributes.no_directory_access_times = false,
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_goes_to_who_knows_it() {
        let mut attributes = Attributes { no_suid: true, ..Attributes::default() };
        let text = "defaults, noatime,compress=zstd:3,x-systemd.device-timeout=5,ssd,nofail,nodiratime,noexec,ro,suid=1,_netdev,";
        let rest = split(text, &mut attributes);
        let setting = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        // "suid" takes no value: the file system refuses that one.
        let left = [
            setting("compress", Some("zstd:3")),
            setting("ssd", None),
            setting("ro", None),
            setting("suid", Some("1")),
        ];
        assert_eq!(rest, left);
        let meant = Attributes {
            no_suid: true,
            no_execute: true,
            access_times: AccessTimes::Never,
            no_directory_access_times: true,
            ..Attributes::default()
        };
        assert_eq!(attributes, meant);
        assert_eq!(split("suid,relatime,diratime,exec", &mut attributes), []);
        assert_eq!(attributes, Attributes::default());
    }
}
