//! What the manager's methods have in common: asking the loop, and turning its answers into the bus's.

use super::Manager;
use crate::daemon::link::{
    Entry, Good, HomeKey, HomeView, KeyOperation, Offer, Operation, Reply, SigningKey,
};
use crate::front::dbus::action;
use crate::front::dbus::argument::Foreign;
use crate::front::dbus::context::{Call, Front, Rule, visible};
use crate::front::dbus::error::Error;
use records::Refusal;
use records::refusal::Refused;
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
    let all = front.link.list(&front.link.ourselves());
    let row = |view: &HomeView| Some(("seat0".to_owned(), view.unix.name.to_string(), path(view).ok()?));
    all.auto_logins().filter_map(|entry| row(&entry.view)).collect()
}

/// Who may do it: a home's owner, or whoever polkit lets.
pub(super) const TO_ACTIVATE: Rule = Rule::OwnerOrPolkit(action::ACTIVATE);
pub(super) const TO_AUTHENTICATE: Rule = Rule::OwnerOrPolkit(action::AUTHENTICATE);
pub(super) const TO_PASSWD: Rule = Rule::OwnerOrPolkit(action::PASSWD);
/// The same, and its owner is no better than others.
pub(super) const TO_CREATE: Rule = Rule::Polkit(action::CREATE);
pub(super) const TO_REMOVE: Rule = Rule::Polkit(action::REMOVE);
pub(super) const TO_RESIZE: Rule = Rule::Polkit(action::RESIZE);

/// What opens a home, with a secret.
pub(super) struct Opened {
    pub user_name: String,
    pub secret: String,
    pub by: fn(HomeKey, Offer) -> Operation,
}

impl Manager {
    /// What root alone may do, and gives nothing back.
    pub(super) async fn as_root(&self, call: Call<'_>, operation: Operation) -> Result<(), Error> {
        self.0.done(call, Rule::Root, None, operation).await
    }

    /// A home that was elsewhere is known here.
    pub(super) async fn registered(&self, call: Call<'_>, operation: Operation) -> Result<(), Error> {
        self.0.done(call, TO_CREATE, None, operation).await
    }

    /// What the rule lets be done to that home, and gives nothing back.
    pub(super) async fn managed(
        &self,
        call: Call<'_>,
        rule: Rule,
        user_name: String,
        operation: impl FnOnce(HomeKey) -> Operation,
    ) -> Result<(), Error> {
        let key = name(user_name);
        self.0.done(call, rule, Some(key.clone()), operation(key)).await
    }

    pub(super) async fn opened(&self, call: Call<'_>, rule: Rule, opened: Opened) -> Result<(), Error> {
        let offer = self.0.offer(call, opened.secret).await?;
        self.managed(call, rule, opened.user_name, |key| (opened.by)(key, offer)).await
    }

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
        self.0.permit(call, &caller, TO_CREATE, None).await?;
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

    pub(super) async fn key(&self, call: Call<'_>, name: String) -> Result<SigningKey, Error> {
        let keys = self.keys(call, Rule::Anyone, KeyOperation::Fetch(name)).await?;
        Ok(keys.into_iter().next().ok_or_else(|| Refused::from(Refusal::NoSuchKey))?)
    }

    pub(super) async fn change_keys(&self, call: Call<'_>, operation: KeyOperation) -> Result<(), Error> {
        self.keys(call, Rule::Polkit(action::KEYS), operation).await.map(drop)
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
