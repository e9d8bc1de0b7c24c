//! Greeters ask AccountsService whom to offer. Before version 26 it lists whom it has seen log in, and nobody whose home is
//! new; it does not know where homed keeps pictures either. So it is told.
//!
//! ```text
//! a signal of homed → the homes → plan: what is next → AccountsService, ledger → … until nothing is left
//! ```
//!
//! What was told is noted (`ledger.rs`): it goes with the home, and with the package. What AccountsService has of others stays.

mod ledger;
pub mod plan;
mod service;

use crate::Done;
use crate::homed::{self, Homes};
use futures_util::{Stream, StreamExt};
use ledger::{FOLDER, Kept};
use plan::{Act, Entry, File, Home, Ledger, next};
use records::{MachineId, UserName};
use service::Accounts;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use zbus::Connection;
use zbus::message::Message;

/// What is said in one go is taken in together: for so long nothing more must have come.
const QUIET: Duration = Duration::from_millis(300);
/// Nobody waits longer for it to become quiet.
const LONGEST: Duration = Duration::from_secs(3);
/// How long is waited for an answer on the bus.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who tells AccountsService what.
struct Teller {
    accounts: Accounts,
    kept: Kept,
    ledger: Ledger,
    /// Whether AccountsService asks homed itself; `None`: nobody knows yet.
    asks_homed: Option<bool>,
}

/// Keeps AccountsService like the set of homes, until it asks homed itself.
pub async fn follow() -> Done {
    let machine = MachineId::parse(std::fs::read_to_string("/etc/machine-id")?.trim())?;
    // A connection of their own: signals that nobody has time for hold up no answers.
    let mut signals = homed::signals(&connect().await?).await?;
    let bus = connect().await?;
    let mut homes = Homes::new(bus.clone(), machine);
    let mut teller = Teller::new(bus)?;
    let mut touched = BTreeSet::new();
    loop {
        match homes.all(&touched).await {
            Ok(homes) if teller.is_needed(&homes).await => teller.tell(&homes).await?,
            Ok(_) => return teller.withdraw().await,
            // It is started again, and says so.
            Err(error) => tell!("homed does not say which homes there are: {error}"),
        }
        touched = heard(&mut signals).await.ok_or("the bus has closed the connection")?;
    }
}

/// Waits until something is said, and then until it is quiet; whom it was about. `None`: nobody will say anything any more.
async fn heard(
    signals: &mut (impl Stream<Item = zbus::Result<Message>> + Unpin),
) -> Option<BTreeSet<String>> {
    let mut about: BTreeSet<String> = homed::about(&signals.next().await?.ok()?).into_iter().collect();
    let more = async {
        while let Ok(Some(Ok(message))) = timeout(QUIET, signals.next()).await {
            about.extend(homed::about(&message));
        }
    };
    // What comes later is heard the next time.
    let _ = timeout(LONGEST, more).await;
    Some(about)
}

async fn connect() -> zbus::Result<Connection> {
    bus::system().await?.method_timeout(PATIENCE).build().await
}

/// Takes back all that AccountsService was told: the package goes, and nobody can log in to a home any more.
pub async fn withdraw() -> Done {
    if let Ok(bus) = connect().await {
        return Teller::new(bus)?.withdraw().await;
    }
    // A system that is not running.
    let kept = Kept::at(Path::new(FOLDER));
    let ledger = kept.read()?;
    ours(&ledger).try_for_each(service::forget_files)?;
    Ok(kept.remove()?)
}

fn ours(ledger: &Ledger) -> impl Iterator<Item = &UserName> {
    ledger.iter().filter(|(_, entry)| entry.file == File::Ours).map(|(user, _)| user)
}

impl Teller {
    fn new(bus: Connection) -> std::io::Result<Self> {
        let kept = Kept::at(Path::new(FOLDER));
        let ledger = kept.read()?;
        Ok(Self { accounts: Accounts(bus), kept, ledger, asks_homed: None })
    }

    /// Whether it has to be told; any user of homed's shows that.
    async fn is_needed(&mut self, homes: &[Home]) -> bool {
        if self.asks_homed.is_none()
            && let Some(home) = homes.first()
        {
            self.asks_homed = self.accounts.asks_homed(&home.user).await.ok();
        }
        self.asks_homed != Some(true)
    }

    /// One thing after the other, until nothing is left that works.
    async fn tell(&mut self, homes: &[Home]) -> std::io::Result<()> {
        let mut failed = BTreeSet::new();
        while let Some(act) = next(homes, &self.ledger, &failed) {
            if let Err(error) = self.perform(&act).await? {
                tell!("{}: AccountsService did not take it: {error}", act.user());
                failed.insert(act.user().clone());
            }
        }
        Ok(())
    }

    /// Does it, and notes that it is done; within: what AccountsService said against it.
    async fn perform(&mut self, act: &Act) -> std::io::Result<zbus::Result<()>> {
        match act {
            Act::List(user, real_name) => {
                if !self.ledger.contains_key(user) {
                    let file = if service::knows(user) { File::Theirs } else { File::Ours };
                    self.ledger.insert(user.clone(), Entry { file, ..Entry::default() });
                    self.kept.write(&self.ledger)?;
                }
                let listed = self.accounts.list(user).await;
                if listed.is_ok() {
                    self.note(user, |entry| (entry.listed, entry.real_name) = (true, real_name.clone()))?;
                }
                Ok(listed)
            }
            Act::Reread(user, real_name) => {
                let reread = self.accounts.reread().await;
                self.note(user, |entry| entry.real_name = real_name.clone())?;
                Ok(reread)
            }
            Act::Picture(user, picture) => {
                // One that was there before the user was listed stays, until the record has another one.
                let is_first = |entry: &Entry| entry.file == File::Theirs && entry.picture.is_none();
                let shown = match self.ledger.get(user).is_some_and(is_first) && service::has_picture(user) {
                    true => Ok(()),
                    false => self.accounts.show(user, &picture.path).await,
                };
                // One that it does not like is not offered again.
                if matches!(shown, Ok(()) | Err(zbus::Error::MethodError(..))) {
                    self.note(user, |entry| entry.picture = Some(picture.digest.clone()))?;
                }
                Ok(shown)
            }
            Act::NoPicture(user) => {
                let taken = self.accounts.show(user, Path::new("")).await;
                if matches!(taken, Ok(()) | Err(zbus::Error::MethodError(..))) {
                    self.note(user, |entry| entry.picture = None)?;
                }
                Ok(taken)
            }
            Act::Unlist(user) => {
                if self.ledger.get(user).is_some_and(|entry| entry.file == File::Ours) {
                    self.accounts.forget(user).await?;
                }
                self.ledger.remove(user);
                self.kept.write(&self.ledger)?;
                Ok(Ok(()))
            }
        }
    }

    fn note(&mut self, user: &UserName, change: impl FnOnce(&mut Entry)) -> std::io::Result<()> {
        change(self.ledger.entry(user.clone()).or_default());
        self.kept.write(&self.ledger)
    }

    async fn withdraw(self) -> Done {
        for user in ours(&self.ledger) {
            self.accounts.forget(user).await?;
        }
        Ok(self.kept.remove()?)
    }
}
