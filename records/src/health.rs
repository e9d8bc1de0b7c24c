//! What a check of a home can find: one row each, with what it means and what to do about it.
//!
//! Found out by the worker (`homed/src/worker/check`), shown by `homectl check`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// As it should be.
    Sound,
    /// Nothing wrong, but to be known: something could not be looked at.
    Note,
    /// Wrong, and the home opens all the same.
    Wrong,
    /// The home does not open, or not all of it.
    Broken,
}

/// Which part of a home it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The image file.
    Image,
    /// Its partition table.
    PartitionTable,
    /// The LUKS2 header.
    Header,
    /// Its key slots.
    KeySlots,
    /// The three copies of the user record.
    Records,
    /// The file system inside.
    FileSystem,
    /// What the kernel or the disk holds of earlier runs.
    Leftovers,
}

impl Part {
    /// What people read.
    pub fn words(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::PartitionTable => "Partition table",
            Self::Header => "Encryption header",
            Self::KeySlots => "Key slots",
            Self::Records => "User record",
            Self::FileSystem => "File system",
            Self::Leftovers => "Leftovers",
        }
    }
}

macro_rules! findings {
    ($( $variant:ident, $part:ident, $severity:ident, $words:literal, $advice:literal; )*) => {
        /// Something a check has found.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum Kind { $( #[doc = $words] $variant, )* }

        impl Kind {
            /// All of them, in the order of a report.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// Which part it is about.
            pub fn part(self) -> Part {
                match self { $( Self::$variant => Part::$part, )* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $( Self::$variant => Severity::$severity, )* }
            }

            /// What it is, in words.
            pub fn words(self) -> &'static str {
                match self { $( Self::$variant => $words, )* }
            }

            /// What to do about it; empty where there is nothing to do. `USER` stands for the user's name.
            pub fn advice(self) -> &'static str {
                match self { $( Self::$variant => $advice, )* }
            }
        }
    };
}

