//! The lines of a record's text: labels and order are those of the original's formatter (systemd 262).

use super::{Shown, computed, kept};

/// One line.
pub struct Line {
    /// What stands before the colon.
    pub label: &'static str,
    /// What stands behind it.
    pub form: Form,
    /// For which records.
    pub when: When,
}

/// For which records a line is.
#[derive(Clone, Copy)]
pub enum When {
    /// All.
    Always,
    /// Storage `luks`.
    Luks,
    /// Storage `cifs`.
    Cifs,
}

/// How the value of a line is found and written.
#[derive(Clone, Copy)]
pub enum Form {
    /// The member as it is.
    Text(&'static str),
    /// µs since 1970.
    Moment(&'static str),
    /// µs.
    Span(&'static str),
    /// Bytes.
    Size(&'static str),
    /// An access mode.
    Octal(&'static str),
    /// A flag.
    YesNo(&'static str),
    /// A list, one line each.
    List(&'static str),
    /// A list in one line.
    Joined(&'static str),
    /// How many entries a list of `privileged` has, if any.
    Count(&'static str),
    /// The password hint.
    Hint,
    /// Found in a way of its own.
    Computed(fn(&Shown<'_>) -> Vec<String>),
}

use Form::{Computed, Count, Hint, Joined, List, Moment, Octal, Size, Span, Text, YesNo};

const fn line(label: &'static str, form: Form) -> Line {
    Line { label, form, when: When::Always }
}

const fn luks(label: &'static str, form: Form) -> Line {
    Line { label, form, when: When::Luks }
}

const fn cifs(label: &'static str, form: Form) -> Line {
    Line { label, form, when: When::Cifs }
}

/// All lines in order.
pub const ROWS: &[Line] = &[
    line("User name", Computed(computed::name)),
    line("Alias", Joined("aliases")),
    line("State", Computed(computed::state)),
    line("Disposition", Computed(computed::disposition)),
    line("Last Change", Moment("lastChangeUSec")),
    line("Last Passw.", Computed(computed::last_password_change)),
    line("Login OK", Computed(computed::login)),
    line("Password OK", Computed(computed::password)),
    line("UID", Computed(computed::uid)),
    line("GID", Computed(computed::gid)),
    line("Aux. Groups", Computed(computed::groups)),
    line("UUID", Text("uuid")),
    line("Real Name", Computed(computed::real_name)),
    line("Directory", Computed(computed::directory)),
    line("Default Area", Text("defaultArea")),
    line("Blob Dir.", Computed(computed::blobs)),
    line("Storage", Computed(computed::storage)),
    line("Image Path", Computed(computed::image_path)),
    line("Removable", Computed(computed::removable)),
    line("Shell", Computed(computed::shell)),
    line("Email", Text("emailAddress")),
    line("Location", Text("location")),
    line("Birth Date", Text("birthDate")),
    line("Passw. Hint", Hint),
    line("Icon Name", Text("iconName")),
    line("Time Zone", Text("timeZone")),
    line("Languages", Computed(computed::languages)),
    line("Locked", Computed(computed::locked)),
    line("Not Before", Moment("notBeforeUSec")),
    line("Not After", Moment("notAfterUSec")),
    line("UMask", Octal("umask")),
    line("Nice", Text("niceLevel")),
    line("Limit", Computed(computed::limits)),
    line("Tasks Max", Text("tasksMax")),
    line("Memory High", Size("memoryHigh")),
    line("Memory Max", Size("memoryMax")),
    line("CPU Weight", Text("cpuWeight")),
    line("IO Weight", Text("ioWeight")),
    line("TMP Limit", Computed(computed::tmp_limit)),
    line("SHM Limit", Computed(computed::shm_limit)),
    line("Access Mode", Octal("accessMode")),
    line("Bound. Caps", Joined("capabilityBoundingSet")),
    line("Ambient Caps", Joined("capabilityAmbientSet")),
    luks("LUKS Discard", Computed(computed::discard)),
    luks("LUKS UUID", Text("luksUuid")),
    luks("Part UUID", Text("partitionUuid")),
    luks("FS UUID", Text("fileSystemUuid")),
    luks("File System", Text("fileSystemType")),
    luks("LUKS MntOpts", Text("luksExtraMountOptions")),
    luks("LUKS Cipher", Text("luksCipher")),
    luks("Cipher Mode", Text("luksCipherMode")),
    luks("Volume Key", Computed(computed::volume_key)),
    luks("PBKDF Type", Text("luksPbkdfType")),
    luks("PBKDF Hash", Text("luksPbkdfHashAlgorithm")),
    luks("PBKDF Iters", Text("luksPbkdfForceIterations")),
    luks("PBKDF Time", Span("luksPbkdfTimeCostUSec")),
    luks("PBKDF Bytes", Size("luksPbkdfMemoryCost")),
    luks("PBKDF Thread", Text("luksPbkdfParallelThreads")),
    luks("Sector Size", Text("luksSectorSize")),
    cifs("CIFS Service", Text("cifsService")),
    cifs("CIFS MntOpts", Text("cifsExtraMountOptions")),
    line("CIFS User", Text("cifsUserName")),
    line("CIFS Domain", Text("cifsDomain")),
    line("Mount Flags", Computed(computed::mount_flags)),
    line("Skel. Dir.", Text("skeletonDirectory")),
    line("Disk Size", Computed(computed::disk_size)),
    line("Disk Usage", Computed(computed::disk_usage)),
    line("Disk Free", Computed(computed::disk_free)),
    line("Disk Floor", Size("diskFloor")),
    line("Disk Ceiling", Size("diskCeiling")),
    line("Good Auth.", Text("goodAuthenticationCounter")),
    line("Last Good", Moment("lastGoodAuthenticationUSec")),
    line("Bad Auth.", Text("badAuthenticationCounter")),
    line("Last Bad", Moment("lastBadAuthenticationUSec")),
    line("Next Try", Computed(computed::next_try)),
    line("Auth. Limit", Computed(computed::auth_limit)),
    line("Passwd Pol.", YesNo("enforcePasswordPolicy")),
    line("Passwd Chg.", Computed(computed::password_change)),
    line("Pas. Ch. Now", YesNo("passwordChangeNow")),
    line("Drop Caches", YesNo("dropCaches")),
    line("Auto Resize", Computed(computed::auto_resize)),
    line("Rebalance", Computed(computed::rebalance)),
    line("SSH Pub. Key", Count("sshAuthorizedKeys")),
    line("PKCS11 Token", List("pkcs11TokenUri")),
    line("FIDO2 Token", Count("fido2HmacSalt")),
    line("TPM PIN", Count("tpm2Pin")),
    line("Recovery Key", Count("recoveryKey")),
    line("Passwords", Computed(computed::passwords)),
    line("Local Sig.", YesNo("signedLocally")),
    line("Trust", Computed(computed::trust)),
    line("Stop Delay", Span("stopDelayUSec")),
    line("Autom. Login", YesNo("autoLogin")),
    line("Sess. Launch", Text("preferredSessionLauncher")),
    line("Session Type", Text("preferredSessionType")),
    line("Kill Proc.", YesNo("killProcesses")),
    line("Service", Text("service")),
    line("Self Modify", Computed(computed::own_fields)),
    line("(Blobs)", Computed(computed::own_blobs)),
    line("(Privileged)", Computed(computed::own_privileged)),
];

/// Lines that the original has not: programs that compare both texts do not ask for them.
pub const OWN_ROWS: &[Line] = &[
    line("Keys", Computed(computed::keys)),
    line("Disk Blocks", Computed(computed::disk_blocks)),
    line("Lock Level", Text("lockLevel")),
    line("Lock Screen", Span("lockAfterScreenLockUSec")),
    line("Lock Idle", Span("lockAfterIdleUSec")),
    line("Lock Token", YesNo("lockOnTokenRemoval")),
    line("LUKS Tokens", YesNo("luksCryptsetupTokens")),
    line("Snapshots", Computed(kept::snapshots)),
    line("Volume Key", Computed(computed::seal)),
    line("Left Open", Computed(computed::inhibitors)),
];
