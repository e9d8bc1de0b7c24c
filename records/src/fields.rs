//! The table of all fields: member name, type, and the sections each may stand in.
//!
//! One row makes the field of [`crate::Settings`], the check at parsing, the place in the layers, and what the word of
//! a stranger about it is worth ([`crate::stranger`]).
//! Source of names and types: the JSON User Record specification (systemd.io/USER_RECORD).

use crate::kinds::{
    self, AutoResize, DiskFraction, Disposition, LockLevel, RebalanceWeight, ResourceLimit, Storage,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where a field may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// At the top level.
    Regular,
    /// In a matching entry of `perMachine`.
    PerMachine,
    /// In this machine's entry of `binding`.
    Binding,
    /// In this machine's entry of `status`.
    Status,
}

/// What a record says of its user that was signed by somebody whom this machine does not trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Believed: it concerns the user alone, and most users may change it themselves; or it only takes away.
    Own,
    /// Not believed before an administrator has seen it: it gives a right, takes something of the machine, or is not known.
    Claim,
    /// Never believed: this machine knows it by itself.
    Here,
}

const SELF: Worth = Worth::Own;
const CLAIM: Worth = Worth::Claim;
const HERE: Worth = Worth::Here;

/// Top level only.
const TOP: &[Layer] = &[Layer::Regular];
/// Top level and per machine.
const BOTH: &[Layer] = &[Layer::Regular, Layer::PerMachine];
/// These and the binding.
const BOUND: &[Layer] = &[Layer::Regular, Layer::PerMachine, Layer::Binding];
/// Top level and binding.
const TOP_BOUND: &[Layer] = &[Layer::Regular, Layer::Binding];
/// Status alone.
const STATUS: &[Layer] = &[Layer::Status];
/// Settings that the status section repeats as facts.
const BOTH_STATUS: &[Layer] = &[Layer::Regular, Layer::PerMachine, Layer::Status];
/// Top level and status.
const TOP_STATUS: &[Layer] = &[Layer::Regular, Layer::Status];
/// Everywhere.
const ALL: &[Layer] = &[Layer::Regular, Layer::PerMachine, Layer::Binding, Layer::Status];

macro_rules! fields {
    ($( $field:ident, $member:literal, $type:ty, $read:path, $layers:ident, $worth:ident; )*) => {
        /// The values in force on one machine; `None` where the record does not say (the methods know
        /// the defaults).
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Settings {
            $( #[doc = concat!("`", $member, "`.")] pub $field: Option<$type>, )*
        }

        /// Puts the values of one layer over those below it. What is not valid is passed over: a record
        /// was checked when it was parsed.
        pub(crate) fn lay_over(settings: &mut Settings, layer: Layer, members: &Map<String, Value>) {
            // By member and not by row: a record has few of all there may be, and is read at every look at a home.
            for (member, value) in members {
                match member.as_str() {
                    _ if value.is_null() => {}
                    $( $member => if $layers.contains(&layer) && let Ok(value) = $read(value) {
                        settings.$field = Some(value);
                    }, )*
                    _ => {}
                }
            }
        }

        /// Checks one member: the rule it breaks, if any. Unknown members are kept as they are.
        pub(crate) fn check(layer: Layer, member: &str, value: &Value) -> Result<(), &'static str> {
            match member {
                _ if value.is_null() => Ok(()),
                $( $member => if $layers.contains(&layer) || layer == Layer::Status {
                    $read(value).map(drop)
                } else {
                    Err("it is not allowed in this section")
                }, )*
                _ => Ok(()),
            }
        }

        /// The names of all known members.
        pub const MEMBERS: &[&str] = &[ $( $member, )* ];

        /// The sections a known member may stand in; none where it is not known.
        pub(crate) fn layers(member: &str) -> &'static [Layer] {
            match member {
                $( $member => $layers, )*
                _ => &[],
            }
        }

        /// What the word of a stranger is worth about a member. Of one that has no row: an administrator has to believe it.
        pub(crate) fn worth(member: &str) -> Worth {
            match member {
                $( $member => $worth, )*
                _ => CLAIM,
            }
        }
    };
}