findings! {
    ImageSound, Image, Sound, "The image is there.", "";
    ImageMissing, Image, Broken, "The image is not there.", "Plug in or mount the disk it is on, or restore it from a backup.";
    ImageNotAFile, Image, Broken, "What is in the image's place is no regular file.", "Move it away, and put the image there.";
    ImageUnreadable, Image, Broken, "The image cannot be read.", "Look at the disk it is on: journalctl --dmesg; restore the image from a backup.";
    ImageCutShort, Image, Wrong, "The image is shorter than its partition table says: its end was cut off.", "If the file system had been shrunk before, all is there: homectl repair USER. To see what is left: homectl rescue USER";
    ImageInUse, Image, Broken, "Another program or machine has the image open.", "Close it there first.";
    ImageOpenElsewhere, Image, Broken, "Another machine has the home open, or was cut off while it had.", "Close it there. If it is not open there any more (that machine was cut off, or this is a copy): homectl repair --closed-elsewhere USER";
    ImageInHoles, Image, Note, "The disk has less room than the image may still need: writing into the home may fail.", "Free some space on that disk.";
    ImageCopiedOnWrite, Image, Note, "The disk's btrfs writes each change of the image to another place: the home is slower, and writing into it needs room on that disk.", "To end that, with the home closed, copy the image into a file made with: chattr +C";
    ImageShared, Image, Note, "A snapshot of the disk, or a copy of the image on it, has blocks of the image in common: each is written to another place once, which needs room on that disk. What the image was then, with its key slots of then, opens with the passwords of then.", "Delete the snapshots and copies that nobody needs.";
    TablesSound, PartitionTable, Sound, "Both copies of the partition table are sound.", "";
    TableNotNeeded, PartitionTable, Sound, "The image has no partition table, and needs none.", "";
    FirstTableDamaged, PartitionTable, Wrong, "The first copy of the partition table is damaged; the second one is sound.", "To mend it: homectl repair USER";
    SecondTableDamaged, PartitionTable, Wrong, "The second copy of the partition table is damaged; the first one is sound.", "To mend it: homectl repair USER";
    BothTablesDamaged, PartitionTable, Wrong, "Both copies of the partition table are damaged; an encryption header is where homes have it.", "To mend it: homectl repair USER";
    TableOfAnother, PartitionTable, Broken, "The partition belongs to another home.", "Put the right image there.";
    HeadersSound, Header, Sound, "Both copies of the encryption header are sound.", "";
    FirstHeaderDamaged, Header, Wrong, "The first copy of the encryption header is damaged; the second one is sound.", "To mend it: homectl repair USER";
    SecondHeaderDamaged, Header, Wrong, "The second copy of the encryption header is damaged; the first one is sound.", "To mend it: homectl repair USER";
    HeadersDiffer, Header, Wrong, "The copies of the encryption header are of different age.", "To mend it: homectl repair USER";
    HeadersDamaged, Header, Broken, "Both copies of the encryption header are damaged or missing: without one nobody can decrypt the home.", "Restore the image, or its first 17 MiB, from a backup.";
    HeaderNewer, Header, Broken, "The record in the encryption header is in the form of a newer systemd, which is not known here. The home is not damaged.", "Open it with that systemd, or with a newer homed.";
    HeaderOfAnother, Header, Broken, "The encryption header is not the one this machine knows.", "Put the right image there; or, if it is right, have it known anew: homectl unregister USER";
    SlotsSound, KeySlots, Sound, "There is a key slot for each password and key of the record.", "";
    SlotsNone, KeySlots, Broken, "There are no key slots: no password opens the home.", "Restore the image, or its first 17 MiB, from a backup.";
    SlotsDoNotFit, KeySlots, Wrong, "There are not as many key slots as passwords and keys in the record.", "It is put right when the password is changed: homectl passwd USER";
    KeyChangeCutShort, KeySlots, Wrong, "A change of passwords or keys was cut short.", "It is finished or taken back at the next login, or now: homectl repair USER";
    PasswordNotGiven, KeySlots, Note, "No password was given: what lies behind it was not looked at.", "";
    PasswordSound, KeySlots, Sound, "The password opens a key slot, and is that of the record.", "";
    PasswordOfSlotOnly, KeySlots, Wrong, "The password opens a key slot, and is not that of the record.", "Log in, and give the other password too when asked; both are the same then.";
    PasswordOfRecordOnly, KeySlots, Wrong, "The password is that of the record, and opens no key slot.", "Log in, and give the other password too when asked; both are the same then.";
    RecordsAgree, Records, Sound, "All copies of the record that were looked at say the same.", "";
    HostRecordMissing, Records, Wrong, "This machine has no record of the home.", "It is taken over at the first login.";
    HostRecordOlder, Records, Wrong, "This machine's record is older than the home's.", "It follows at the next login, or now: homectl repair USER";
    HeaderRecordMissing, Records, Wrong, "There is no record in the encryption header.", "It is written at the next login, or now: homectl repair USER";
    HeaderRecordUnreadable, Records, Wrong, "The record in the encryption header cannot be read.", "It is written anew at the next login, or now: homectl repair USER";
    HeaderRecordUntrusted, Records, Broken, "The record in the encryption header is not signed by a key this machine trusts.", "Add that machine's key: homectl add-signing-key FILE";
    HeaderRecordOlder, Records, Wrong, "The record in the encryption header is older than another copy.", "It follows at the next login, or now: homectl repair USER";
    HomeRecordUnreadable, Records, Wrong, "The record in the home (.identity) is missing or cannot be read.", "It is written anew at the next login, or now: homectl repair USER";
    HomeRecordUntrusted, Records, Wrong, "The record in the home (.identity) is not signed by a key this machine trusts.", "It is written anew at the next login, or now: homectl repair USER";
    HomeRecordOlder, Records, Wrong, "The record in the home (.identity) is older than another copy.", "It follows at the next login, or now: homectl repair USER";
    FileSystemSound, FileSystem, Sound, "The file system is sound.", "";
    FileSystemOpen, FileSystem, Note, "The file system is in use, and was not checked.", "Close the home to have it checked: homectl deactivate USER";
    FileSystemNotVouched, FileSystem, Note, "The file system was not looked at: no record signed by a key this machine trusts vouches for it.", "Add that machine's key: homectl add-signing-key FILE. To look at it all the same, to be read only: homectl rescue USER";
    FileSystemUnsettled, FileSystem, Note, "The file system was cut off while it was in use, and was not checked: opening it puts it right.", "";
    FileSystemNoChecker, FileSystem, Note, "The file system was not checked: the program for it is not installed.", "Install it.";
    FileSystemUnknown, FileSystem, Broken, "There is no file system inside that is known.", "To see what is left: homectl rescue USER";
    FileSystemOfAnother, FileSystem, Broken, "The file system inside is not the one this machine knows.", "Put the right image there.";
    FileSystemErrors, FileSystem, Wrong, "The file system has errors.", "Save the files first: homectl rescue USER. Then: homectl repair --file-system USER";
    FileSystemNotMounted, FileSystem, Broken, "The file system cannot be mounted.", "To see what is left: homectl rescue USER. Then: homectl repair --file-system USER";
    FileSystemNoHome, FileSystem, Broken, "There is no home directory inside the file system.", "To see what is there: homectl rescue USER";
    MarkedDirty, Leftovers, Wrong, "The home was not closed the last time: the machine or the daemon was cut off while it was open.", "The next login settles it, or now: homectl repair USER";
    StaleDevices, Leftovers, Wrong, "A run that was killed has left devices open.", "To close them: homectl repair USER";
    TemporaryImages, Leftovers, Wrong, "A run that was killed has left unfinished images.", "To delete them: homectl repair USER";
    ResizeUnfinished, Leftovers, Wrong, "A change of the home's size was cut short.", "It is finished or taken back at the next login, or now: homectl repair USER";
}

