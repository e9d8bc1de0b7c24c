//! The table of all fields: member name, type, and the sections each may stand in.
//!
//! One row makes the field of [`crate::Settings`], the check at parsing and the place in the layers.
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
    ($( $field:ident, $member:literal, $type:ty, $read:path, $layers:ident; )*) => {
        /// The values in force on one machine; `None` where the record does not say (the methods know
        /// the defaults).
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Settings {
            $( #[doc = concat!("`", $member, "`.")] pub $field: Option<$type>, )*
        }

        /// Puts the values of one layer over those below it. What is not valid is passed over: a record
        /// was checked when it was parsed.
        pub(crate) fn lay_over(settings: &mut Settings, layer: Layer, members: &Map<String, Value>) {
            $( if $layers.contains(&layer)
                && let Some(value) = members.get($member).filter(|value| !value.is_null())
                && let Ok(value) = $read(value)
            {
                settings.$field = Some(value);
            } )*
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
    };
}

fields! {
    user_name, "userName", String, kinds::user_name, TOP;
    realm, "realm", String, kinds::realm, TOP;
    aliases, "aliases", Vec<String>, kinds::user_names, TOP_STATUS;
    uuid, "uuid", String, kinds::uuid, TOP;
    blob_directory, "blobDirectory", String, kinds::path, BOUND;
    blob_manifest, "blobManifest", BTreeMap<String, String>, kinds::manifest, BOTH;
    real_name, "realName", String, kinds::gecos, TOP;
    email_address, "emailAddress", String, kinds::line, TOP;
    birth_date, "birthDate", String, kinds::date, TOP;
    icon_name, "iconName", String, kinds::line, BOTH;
    location, "location", String, kinds::line, BOTH;
    disposition, "disposition", Disposition, kinds::disposition, TOP;
    last_change_usec, "lastChangeUSec", u64, kinds::unsigned, TOP;
    last_password_change_usec, "lastPasswordChangeUSec", u64, kinds::unsigned, TOP;
    shell, "shell", String, kinds::path, BOTH;
    umask, "umask", u32, kinds::umask, BOTH;
    environment, "environment", Vec<String>, kinds::environment, BOTH;
    time_zone, "timeZone", String, kinds::line, BOTH;
    preferred_language, "preferredLanguage", String, kinds::line, BOTH;
    additional_languages, "additionalLanguages", Vec<String>, kinds::lines, BOTH;
    nice_level, "niceLevel", i64, kinds::nice, BOTH;
    resource_limits, "resourceLimits", BTreeMap<String, ResourceLimit>, kinds::resource_limits, BOTH;
    locked, "locked", bool, kinds::boolean, BOTH;
    not_before_usec, "notBeforeUSec", u64, kinds::unsigned, BOTH;
    not_after_usec, "notAfterUSec", u64, kinds::unsigned, BOTH;
    storage, "storage", Storage, kinds::storage, BOUND;
    disk_size, "diskSize", u64, kinds::unsigned, BOTH_STATUS;
    disk_size_relative, "diskSizeRelative", DiskFraction, kinds::fraction, BOTH;
    skeleton_directory, "skeletonDirectory", String, kinds::path, BOTH;
    access_mode, "accessMode", u32, kinds::mode, BOTH_STATUS;
    tasks_max, "tasksMax", u64, kinds::unsigned, BOTH;
    memory_high, "memoryHigh", u64, kinds::unsigned, BOTH;
    memory_max, "memoryMax", u64, kinds::unsigned, BOTH;
    cpu_weight, "cpuWeight", u64, kinds::weight, BOTH;
    io_weight, "ioWeight", u64, kinds::weight, BOTH;
    tmp_limit, "tmpLimit", u64, kinds::unsigned, BOTH;
    tmp_limit_scale, "tmpLimitScale", u64, kinds::scale, BOTH;
    dev_shm_limit, "devShmLimit", u64, kinds::unsigned, BOTH;
    dev_shm_limit_scale, "devShmLimitScale", u64, kinds::scale, BOTH;
    mount_no_devices, "mountNoDevices", bool, kinds::boolean, BOTH;
    mount_no_suid, "mountNoSuid", bool, kinds::boolean, BOTH;
    mount_no_execute, "mountNoExecute", bool, kinds::boolean, BOTH;
    cifs_domain, "cifsDomain", String, kinds::mount_value, BOTH;
    cifs_user_name, "cifsUserName", String, kinds::mount_value, BOTH;
    cifs_service, "cifsService", String, kinds::cifs_service, BOTH;
    cifs_extra_mount_options, "cifsExtraMountOptions", String, kinds::line, BOTH;
    image_path, "imagePath", String, kinds::path, BOUND;
    home_directory, "homeDirectory", String, kinds::home_directory, TOP_BOUND;
    uid, "uid", u32, kinds::id, BOUND;
    gid, "gid", u32, kinds::id, BOUND;
    member_of, "memberOf", Vec<String>, kinds::group_names, BOTH;
    capability_bounding_set, "capabilityBoundingSet", Vec<String>, kinds::lines, BOTH;
    capability_ambient_set, "capabilityAmbientSet", Vec<String>, kinds::lines, BOTH;
    file_system_type, "fileSystemType", String, kinds::line, ALL;
    partition_uuid, "partitionUuid", String, kinds::uuid, BOUND;
    luks_uuid, "luksUuid", String, kinds::uuid, BOUND;
    file_system_uuid, "fileSystemUuid", String, kinds::uuid, BOUND;
    luks_discard, "luksDiscard", bool, kinds::boolean, BOTH;
    luks_offline_discard, "luksOfflineDiscard", bool, kinds::boolean, BOTH;
    luks_cipher, "luksCipher", String, kinds::line, BOUND;
    luks_cipher_mode, "luksCipherMode", String, kinds::line, BOUND;
    luks_volume_key_size, "luksVolumeKeySize", u64, kinds::unsigned, BOUND;
    luks_pbkdf_hash_algorithm, "luksPbkdfHashAlgorithm", String, kinds::line, BOTH;
    luks_pbkdf_type, "luksPbkdfType", String, kinds::pbkdf, BOTH;
    luks_pbkdf_force_iterations, "luksPbkdfForceIterations", u64, kinds::unsigned, BOTH;
    luks_pbkdf_time_cost_usec, "luksPbkdfTimeCostUSec", u64, kinds::unsigned, BOTH;
    luks_pbkdf_memory_cost, "luksPbkdfMemoryCost", u64, kinds::unsigned, BOTH;
    luks_pbkdf_parallel_threads, "luksPbkdfParallelThreads", u64, kinds::unsigned, BOTH;
    luks_sector_size, "luksSectorSize", u64, kinds::sector_size, BOTH;
    luks_extra_mount_options, "luksExtraMountOptions", String, kinds::line, BOTH;
    drop_caches, "dropCaches", bool, kinds::boolean, BOTH;
    auto_resize_mode, "autoResizeMode", AutoResize, kinds::auto_resize, BOTH;
    lock_level, "lockLevel", LockLevel, kinds::lock_level, BOTH;
    lock_after_screen_lock_usec, "lockAfterScreenLockUSec", u64, kinds::unsigned, BOTH;
    lock_after_idle_usec, "lockAfterIdleUSec", u64, kinds::unsigned, BOTH;
    rebalance_weight, "rebalanceWeight", RebalanceWeight, kinds::rebalance_weight, BOTH;
    service, "service", String, kinds::line, TOP_STATUS;
    rate_limit_interval_usec, "rateLimitIntervalUSec", u64, kinds::unsigned, BOTH;
    rate_limit_burst, "rateLimitBurst", u64, kinds::unsigned, BOTH;
    enforce_password_policy, "enforcePasswordPolicy", bool, kinds::boolean, BOTH;
    auto_login, "autoLogin", bool, kinds::boolean, BOTH;
    preferred_session_type, "preferredSessionType", String, kinds::line, BOTH;
    preferred_session_launcher, "preferredSessionLauncher", String, kinds::line, BOTH;
    stop_delay_usec, "stopDelayUSec", u64, kinds::unsigned, BOTH;
    kill_processes, "killProcesses", bool, kinds::boolean, BOTH;
    password_change_min_usec, "passwordChangeMinUSec", u64, kinds::unsigned, BOTH;
    password_change_max_usec, "passwordChangeMaxUSec", u64, kinds::unsigned, BOTH;
    password_change_warn_usec, "passwordChangeWarnUSec", u64, kinds::unsigned, BOTH;
    password_change_inactive_usec, "passwordChangeInactiveUSec", u64, kinds::unsigned, BOTH;
    password_change_now, "passwordChangeNow", bool, kinds::boolean, BOTH;
    pkcs11_token_uri, "pkcs11TokenUri", Vec<String>, kinds::lines, BOTH;
    fido2_hmac_credential, "fido2HmacCredential", Vec<String>, kinds::base64s, BOTH;
    tpm2_pin_machine_id, "tpm2PinMachineId", Vec<String>, kinds::lines, TOP;
    recovery_key_type, "recoveryKeyType", Vec<String>, kinds::recovery_key_types, TOP;
    self_modifiable_fields, "selfModifiableFields", Vec<String>, kinds::lines, TOP;
    self_modifiable_blobs, "selfModifiableBlobs", Vec<String>, kinds::lines, TOP;
    self_modifiable_privileged, "selfModifiablePrivileged", Vec<String>, kinds::lines, TOP;
    default_area, "defaultArea", String, kinds::file_name, BOTH_STATUS;
    state, "state", String, kinds::line, STATUS;
    disk_usage, "diskUsage", u64, kinds::unsigned, STATUS;
    disk_free, "diskFree", u64, kinds::unsigned, STATUS;
    disk_ceiling, "diskCeiling", u64, kinds::unsigned, STATUS;
    disk_floor, "diskFloor", u64, kinds::unsigned, STATUS;
    signed_locally, "signedLocally", bool, kinds::boolean, STATUS;
    good_authentication_counter, "goodAuthenticationCounter", u64, kinds::unsigned, STATUS;
    bad_authentication_counter, "badAuthenticationCounter", u64, kinds::unsigned, STATUS;
    last_good_authentication_usec, "lastGoodAuthenticationUSec", u64, kinds::unsigned, STATUS;
    last_bad_authentication_usec, "lastBadAuthenticationUSec", u64, kinds::unsigned, STATUS;
    rate_limit_begin_usec, "rateLimitBeginUSec", u64, kinds::unsigned, STATUS;
    rate_limit_count, "rateLimitCount", u64, kinds::unsigned, STATUS;
    removable, "removable", bool, kinds::boolean, STATUS;
    use_fallback, "useFallback", bool, kinds::boolean, STATUS;
    fallback_shell, "fallbackShell", String, kinds::path, STATUS;
    fallback_home_directory, "fallbackHomeDirectory", String, kinds::path, STATUS;
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
