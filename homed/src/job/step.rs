//! The steps of a job: what a progress bar shows and where a fault point can be set.

use super::Failure;

macro_rules! steps {
    ($( $variant:ident, $name:literal, $words:literal; )*) => {
        /// One step. Steps of a job are entered in the order of its own table, not of this one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Step { $( #[doc = $words] $variant, )* }

        impl Step {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The name in logs and fault points.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// What the user reads.
            pub fn words(self) -> &'static str {
                match self { $( Self::$variant => $words, )* }
            }
        }
    };
}

steps! {
    Check, "check", "Checking";
    Allocate, "allocate", "Allocating disk space";
    Partition, "partition", "Writing the partition table";
    MarkOpen, "mark-open", "Marking the image as open";
    Attach, "attach", "Attaching the image";
    MakeMapped, "make-mapped", "Making the encrypted device";
    BlankMapped, "blank-mapped", "Preparing the encrypted device";
    HoldMapped, "hold-mapped", "Holding the encrypted device";
    MarkMapped, "mark-mapped", "Having the encrypted device go with its user";
    KeyMapped, "key-mapped", "Giving the encrypted device its key";
    StartMapped, "start-mapped", "Starting the encrypted device";
    Format, "format", "Formatting encrypted storage";
    MarkKeys, "mark-keys", "Noting the change of key slots";
    AddKeys, "add-keys", "Adding key slots";
    AskTokens, "ask-tokens", "Asking security tokens";
    Unlock, "unlock", "Unlocking";
    ReadCopies, "read-copies", "Reading the user record";
    MakeFileSystem, "make-file-system", "Making the file system";
    CheckFileSystem, "check-file-system", "Checking the file system";
    Backup, "backup", "Keeping what was there";
    ForgetElsewhere, "forget-elsewhere", "Taking away the mark of another machine";
    RebuildHeader, "rebuild-header", "Writing the encryption header anew";
    RepairFileSystem, "repair-file-system", "Repairing the file system";
    Mount, "mount", "Mounting";
    Populate, "populate", "Filling the home directory";
    CopyOriginal, "copy-original", "Copying the files of the account";
    CompareOriginal, "compare-original", "Comparing the copy with the original";
    WriteHeader, "write-header", "Writing the record into the header";
    WriteIdentity, "write-identity", "Writing the record into the home";
    WriteHost, "write-host", "Writing the record of this machine";
    PublishBlobs, "publish-blobs", "Putting pictures in place";
    WriteBlobs, "write-blobs", "Copying pictures";
    SwitchKeys, "switch-keys", "Switching to the new key slots";
    DropKeys, "drop-keys", "Removing old key slots";
    ForgetMark, "forget-mark", "Noting the end of the change of key slots";
    Expose, "expose", "Making the home visible";
    Sync, "sync", "Writing everything to disk";
    Publish, "publish", "Putting the image in place";
    Unmount, "unmount", "Unmounting";
    Detach, "detach", "Closing the image";
    Snapshot, "snapshot", "Working on snapshots";
    Trim, "trim", "Giving back unused space";
    Delete, "delete", "Deleting";
    RemoveMountPoint, "remove-mount-point", "Removing the directory that the home was mounted at";
    RemoveBlobs, "remove-blobs", "Removing pictures";
    RemoveBackups, "remove-backups", "Removing what repairs have kept";
    RemoveHost, "remove-host", "Removing the record of this machine";
    FreezeUser, "freeze-user", "Freezing the user's processes";
    Cover, "cover", "Covering the home directory";
    Evict, "evict", "Dropping the home's data from memory";
    FreezeFileSystem, "freeze-file-system", "Freezing the file system";
    FlushDevice, "flush-device", "Flushing the encrypted device";
    ClearTable, "clear-table", "Clearing a second table of the device";
    SuspendDevice, "suspend-device", "Stopping the encrypted device";
    WipeKey, "wipe-key", "Taking the key out of memory";
    RevokeKey, "revoke-key", "Taking the key out of the keyring";
    RemoveDevice, "remove-device", "Removing a device that was left";
    Scrub, "scrub", "Overwriting free memory";
    ResumeDevice, "resume-device", "Putting the key back";
    Uncover, "uncover", "Uncovering the home directory";
    ThawFileSystem, "thaw-file-system", "Thawing the file system";
    AskBarriers, "ask-barriers", "Restoring the options of the file system";
    KeepKey, "keep-key", "Keeping the key for changes of size";
    ThawUser, "thaw-user", "Letting the user's processes go on";
    KillUser, "kill-user", "Ending the user's processes";
    NoteResize, "note-resize", "Noting the change of size";
    Extend, "extend", "Extending the image";
    SecondTable, "second-table", "Writing the second partition table";
    FirstTable, "first-table", "Writing the first partition table";
    ResizeLoop, "resize-loop", "Resizing the loop device";
    ResizeMapped, "resize-mapped", "Resizing the encrypted device";
    GrowFileSystem, "grow-file-system", "Growing the file system";
    ShrinkFileSystem, "shrink-file-system", "Shrinking the file system";
    CutFile, "cut-file", "Cutting off the end of the image";
    ForgetResize, "forget-resize", "Noting the end of the change of size";
    CutOff, "cut-off", "Cutting off the encrypted device";
    MakeSwap, "make-swap", "Making encrypted swap space";
    SwapOut, "swap-out", "Moving the processes' memory to swap";
    SuspendSwap, "suspend-swap", "Taking the key of the swap space out of memory";
    ResumeSwap, "resume-swap", "Putting the key of the swap space back";
    BringBack, "bring-back", "Bringing the processes' memory back";
}

/// How much of something was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// So many bytes.
    pub done: u64,
    /// Of so many.
    pub of: u64,
}

/// Whoever hears of steps: the worker's reporter, or a test.
pub trait Steps {
    /// A step begins. An error (a fault point, a daemon that has gone away) ends the job.
    fn enter(&mut self, step: Step) -> Result<(), Failure>;
    /// How far a step is that takes long, in bytes.
    fn copied(&mut self, _bytes: Copied) -> Result<(), Failure> {
        Ok(())
    }
    /// Something went less well than it should; the job goes on.
    fn warn(&mut self, text: String);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_different() {
        let names: BTreeSet<_> = Step::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(names.len(), Step::ALL.len());
    }
}
