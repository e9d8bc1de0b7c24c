//! The flags of `homectl` as rows of tables.
//!
//! One row says all there is to know of a flag: names, help, which member of the record it sets, how its
//! value is read and where it goes by default. The parser (`parse`), the editor (`edit`), help and man page (`describe`) and
//! completions (`complete`) only read the rows. A new record option is one new row in `record_rows`.

pub mod cards;
pub mod describe;
pub mod edit;
mod entries;
pub mod keys;
pub mod limits;
mod lists;
pub mod parse;
mod record_rows;
pub mod tokens;
mod tool_rows;
pub mod tpm;
pub mod values;

pub use record_rows::RECORD_ROWS;
pub use tool_rows::TOOL_ROWS;

/// One flag.
pub struct Row {
    /// The name after `--`.
    pub long: &'static str,
    /// The letter after `-`.
    pub short: Option<char>,
    /// Other names for it that scripts use.
    pub aliases: &'static [&'static str],
    /// Whether it takes a value, and what the help calls it.
    pub value: Takes,
    /// One sentence for the help.
    pub help: &'static str,
    /// What it does.
    pub effect: Effect,
}

/// Whether a flag takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// One, in the same word after `=` or in the next; shown in the help by this name.
    One(&'static str),
    /// Perhaps one, only after `=`.
    Perhaps(&'static str),
}

/// What a flag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It sets a member of the record.
    Set {
        /// The member.
        member: &'static str,
        /// How the text becomes a value.
        kind: Kind,
        /// Where the member goes.
        place: Place,
    },
    /// It changes the record in a way of its own.
    Special(Special),
    /// It changes what the program does, not the record.
    Tool(Tool),
}

/// Where a member goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Always the top level: the member is not allowed per machine.
    Top,
    /// Where `--match=` says; by default the top level.
    Matched,
    /// Where `--match=` says; by default this machine's entry.
    MatchedThis,
    /// The `privileged` section.
    Privileged,
}

/// How a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text without control characters and colons (a GECOS field).
    Gecos,
    /// Any text.
    Text,
    /// A DNS name.
    Realm,
    /// An absolute path.
    Path,
    /// A file name.
    FileName,
    /// `yes` or `no`.
    Bool,
    /// `yes` for a flag without a value that means `no` (`-P`).
    ImpliedNo,
    /// A whole number from, to.
    Number(i64, i64),
    /// Octal access bits.
    Octal,
    /// Bytes with a suffix of 1024.
    Size,
    /// A time span, kept in µs.
    Span,
    /// A point in time, kept in µs since 1970.
    Moment,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Group names between commas; sorted, unique.
    Groups,
    /// User names between commas; sorted, unique.
    Names,
    /// Capability names; `~` in front inverts.
    Capabilities,
    /// `VAR=VALUE` or `VAR`.
    Environment,
    /// A UID.
    Uid,
    /// A date.
    Date,
    /// A power of two from 512 to 4096.
    SectorSize,
    /// `//host/share`.
    CifsService,
    /// `1…10000` or `off`.
    Weight,
    /// A name of the time zone database.
    TimeZone,
}

/// Options that touch more than one member, or read files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// `diskSize`, `diskSizeRelative`, `rebalanceWeight`.
    DiskSize,
    /// A limit in bytes or percent: member, scaled member.
    Limit(&'static str, &'static str),
    /// `resourceLimits` of this machine.
    ResourceLimit,
    /// `preferredLanguage`, `additionalLanguages`.
    Language,
    /// `privileged.sshAuthorizedKeys`.
    SshKeys,
    /// Recovery key wanted or not.
    RecoveryKey,
    /// A folder or file for the blob directory.
    Blob,
    /// One well-known file of the blob directory.
    NamedBlob(&'static str),
    /// `--match=`.
    Match,
    /// `-A`, `-T`, `-N`.
    MatchFixed(Target),
    /// Smart cards: enrolled, listed, or all of them removed.
    Pkcs11,
    /// Security keys: enrolled, listed, or all of them removed.
    Fido2,
    /// Whether a new one asks for its PIN.
    Fido2Pin,
    /// Whether it wants to be touched.
    Fido2Presence,
    /// Whether it verifies its user by itself.
    Fido2Verification,
    /// How its credential signs.
    Fido2Algorithm,
    /// A PIN of this computer's TPM: enrolled, TPMs listed, or all PINs removed.
    Tpm2,
    /// What the computer has to have started with for it.
    Tpm2Pcrs,
    /// What a key is called.
    TokenName,
    /// One key goes.
    RemoveToken,
}