fields! {
    user_name, "userName", String, kinds::user_name, TOP, SELF;
    realm, "realm", String, kinds::realm, TOP, SELF;
    aliases, "aliases", Vec<String>, kinds::user_names, TOP_STATUS, CLAIM;
    uuid, "uuid", String, kinds::uuid, TOP, SELF;
    blob_directory, "blobDirectory", String, kinds::path, BOUND, HERE;
    blob_manifest, "blobManifest", BTreeMap<String, String>, kinds::manifest, BOTH, SELF;
    real_name, "realName", String, kinds::gecos, TOP, SELF;
    email_address, "emailAddress", String, kinds::line, TOP, SELF;
    birth_date, "birthDate", String, kinds::date, TOP, SELF;
    icon_name, "iconName", String, kinds::line, BOTH, SELF;
    location, "location", String, kinds::line, BOTH, SELF;
    disposition, "disposition", Disposition, kinds::disposition, TOP, HERE;
    last_change_usec, "lastChangeUSec", u64, kinds::unsigned, TOP, SELF;
    last_password_change_usec, "lastPasswordChangeUSec", u64, kinds::unsigned, TOP, SELF;
    shell, "shell", String, kinds::path, BOTH, SELF;
    umask, "umask", u32, kinds::umask, BOTH, SELF;
    environment, "environment", Vec<String>, kinds::environment, BOTH, CLAIM;
    time_zone, "timeZone", String, kinds::line, BOTH, SELF;
    preferred_language, "preferredLanguage", String, kinds::line, BOTH, SELF;
    additional_languages, "additionalLanguages", Vec<String>, kinds::lines, BOTH, SELF;
    nice_level, "niceLevel", i64, kinds::nice, BOTH, CLAIM;
    resource_limits, "resourceLimits", BTreeMap<String, ResourceLimit>, kinds::resource_limits, BOTH, CLAIM;
    locked, "locked", bool, kinds::boolean, BOTH, SELF;
    not_before_usec, "notBeforeUSec", u64, kinds::unsigned, BOTH, SELF;
    not_after_usec, "notAfterUSec", u64, kinds::unsigned, BOTH, SELF;
    storage, "storage", Storage, kinds::storage, BOUND, HERE;
    disk_size, "diskSize", u64, kinds::unsigned, BOTH_STATUS, CLAIM;
    disk_size_relative, "diskSizeRelative", DiskFraction, kinds::fraction, BOTH, CLAIM;
    skeleton_directory, "skeletonDirectory", String, kinds::path, BOTH, CLAIM;
    access_mode, "accessMode", u32, kinds::mode, BOTH_STATUS, CLAIM;
    tasks_max, "tasksMax", u64, kinds::unsigned, BOTH, CLAIM;
    memory_high, "memoryHigh", u64, kinds::unsigned, BOTH, CLAIM;
    memory_max, "memoryMax", u64, kinds::unsigned, BOTH, CLAIM;
    cpu_weight, "cpuWeight", u64, kinds::weight, BOTH, CLAIM;
    io_weight, "ioWeight", u64, kinds::weight, BOTH, CLAIM;
    tmp_limit, "tmpLimit", u64, kinds::unsigned, BOTH, CLAIM;
    tmp_limit_scale, "tmpLimitScale", u64, kinds::scale, BOTH, CLAIM;
    dev_shm_limit, "devShmLimit", u64, kinds::unsigned, BOTH, CLAIM;
    dev_shm_limit_scale, "devShmLimitScale", u64, kinds::scale, BOTH, CLAIM;
    mount_no_devices, "mountNoDevices", bool, kinds::boolean, BOTH, CLAIM;
    mount_no_suid, "mountNoSuid", bool, kinds::boolean, BOTH, CLAIM;
    mount_no_execute, "mountNoExecute", bool, kinds::boolean, BOTH, CLAIM;
    cifs_domain, "cifsDomain", String, kinds::mount_value, BOTH, CLAIM;
    cifs_user_name, "cifsUserName", String, kinds::mount_value, BOTH, CLAIM;
    cifs_service, "cifsService", String, kinds::cifs_service, BOTH, CLAIM;
    cifs_extra_mount_options, "cifsExtraMountOptions", String, kinds::line, BOTH, CLAIM;
    image_path, "imagePath", String, kinds::path, BOUND, HERE;
    home_directory, "homeDirectory", String, kinds::home_directory, TOP_BOUND, HERE;
    uid, "uid", u32, kinds::id, BOUND, HERE;
    gid, "gid", u32, kinds::id, BOUND, HERE;
    member_of, "memberOf", Vec<String>, kinds::group_names, BOTH, CLAIM;
    capability_bounding_set, "capabilityBoundingSet", Vec<String>, kinds::lines, BOTH, CLAIM;
    capability_ambient_set, "capabilityAmbientSet", Vec<String>, kinds::lines, BOTH, CLAIM;
    file_system_type, "fileSystemType", String, kinds::line, ALL, HERE;
    partition_uuid, "partitionUuid", String, kinds::uuid, BOUND, HERE;
    luks_uuid, "luksUuid", String, kinds::uuid, BOUND, HERE;
    file_system_uuid, "fileSystemUuid", String, kinds::uuid, BOUND, HERE;
    luks_discard, "luksDiscard", bool, kinds::boolean, BOTH, CLAIM;
    luks_offline_discard, "luksOfflineDiscard", bool, kinds::boolean, BOTH, CLAIM;
    luks_cipher, "luksCipher", String, kinds::line, BOUND, HERE;
    luks_cipher_mode, "luksCipherMode", String, kinds::line, BOUND, HERE;
    luks_volume_key_size, "luksVolumeKeySize", u64, kinds::unsigned, BOUND, HERE;
    luks_pbkdf_hash_algorithm, "luksPbkdfHashAlgorithm", String, kinds::line, BOTH, HERE;
    luks_pbkdf_type, "luksPbkdfType", String, kinds::pbkdf, BOTH, HERE;
    luks_pbkdf_force_iterations, "luksPbkdfForceIterations", u64, kinds::unsigned, BOTH, HERE;
    luks_pbkdf_time_cost_usec, "luksPbkdfTimeCostUSec", u64, kinds::unsigned, BOTH, HERE;
    luks_pbkdf_memory_cost, "luksPbkdfMemoryCost", u64, kinds::unsigned, BOTH, HERE;
    luks_pbkdf_parallel_threads, "luksPbkdfParallelThreads", u64, kinds::unsigned, BOTH, HERE;
    luks_sector_size, "luksSectorSize", u64, kinds::sector_size, BOTH, HERE;
    luks_extra_mount_options, "luksExtraMountOptions", String, kinds::line, BOTH, CLAIM;
    luks_cryptsetup_tokens, "luksCryptsetupTokens", bool, kinds::boolean, BOTH, SELF;
    drop_caches, "dropCaches", bool, kinds::boolean, BOTH, CLAIM;
    auto_resize_mode, "autoResizeMode", AutoResize, kinds::auto_resize, BOTH, CLAIM;
    lock_level, "lockLevel", LockLevel, kinds::lock_level, BOTH, CLAIM;
    lock_after_screen_lock_usec, "lockAfterScreenLockUSec", u64, kinds::unsigned, BOTH, CLAIM;
    lock_after_idle_usec, "lockAfterIdleUSec", u64, kinds::unsigned, BOTH, CLAIM;
    lock_on_token_removal, "lockOnTokenRemoval", bool, kinds::boolean, BOTH, CLAIM;
    snapshot_keep_hourly, "snapshotKeepHourly", u64, kinds::snapshots, BOTH, SELF;
    snapshot_keep_daily, "snapshotKeepDaily", u64, kinds::snapshots, BOTH, SELF;
    snapshot_keep_weekly, "snapshotKeepWeekly", u64, kinds::snapshots, BOTH, SELF;
    rebalance_weight, "rebalanceWeight", RebalanceWeight, kinds::rebalance_weight, BOTH, CLAIM;
    service, "service", String, kinds::line, TOP_STATUS, HERE;
    rate_limit_interval_usec, "rateLimitIntervalUSec", u64, kinds::unsigned, BOTH, CLAIM;
    rate_limit_burst, "rateLimitBurst", u64, kinds::unsigned, BOTH, CLAIM;
    enforce_password_policy, "enforcePasswordPolicy", bool, kinds::boolean, BOTH, CLAIM;
    auto_login, "autoLogin", bool, kinds::boolean, BOTH, CLAIM;
    preferred_session_type, "preferredSessionType", String, kinds::line, BOTH, CLAIM;
    preferred_session_launcher, "preferredSessionLauncher", String, kinds::line, BOTH, CLAIM;
    stop_delay_usec, "stopDelayUSec", u64, kinds::unsigned, BOTH, CLAIM;
    kill_processes, "killProcesses", bool, kinds::boolean, BOTH, CLAIM;
    password_change_min_usec, "passwordChangeMinUSec", u64, kinds::unsigned, BOTH, SELF;
    password_change_max_usec, "passwordChangeMaxUSec", u64, kinds::unsigned, BOTH, SELF;
    password_change_warn_usec, "passwordChangeWarnUSec", u64, kinds::unsigned, BOTH, SELF;
    password_change_inactive_usec, "passwordChangeInactiveUSec", u64, kinds::unsigned, BOTH, SELF;
    password_change_now, "passwordChangeNow", bool, kinds::boolean, BOTH, SELF;
    pkcs11_token_uri, "pkcs11TokenUri", Vec<String>, kinds::lines, BOTH, SELF;
    fido2_hmac_credential, "fido2HmacCredential", Vec<String>, kinds::base64s, BOTH, SELF;
    tpm2_pin_machine_id, "tpm2PinMachineId", Vec<String>, kinds::lines, TOP, SELF;
    recovery_key_type, "recoveryKeyType", Vec<String>, kinds::recovery_key_types, TOP, SELF;
    self_modifiable_fields, "selfModifiableFields", Vec<String>, kinds::lines, TOP, CLAIM;
    self_modifiable_blobs, "selfModifiableBlobs", Vec<String>, kinds::lines, TOP, CLAIM;
    self_modifiable_privileged, "selfModifiablePrivileged", Vec<String>, kinds::lines, TOP, CLAIM;
    default_area, "defaultArea", String, kinds::file_name, BOTH_STATUS, CLAIM;
    state, "state", String, kinds::line, STATUS, HERE;
    disk_usage, "diskUsage", u64, kinds::unsigned, STATUS, HERE;
    disk_free, "diskFree", u64, kinds::unsigned, STATUS, HERE;
    disk_ceiling, "diskCeiling", u64, kinds::unsigned, STATUS, HERE;
    disk_floor, "diskFloor", u64, kinds::unsigned, STATUS, HERE;
    signed_locally, "signedLocally", bool, kinds::boolean, STATUS, HERE;
    good_authentication_counter, "goodAuthenticationCounter", u64, kinds::unsigned, STATUS, HERE;
    bad_authentication_counter, "badAuthenticationCounter", u64, kinds::unsigned, STATUS, HERE;
    last_good_authentication_usec, "lastGoodAuthenticationUSec", u64, kinds::unsigned, STATUS, HERE;
    last_bad_authentication_usec, "lastBadAuthenticationUSec", u64, kinds::unsigned, STATUS, HERE;
    rate_limit_begin_usec, "rateLimitBeginUSec", u64, kinds::unsigned, STATUS, HERE;
    rate_limit_count, "rateLimitCount", u64, kinds::unsigned, STATUS, HERE;
    removable, "removable", bool, kinds::boolean, STATUS, HERE;
    use_fallback, "useFallback", bool, kinds::boolean, STATUS, HERE;
    fallback_shell, "fallbackShell", String, kinds::path, STATUS, HERE;
    fallback_home_directory, "fallbackHomeDirectory", String, kinds::path, STATUS, HERE;
}

/// Whether a member may be set for some machines only (in `perMachine`).
pub fn is_per_machine(member: &str) -> bool {
    layers(member).contains(&Layer::PerMachine)
}

/// Whether a member may be set for all machines (at the top level).
pub fn is_regular(member: &str) -> bool {
    layers(member).contains(&Layer::Regular)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_the_user_is_the_same_on_every_machine() {
        for member in [
            "userName",
            "realm",
            "aliases",
            "realName",
            "emailAddress",
            "birthDate",
            "uuid",
            "disposition",
            "homeDirectory",
            "lastChangeUSec",
            "lastPasswordChangeUSec",
            "service",
            "recoveryKeyType",
            "selfModifiableFields",
            "selfModifiableBlobs",
            "selfModifiablePrivileged",
            "diskUsage",
            "no-such",
        ] {
            assert!(!is_per_machine(member), "{member}");
        }
    }

    #[test]
    fn no_member_has_two_rows() {
        let mut names = MEMBERS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MEMBERS.len());
    }
}
