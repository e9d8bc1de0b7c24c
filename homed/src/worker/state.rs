//! The host's side of a home: its record, the keys it is judged and signed by.

use crate::job::{Context, Failure, Job};
use crate::statedir::Folders;
use crate::storage::Spec;
use crate::storage::site::Neighbour;
use records::Record;
use records::signature::{PrivateKey, Trust, Worth};
use records::stranger::{self, Strangers};
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whose signatures count on this machine. Key files that cannot be used are the daemon's to report.
pub fn trust(job: &Job) -> Result<Trust, Failure> {
    let (trust, _unusable) = Folders::default().trust().during("reading the keys this machine trusts")?;
    Ok(Trust { strangers: job.strangers, ..trust })
}

/// What of a host record is believed here.
pub fn believed(job: &Job, host: &Record) -> Result<Record, Failure> {
    let is_restricted = job.strangers != Strangers::Yes && trust(job)?.worth(host) == Worth::Stranger;
    Ok(if is_restricted { stranger::believed(host, &job.machine) } else { host.clone() })
}

/// The key this machine signs with; made now if there is none.
pub fn private_key() -> Result<PrivateKey, Failure> {
    let seed = || {
        let mut seed = [0; 32];
        openssl::rand::rand_priv_bytes(&mut seed).map_err(io::Error::other)?;
        Ok(seed)
    };
    Folders::default().private_key_or_new(seed).during("reading this machine's private key")
}

/// Where the other homes lie that this machine knows.
pub fn neighbours(job: &Job) -> Result<Vec<Neighbour>, Failure> {
    let (records, _unusable) = Folders::default().load_all().during("reading the records of this machine")?;
    let others = records.iter().filter(|record| record.user() != job.record.user());
    // A record of a kind that cannot be opened here has no place either.
    Ok(others
        .filter_map(|record| Spec::of(record, &job.machine).ok())
        .map(|spec| Neighbour::of(&spec))
        .collect())
}

/// Writes the host's record, durably: that of the job's user, and of nobody else.
pub fn save(job: &Job, record: &Record) -> Result<(), Failure> {
    if *record.user() != job.home.user {
        return Err(Failure::fault(format!("the record is that of {}", record.user())));
    }
    let folders = Folders::default();
    folders.save(record).during("writing the record of this machine")?;
    // Without it some clients cannot change the record; a cache that cannot be written is not worth more.
    let _ = folders.make_blob_folder(record.user());
    Ok(())
}

/// What is in the state folder is on disk.
pub fn flush() -> Result<(), Failure> {
    Folders::default().flush().during("writing the records of this machine to disk")
}

/// Where this machine keeps the user's pictures.
pub fn blob_folder(record: &Record) -> String {
    Folders::default().blob_folder(record.user()).display().to_string()
}

/// Where a repair keeps what it writes over, under names that no other has.
#[derive(Debug, Clone, Copy)]
pub struct Backups {
    seconds: u64,
}

impl Backups {
    /// Those of now, or of the next second that nothing is called by.
    pub fn now(record: &Record) -> Result<Self, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).during("reading the clock")?.as_secs();
        let free = Folders::default().free_second(record.user(), now);
        Ok(Self { seconds: free.during("looking for what repairs have kept")? })
    }

    /// That of the storage's tables, marks and headers.
    pub fn storage(self, record: &Record) -> PathBuf {
        Folders::default().backup_path(record.user(), self.seconds)
    }

    /// Name of that of the record in the home, beside it.
    pub fn identity(self) -> String {
        format!(".identity.{}.backup", self.seconds)
    }

    /// Keeps the record of this machine; where it is, if there is one.
    pub fn keep_host(self, record: &Record) -> Result<Option<PathBuf>, Failure> {
        let kept = Folders::default().keep_record(record.user(), self.seconds);
        kept.during("keeping the record of this machine as it was")
    }
}

/// Removes the pictures on this machine.
pub fn forget_blobs(record: &Record) -> Result<(), Failure> {
    Folders::default().remove_blobs(record.user()).during("removing the pictures on this machine")
}