/// Which part of the record the settings that follow go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// Each option's own default.
    #[default]
    Auto,
    /// The top level.
    Any,
    /// The entry for this machine.
    This,
    /// The entry for all others.
    Other,
}

/// Options of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// `--no-pager`: accepted, there is no pager.
    NoPager,
    /// `--no-legend`.
    NoLegend,
    /// `--no-ask-password`.
    NoAskPassword,
    /// `--host=`.
    Host,
    /// `--machine=`.
    Machine,
    /// `--identity=`.
    Identity,
    /// `--json=`.
    Json,
    /// `-j`.
    JsonAuto,
    /// `--export-format=`.
    ExportFormat,
    /// `-E`, `-EE`.
    Export,
    /// `--details`.
    Details,
    /// `--offline`.
    Offline,
    /// `--watch`.
    Watch,
    /// `--yes`.
    Yes,
    /// `--replace`.
    Replace,
    /// `--move`.
    Move,
    /// `--take=`.
    Take,
    /// `--undo`.
    Undo,
    /// `--discard-original`.
    DiscardOriginal,
    /// `--dry-run`.
    DryRun,
    /// `--file-system`.
    FileSystem,
    /// `--closed-elsewhere`.
    ClosedElsewhere,
    /// `--key-name=`.
    KeyName,
    /// `--seize=`.
    Seize,
    /// `--recovery-key-file=`.
    RecoveryKeyFile,
    /// `--generate=`: for packaging.
    Generate,
    /// `--why=`.
    Why,
    /// `--for=`.
    For,
    /// `--prompt-new-user`.
    PromptNewUser,
    /// `--prompt-groups=`.
    PromptGroups,
    /// `--prompt-shell=`.
    PromptShell,
    /// `--chrome=` and `--mute-console=`: accepted, nothing is drawn and nothing else said there.
    Screen,
}

impl Tool {
    /// The only verbs that it is for; none: it is for all.
    pub fn belongs_to(self) -> &'static [&'static str] {
        match self {
            Self::PromptNewUser | Self::PromptGroups | Self::PromptShell | Self::Screen => &["firstboot"],
            Self::Why | Self::For => &["inhibit-lock"],
            Self::Details => &["inspect"],
            Self::Move => &["send"],
            Self::Take => &["sync"],
            Self::Undo | Self::DiscardOriginal => &["convert", "release"],
            Self::Watch => &["status"],
            Self::FileSystem | Self::ClosedElsewhere => &["repair"],
            Self::KeyName => &["add-signing-key"],
            _ => &[],
        }
    }

    /// Whether it does something for a verb; for all, as long as there is none.
    pub fn is_for(self, verb: Option<&str>) -> bool {
        let owners = self.belongs_to();
        owners.is_empty() || verb.is_none_or(|verb| owners.contains(&verb))
    }
}

/// Every row, tool options first.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TOOL_ROWS.iter().chain(RECORD_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_name_and_no_letter_is_given_twice() {
        let mut names = BTreeSet::new();
        let mut letters = BTreeSet::new();
        for row in rows() {
            for name in std::iter::once(&row.long).chain(row.aliases) {
                assert!(name.is_empty() || names.insert(*name), "--{name} is there twice");
            }
            if let Some(letter) = row.short {
                assert!(letters.insert(letter), "-{letter} is there twice");
            }
        }
    }
}
