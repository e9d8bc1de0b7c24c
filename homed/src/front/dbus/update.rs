//! Changing a record: which permission it takes, and the pictures that come along.

use super::action;
use super::argument::Foreign;
use super::context::{Call, Front, Rule};
use super::error::Error;
use crate::daemon::link::{
    Admitted, Entry, Good, HomeKey, HomeView, Offer, Operation, Part, Reach, RecordChange, Reply, Staged,
};
use crate::daemon::this_machine;
use records::{Record, UserName, own_changes};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use zbus::wire::OwnedFd;

/// Flag of `UpdateHomeEx`: only the host's copy, no authentication.
const OFFLINE: u64 = 1;

/// What came with the call.
pub struct Update {
    /// The new record as it came.
    pub text: String,
    /// All pictures from now on; `None`: they stay.
    pub blobs: Option<HashMap<String, OwnedFd>>,
    /// Flags of the call.
    pub flags: u64,
}

impl Update {
    /// The record alone.
    pub fn of(text: String) -> Self {
        Self { text, blobs: None, flags: 0 }
    }
}

impl Front {
    /// Changes the record of a home: that one, or the one that the record names.
    pub async fn update(&self, call: Call<'_>, home: Option<HomeKey>, update: Update) -> Result<(), Error> {
        let reach = reach(update.flags)?;
        let caller = self.caller(call).await?;
        let _files = self.link.take(Good::File, caller.uid, update.blobs.as_ref().map_or(0, HashMap::len))?;
        let (record, offer) = self.record(call, update.text, Foreign::Refused).await?;
        let key = home.unwrap_or_else(|| HomeKey::Name(record.user().to_string()));
        // Before the files of somebody who may not do it are even read.
        let entry = self.updatable(call, &caller, &key).await?;
        let view = &entry.view;
        let (record, staged) = match update.blobs {
            Some(blobs) => {
                let manifest = known_manifest(view);
                let known = (&view.unix.name, manifest.as_ref());
                self.with_blobs(&caller, known, record, blobs).await?
            }
            None => (with_known_blobs(view, record)?, None),
        };
        let blobs = staged.as_ref().map(|staged| staged.folder.clone());
        let change = RecordChange { record, blobs, reach, part: Part::Whole };
        let done = self.enforce(call, &caller, (key, view), change, offer).await;
        // Taken on by the worker by now, or of no use.
        drop(staged);
        done
    }

    /// The home, for whoever may change its record: its owner, and whom polkit lets.
    pub async fn updatable(
        &self,
        call: Call<'_>,
        caller: &Admitted,
        key: &HomeKey,
    ) -> Result<Arc<Entry>, Error> {
        let entry = self.link.look(caller, key)?;
        if !is_owner(caller, &entry.view) {
            self.permit(call, caller, Rule::Polkit(action::UPDATE), Some(key)).await?;
        }
        Ok(entry)
    }

    /// Puts a record in force, where an owner may change what it changes.
    pub async fn enforce(
        &self,
        call: Call<'_>,
        caller: &Admitted,
        (key, view): (HomeKey, &HomeView),
        change: RecordChange,
        offer: Offer,
    ) -> Result<(), Error> {
        if is_owner(caller, view) {
            let action = owners_action(view, &change.record)?;
            self.permit(call, caller, Rule::Polkit(action), Some(&key)).await?;
        }
        self.ask(call, caller, Operation::Update(key, Box::new(change), offer)).await.map(|_| ())
    }

    /// Takes the pictures in: the record that names them, and where they are, if they are others than
    /// those that are known of the user.
    pub async fn with_blobs(
        &self,
        caller: &Admitted,
        (user, known): (&UserName, Option<&Value>),
        record: Record,
        blobs: HashMap<String, OwnedFd>,
    ) -> Result<(Record, Option<Staged>), Error> {
        let blobs = blobs.into_iter().map(|(name, fd)| (name, fd.into())).collect();
        let staged = match self.link.ask(caller, Operation::Stage(user.clone(), blobs)).await? {
            Reply::Staged(staged) => staged,
            other => return Err(Error::unexpected(format!("the loop answered {other:?}"))),
        };
        let manifest = (!staged.manifest.is_empty()).then(|| serde_json::json!(staged.manifest));
        let record = match record.members().get("blobManifest") {
            named if named == manifest.as_ref() => record,
            Some(_) => return Err(Error::invalid("The record's blobManifest does not fit the blobs.")),
            None => manifest
                .clone()
                .map_or(record.clone(), |manifest| record.with_member("blobManifest", manifest)),
        };
        let same = manifest.as_ref() == known;
        Ok((record, (!same).then_some(staged)))
    }
}

/// Whether the caller is the home's owner; root is nobody's.
fn is_owner(caller: &Admitted, view: &HomeView) -> bool {
    caller.uid != 0 && caller.uid == view.unix.uid
}

fn reach(flags: u64) -> Result<Reach, Error> {
    match flags {
        0 => Ok(Reach::Everywhere),
        OFFLINE => Ok(Reach::HostOnly),
        _ => Err(Error::invalid("The only flag that is known is 1 (offline).")),
    }
}

/// Owners change of their own record what it lets them without an administrator.
fn owners_action(view: &HomeView, record: &Record) -> Result<&'static str, Error> {
    let machine = this_machine().map_err(Error::unexpected)?;
    let own = own_changes::only_self_modifiable(&view.record.open(), record, &machine);
    Ok(if own { action::UPDATE_BY_OWNER } else { action::UPDATE })
}

fn known_manifest(view: &HomeView) -> Option<Value> {
    view.record.open().members().get("blobManifest").cloned()
}

/// The record with the pictures there are: a client that knows of none leaves them as they are.
fn with_known_blobs(view: &HomeView, record: Record) -> Result<Record, Error> {
    let is_signed = record.members().contains_key("signature");
    match (record.members().get("blobManifest"), known_manifest(view)) {
        (named, known) if named == known.as_ref() => Ok(record),
        (None, Some(known)) if !is_signed => Ok(record.with_member("blobManifest", known)),
        (None, _) => Ok(record),
        (Some(_), _) => Err(Error::invalid("The record names blobs that did not come with it.")),
    }
}
