//! What the manager's methods have in common: asking the loop, and turning its answers into the bus's.

use super::Manager;
use crate::daemon::link::{Entry, Good, HomeKey, HomeView, KeyOperation, Operation, Reply, SigningKey};
use crate::daemon::this_machine;
use crate::front::dbus::action;
use crate::front::dbus::argument::Foreign;
use crate::front::dbus::context::{Call, Front, Rule, visible};
use crate::front::dbus::error::Error;
use std::collections::HashMap;
use std::sync::Arc;
use zbus::wire::{OwnedFd, OwnedObjectPath};

/// name, uid, state, gid, realName, homeDir, shell, path.
pub(super) type Row = (String, u32, String, u32, String, String, String, OwnedObjectPath);

/// seat, user, path.
pub(in crate::front::dbus) type AutoLogin = (String, String, OwnedObjectPath);

/// Who is to be logged in without a question where the machine starts. Which seat else a home belongs to is told by the
/// device that it lies on; homes in image files belong to the first.
pub(in crate::front::dbus) fn auto_login(front: &Front) -> Vec<AutoLogin> {
    let Ok(machine) = this_machine() else { return Vec::new() };
    let all = front.link.list(&front.link.ourselves());
    all.all()
        .filter(|entry| entry.view.record.on(&machine).auto_login == Some(true))
        .filter_map(|entry| {
            let name = entry.view.unix.name.to_string();
            Some(("seat0".to_owned(), name, path(&entry.view).ok()?))
        })
        .collect()
}

impl Manager {
    pub(super) async fn look(&self, call: Call<'_>, key: HomeKey) -> Result<Arc<Entry>, Error> {
        let caller = self.0.caller(call).await?;
        Ok(self.0.link.look(&caller, &key)?)
    }

    pub(super) async fn rows(&self, call: Call<'_>) -> Result<Vec<Row>, Error> {
        let caller = self.0.caller(call).await?;
        self.0.link.list(&caller).all().map(|entry| row(&entry.view)).collect()
    }

    pub(super) async fn user_record(
        &self,
        call: Call<'_>,
        key: HomeKey,
    ) -> Result<(String, bool, OwnedObjectPath), Error> {
        let caller = self.0.caller(call).await?;
        let entry = self.0.link.look(&caller, &key)?;
        let record = self.0.link.with_sizes(&entry).await;
        let (json, incomplete) = visible(&entry.view, &record, caller.uid);
        Ok((json, incomplete, path(&entry.view)?))
    }

    pub(super) async fn create(
        &self,
        call: Call<'_>,
        text: String,
        blobs: HashMap<String, OwnedFd>,
    ) -> Result<(), Error> {
        let caller = self.0.caller(call).await?;
        let _files = self.0.link.take(Good::File, caller.uid, blobs.len())?;
        // Asked first: a ticket of somebody who may not do it is not used up, a record not even read.
        self.0.permit(call, &caller, Rule::Polkit(action::CREATE), None).await?;
        let (record, offer) = self.0.record(call, text, Foreign::Refused).await?;
        let user = record.user().clone();
        let (record, staged) = match blobs.is_empty() && !record.members().contains_key("blobManifest") {
            true => (record, None),
            false => self.0.with_blobs(&caller, (&user, None), record, blobs).await?,
        };
        let folder = staged.as_ref().map(|staged| staged.folder.clone());
        let done = self.0.ask(call, &caller, Operation::Create(Box::new(record), folder, offer)).await;
        // Taken on by the worker by now, or of no use.
        drop(staged);
        done.map(|_| ())
    }

    pub(super) async fn keys(
        &self,
        call: Call<'_>,
        rule: Rule,
        operation: KeyOperation,
    ) -> Result<Vec<SigningKey>, Error> {
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, rule, None).await?;
        match self.0.ask(call, &caller, Operation::Keys(operation)).await? {
            Reply::Keys(keys) => Ok(keys),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }
}

pub(super) fn name(name: String) -> HomeKey {
    HomeKey::Name(name)
}

pub(super) fn row(view: &HomeView) -> Result<Row, Error> {
    let unix = view.unix.clone();
    Ok((
        unix.name.to_string(),
        unix.uid,
        view.state.name().to_owned(),
        unix.gid,
        unix.real_name,
        unix.home_directory,
        unix.shell,
        path(view)?,
    ))
}

fn path(view: &HomeView) -> Result<OwnedObjectPath, Error> {
    OwnedObjectPath::try_from(super::super::path(&view.unix.name)).map_err(Error::unexpected)
}
