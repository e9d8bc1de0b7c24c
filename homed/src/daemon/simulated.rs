//! A machine in memory: workers, disks, accounts and state folder, so that the daemon runs without root.
//!
//! Jobs behave as real ones do towards the daemon: they check a password, move the home, give a record.
//! Tests hold them at the door, make them fail, and see what is asked.

use super::link::Staged;
use super::outside::{Outside, Taken};
use super::worker::{Report, Running, Spawner};
use crate::home::effect::{Failed, StartJob};
use crate::home::facts::{Facts, Figures, Mount, Parts, Place, SignedLocally, Storage, Whereabouts};
use crate::job::{Job, Known, Mounted, Outcome, Progress, Reach, RecordChange, Step, Task};
use crate::statedir::Need;
use crate::storage::whereabouts::{self, Found};
use crate::words::request::{KeyOperation, SigningKey};
use crate::words::seal::{Looked, Seal};
use records::refusal::Refused;
use records::{Credentials, Record, Refusal, Secret, UserName};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore, oneshot};

/// The machine; clones share it, so it survives a daemon.
#[derive(Clone)]
pub struct Simulated {
    world: Arc<Mutex<World>>,
    /// A job takes one permit before it works; all are there unless a test takes them.
    door: Arc<Semaphore>,
    began: Arc<Notify>,
}

/// Jobs that may work at once.
const PERMITS: u32 = 1000;

/// All that a real machine would keep.
#[derive(Default)]
struct World {
    disks: BTreeMap<UserName, Whereabouts>,
    passwords: BTreeMap<UserName, Vec<u8>>,
    records: BTreeMap<UserName, Record>,
    keys: BTreeMap<String, String>,
    names_taken: BTreeSet<String>,
    uids_taken: BTreeSet<u32>,
    objects: BTreeSet<u32>,
    no_accounts: bool,
    busy: BTreeSet<UserName>,
    unwritable: bool,
    cannot_forget: bool,
    jobs: Vec<(UserName, &'static str)>,
}

impl Default for Simulated {
    fn default() -> Self {
        Self {
            world: Arc::default(),
            door: Arc::new(Semaphore::new(PERMITS as usize)),
            began: Arc::default(),
        }
    }
}

impl Simulated {
    /// Somebody in the account database.
    pub fn take_account(&self, name: &str, uid: u32) {
        let mut world = self.world();
        world.names_taken.insert(name.to_owned());
        world.uids_taken.insert(uid);
    }

    /// From now on the account database gives no answer.
    pub fn lose_accounts(&self) {
        self.world().no_accounts = true;
    }

    /// A former user of that number left objects in memory.
    pub fn leave_objects(&self, uid: u32) {
        self.world().objects.insert(uid);
    }

    /// From now on jobs wait; the guard lets them go on.
    pub async fn hold_jobs(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.door.clone().acquire_many_owned(PERMITS).await.ok()
    }

    /// The folder for host records can only be read from now on, and who asks is told so.
    pub fn lose_state(&self) {
        self.world().unwritable = true;
    }

    /// It is lost once somebody has asked.
    pub fn lose_state_late(&self) {
        self.world().cannot_forget = true;
    }

    /// Whether somebody uses the home, so that it cannot be unmounted.
    pub fn set_busy(&self, user: &UserName, busy: bool) {
        let mut world = self.world();
        if busy {
            world.busy.insert(user.clone())
        } else {
            world.busy.remove(user)
        };
    }

    /// Storage comes from elsewhere, opened by that password.
    pub fn bring_storage(&self, user: &UserName, password: &str) {
        let mut world = self.world();
        world.disks.insert(user.clone(), Whereabouts { storage: Storage::There, mount: Mount::None });
        world.passwords.insert(user.clone(), password.as_bytes().to_vec());
    }

    /// A worker got as far as mounting, and nobody heard.
    pub fn mount(&self, user: &UserName) {
        self.world().disks.entry(user.clone()).or_default().mount = Mount::Usable;
    }

    /// Waits until such a job has begun.
    pub async fn wait_for(&self, is_it: impl Fn(&UserName, &str) -> bool) {
        let began = self.began.notified();
        tokio::pin!(began);
        loop {
            began.as_mut().enable();
            if self.world().jobs.iter().any(|(user, begun)| is_it(user, begun)) {
                return;
            }
            began.as_mut().await;
            began.set(self.began.notified());
        }
    }

    /// All jobs that were started, in order.
    pub fn jobs(&self) -> Vec<(UserName, &'static str)> {
        self.world().jobs.clone()
    }