/// One thing found, with what is particular.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// Path, size, number of a slot, or what a program said; empty where there is nothing to add.
    pub detail: String,
}

impl Finding {
    /// Without a particular.
    pub fn plain(kind: Kind) -> Self {
        Self { kind, detail: String::new() }
    }

    /// With one.
    pub fn with(kind: Kind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }
}

/// All that a check has found, or a repair has done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// In the order of the parts.
    pub findings: Vec<Finding>,
    /// What a repair has done or, asked only, would do; in words.
    pub actions: Vec<String>,
}

impl Report {
    /// The worst of what was found.
    pub fn severity(&self) -> Severity {
        self.findings.iter().map(|finding| finding.kind.severity()).max().unwrap_or(Severity::Sound)
    }

    /// In the order of a report.
    pub fn sorted(mut self) -> Self {
        self.findings.sort_by_key(|finding| finding.kind);
        self
    }

    /// As programs read it.
    pub fn to_json(&self) -> serde_json::Value {
        let finding = |finding: &Finding| {
            serde_json::json!({
                "part": finding.kind.part(),
                "kind": finding.kind,
                "severity": finding.kind.severity(),
                "text": finding.kind.words(),
                "detail": finding.detail,
                "advice": finding.kind.advice(),
            })
        };
        serde_json::json!({
            "severity": self.severity(),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "actions": self.actions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_has_an_advice_and_what_is_sound_needs_none() {
        for kind in Kind::ALL {
            match kind.severity() {
                Severity::Sound => assert_eq!(kind.advice(), "", "{kind:?}"),
                Severity::Note => {}
                Severity::Wrong | Severity::Broken => assert_ne!(kind.advice(), "", "{kind:?}"),
            }
        }
    }

    #[test]
    fn a_report_is_as_bad_as_its_worst_and_survives_json() {
        let report = Report {
            findings: vec![
                Finding::plain(Kind::MarkedDirty),
                Finding::with(Kind::ImageSound, "/home/alice.home"),
            ],
            actions: Vec::new(),
        };
        assert_eq!(report.severity(), Severity::Wrong);
        assert_eq!(Report::default().severity(), Severity::Sound);
        let report = report.sorted();
        assert_eq!(report.findings[0].kind, Kind::ImageSound);
        assert_eq!(report.to_json()["findings"][0]["kind"], "imageSound");
        let text = serde_json::to_string(&report).expect("written");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("read"), report);
    }
}