    /// Where a home is.
    pub fn where_is(&self, user: &UserName) -> Whereabouts {
        self.world().disks.get(user).copied().unwrap_or_default()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spawner for Simulated {
    fn run(&self, start: StartJob, report: Report, stop: oneshot::Receiver<()>) -> Running {
        let simulated = self.clone();
        simulated.world().jobs.push((start.user.clone(), start.what));
        simulated.began.notify_waiters();
        Box::pin(async move {
            report(Progress { step: Step::Check.words().into(), done: 0, of: 2 });
            // Nobody holds up what is done after a worker that was stopped.
            if matches!(start.job.task, Task::Settle { .. }) {
                return simulated.world().work(&start.job);
            }
            tokio::select! {
                Ok(()) = stop => return Outcome::Stopped,
                permit = simulated.door.acquire() => drop(permit),
            }
            report(Progress { step: Step::Sync.words().into(), done: 1, of: 2 });
            simulated.world().work(&start.job)
        })
    }
}

impl World {
    fn work(&mut self, job: &Job) -> Outcome {
        let user = job.home.user.clone();
        match &job.task {
            Task::Create { uid, .. } => self.create(job, *uid),
            Task::Activate { uid, known } => self.activate(job, *uid, *known),
            Task::Authenticate { .. } => self.checked(job).map_or_else(Outcome::Refused, |()| done(None)),
            Task::ChangePassword { new, .. } => self.change(job, new),
            Task::Update { change, resting } => self.update(job, change, *resting),
            Task::Check { .. } | Task::Repair { .. } => {
                Outcome::Checked { report: Default::default(), record: None, warnings: Vec::new() }
            }
            Task::Rescue { .. } => {
                self.disks.entry(user).or_default().mount = Mount::Usable;
                done(None)
            }
            Task::Deactivate { .. } if self.busy.contains(&user) => {
                Outcome::Refused(Refusal::HomeBusy.into())
            }
            Task::Deactivate { .. } => {
                self.disks.entry(user).or_default().mount = Mount::None;
                done(None)
            }
            Task::Lock { .. } => {
                self.disks.entry(user).or_default().mount = Mount::Suspended;
                done(None)
            }
            Task::Unlock { .. } => self.checked(job).map_or_else(Outcome::Refused, |()| {
                self.disks.entry(user).or_default().mount = Mount::Usable;
                done(None)
            }),
            Task::Resize { resting: crate::job::Mounted::No, .. } => {
                self.checked(job).map_or_else(Outcome::Refused, |()| done(None))
            }
            Task::Snapshot { .. } => {
                Outcome::Told { report: serde_json::json!({ "snapshots": [] }), warnings: Vec::new() }
            }
            Task::Resize { .. } | Task::Settle { .. } | Task::Tend { .. } => done(None),
            Task::GiveUp { .. } => {
                self.disks.entry(user).or_default().mount = Mount::None;
                done(None)
            }
            Task::Remove => {
                self.disks.remove(&user);
                self.records.remove(&user);
                done(None)
            }
        }
    }

    fn create(&mut self, job: &Job, uid: u32) -> Outcome {
        let user = job.home.user.clone();
        let Some(password) = job.credentials.passwords.first() else {
            return Outcome::Refused(Refusal::HomeCantAuthenticate.into());
        };
        self.passwords.insert(user.clone(), password.open().to_vec());
        self.disks.insert(user, Whereabouts { storage: Storage::There, mount: Mount::None });
        self.bind(job, uid)
    }

    fn activate(&mut self, job: &Job, uid: u32, _known: Known) -> Outcome {
        if let Err(refused) = self.checked(job) {
            return Outcome::Refused(refused);
        }
        self.disks.entry(job.home.user.clone()).or_default().mount = Mount::Usable;
        self.bind(job, uid)
    }

    fn change(&mut self, job: &Job, new: &Credentials) -> Outcome {
        if let Err(refused) = self.checked(job) {
            return Outcome::Refused(refused);
        }
        if let Some(password) = new.passwords.first() {
            self.passwords.insert(job.home.user.clone(), password.open().to_vec());
        }
        done(None)
    }

    fn update(&mut self, job: &Job, change: &RecordChange, resting: Mounted) -> Outcome {
        // As the worker does: the host's copy alone takes no secret.
        let on_the_host = change.reach == Reach::HostOnly
            || (resting == Mounted::Yes
                && job.credentials.is_empty()
                && job.record.opens_like(&change.record));
        if let (false, Err(refused)) = (on_the_host, self.checked(job)) {
            return Outcome::Refused(refused);
        }
        let mut record = change.record.clone();
        for section in ["binding", "status"] {
            if let Some(value) = job.record.members().get(section) {
                record = record.with_member(section, value.clone());
            }
        }
        if records::keys::wished_recovery_keys(&record) > 0 {
            record = records::keys::grant_recovery_key(&record, "$y$simulated");
        }
        self.records.insert(job.home.user.clone(), record.clone());
        done(Some(serde_json::Value::Object(record.members().clone())))
    }

    /// Gives the record a UID on this machine and keeps it.
    fn bind(&mut self, job: &Job, uid: u32) -> Outcome {
        let mut binding = serde_json::Map::new();
        binding.insert("uid".into(), uid.into());
        binding.insert("gid".into(), uid.into());
        let record = job.record.with_binding(&job.machine.id, binding);
        self.records.insert(job.home.user.clone(), record.clone());
        done(Some(serde_json::Value::Object(record.members().clone())))
    }

    fn checked(&self, job: &Job) -> Result<(), Refused> {
        let right = self.passwords.get(&job.home.user);
        let is_right = |password: &Secret| right.is_some_and(|right| password.matches(right));
        if job.credentials.passwords.iter().any(is_right) {
            return Ok(());
        }
        Err(Refusal::BadPassword.into())
    }
}

fn done(record: Option<serde_json::Value>) -> Outcome {
    Outcome::Done { record, warnings: Vec::new() }
}

impl Facts for Simulated {
    fn whereabouts(&self, place: &Place) -> Whereabouts {
        self.where_is(&place.user)
    }

    fn parts(&self, _place: &Place) -> Option<Parts> {
        Some(Parts::ALL)
    }

    fn signed_locally(&self, _record: &Record) -> Option<SignedLocally> {
        Some(SignedLocally::Yes)
    }
}

impl Outside for Simulated {
    fn look(&self, place: &Place) -> Found {
        let storage = match self.where_is(&place.user).storage {
            Storage::Missing => whereabouts::Storage::Missing,
            Storage::There | Storage::Unanswered => whereabouts::Storage::There,
            Storage::Dirty => whereabouts::Storage::Dirty,
        };
        Found { storage, spot: None }
    }

    fn figures(&self, _place: &Place) -> Figures {
        Figures { size: Some(1 << 30), ..Figures::default() }
    }

    fn seal(&self, place: &Place) -> Seal {
        let locked = self.where_is(&place.user).mount == Mount::Suspended;
        let device = if locked { Looked::Clear } else { Looked::Found("it is not suspended".into()) };
        let clear = || Looked::Clear;
        Seal { device, table: clear(), keyring: clear(), swap: clear(), holders: clear(), kernel: clear() }
    }

    fn name_taken(&self, name: &str) -> bool {
        self.world().names_taken.contains(name)
    }

    fn has_objects(&self, uid: u32) -> bool {
        self.world().objects.contains(&uid)
    }

    fn uid_taken(&self, uid: u32, _own: &UserName) -> Taken {
        let world = self.world();
        match world.uids_taken.contains(&uid) {
            true => Taken::Yes,
            false if world.no_accounts => Taken::Unknown,
            false => Taken::No,
        }
    }

    fn weakness(&self, _user: &UserName, new: &Credentials, _old: Option<&Credentials>) -> Option<String> {
        let short = |password: &Secret| password.open().len() < 8;
        new.passwords.iter().any(short).then(|| "It has fewer than 8 characters.".to_owned())
    }

    fn load(&self) -> Vec<Record> {
        self.world().records.values().cloned().collect()
    }

    fn save(&self, record: &Record) -> Result<Record, String> {
        self.world().records.insert(record.user().clone(), record.clone());
        Ok(record.clone())
    }

    fn load_one(&self, user: &UserName) -> Option<Record> {
        self.world().records.get(user).cloned()
    }

    fn unwritable(&self, _need: Need) -> Option<Refused> {
        self.world().unwritable.then(|| Refused::new(Refusal::NotSupported, "It can only be read."))
    }

    fn forget(&self, user: &UserName) -> Result<(), Failed> {
        if self.world().cannot_forget {
            return Err(Failed::Refused(Refused::new(Refusal::NotSupported, "It can only be read.")));
        }
        self.world().records.remove(user);
        Ok(())
    }

    fn stage(&self, _user: &UserName, blobs: Vec<(String, OwnedFd)>) -> Result<Staged, Failed> {
        let manifest = blobs.into_iter().map(|(name, _)| (name, "0".repeat(64))).collect();
        Ok(Staged { folder: String::new(), manifest })
    }

    fn keys(&self, operation: KeyOperation) -> Result<Vec<SigningKey>, Failed> {
        let mut world = self.world();
        world.keys.entry("local.public".into()).or_insert_with(|| "PEM of this machine".into());
        let key = |(name, pem): (&String, &String)| SigningKey { name: name.clone(), pem: pem.clone() };
        match operation {
            KeyOperation::List => Ok(world.keys.iter().map(key).collect()),
            KeyOperation::Fetch(name) => match world.keys.get_key_value(&name) {
                Some(found) => Ok(vec![key(found)]),
                None => Err(Refusal::NoSuchKey.into()),
            },
            KeyOperation::Add(name, pem) => {
                world.keys.insert(name, pem);
                Ok(Vec::new())
            }
            KeyOperation::Remove(name) => match world.keys.remove(&name) {
                Some(_) => Ok(Vec::new()),
                None => Err(Refusal::NoSuchKey.into()),
            },
        }
    }
}
