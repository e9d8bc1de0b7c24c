//! What is asked of file systems before the loop takes what depends on it: all of it on threads aside ([`super::aside`]).

use super::aside::{self, Gate};
use super::events::Happened;
use super::link::{Call, Failure};
use super::run::Daemon;
use super::{ground, scan};
use crate::home::GroupId;
use crate::home::effect::{Event, Found};
use crate::home::facts::Place;
use crate::lookup::News;
use crate::statedir::Need;
use crate::words::request::{Caller, Operation, RequestId};
use records::refusal::Refused;
use records::{Refusal, UserName};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// How long is waited for the folder of homes, where it is asked for all there is.
const ROOT: Duration = Duration::from_secs(10);

/// What is being looked at.
#[derive(Default)]
pub(super) struct Looks {
    /// Calls that wait until the storage of these homes was looked at, and were not abandoned.
    waiting: HashMap<RequestId, Vec<UserName>>,
    /// All homes are looked at, and whether something has changed since that was begun.
    sweep: Option<Stale>,
    /// Those who look at the home root.
    pub(super) root: Gate,
    /// Those who look at what somebody has named.
    named: Gate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stale {
    No,
    Yes,
}

impl Daemon {
    /// What is looked at before that is taken, where the answer depends on it: the storage of a home, unless it is open.
    /// Whatever is looked at, the keys are read that its record is judged by.
    pub(super) fn looks_first(&self, operation: &Operation, caller: &Caller) -> Option<Vec<Place>> {
        if matches!(operation, Operation::Create(..) | Operation::Convert(..)) {
            // Nothing lies there yet.
            return Some(Vec::new());
        }
        let closed = self.parts.manager.storage_of(operation, caller).filter(|place| {
            self.parts.facts.begin_turn();
            !self.parts.facts.whereabouts(place).mount.is_there()
        });
        match closed {
            Some(place) => Some(vec![place]),
            None => need(operation).map(|_| Vec::new()),
        }
    }

    /// Takes the call once these were looked at.
    pub(super) fn wait_for_look(&mut self, id: RequestId, places: Vec<Place>, call: Call) {
        self.looks.waiting.insert(id, places.iter().map(|place| place.user.clone()).collect());
        let (ground, events) = (self.ground.clone(), self.events());
        let need = match &call {
            Call::Asked { operation, .. } => need(operation),
            Call::Abandoned(_) => None,
        };
        tokio::spawn(async move {
            ground.read_keys().await;
            ground.ask_before_use(places).await;
            let unwritable = match need {
                Some(need) => ground.unwritable(need).await,
                None => None,
            };
            events.send(Happened::Looked(id, Box::new(call), unwritable));
        });
    }

    /// The daemon ends: calls that wait for a look are not taken any more.
    pub(super) fn take_no_more(&mut self) {
        self.looks.waiting.clear();
    }

    /// What that call depends on was looked at. Its caller may have gone meanwhile.
    pub(super) fn looked(&mut self, id: RequestId, call: Call, unwritable: Option<Refused>) {
        let Some(users) = self.looks.waiting.get(&id).cloned() else { return self.looked_in_vain(&call) };
        users.iter().cloned().for_each(|user| self.take(Event::Seen(user)));
        match (unwritable, call) {
            // Before anything is made or changed.
            (Some(refused), Call::Asked { answer, .. }) => drop(answer.send(Err(Failure::Refused(refused)))),
            (_, call) => self.called_after_look(call),
        }
        self.looks.waiting.remove(&id);
        self.forget_looks(users.iter());
    }

    /// Nobody waits for that call any more.
    fn looked_in_vain(&self, call: &Call) {
        if let Call::Asked { operation, caller, .. } = call {
            let place = self.parts.manager.storage_of(operation, caller);
            self.forget_looks(place.iter().map(|place| &place.user));
        }
    }

    /// Whether that call has waited; it does so no longer.
    pub(super) fn no_longer_waits(&mut self, id: RequestId) -> bool {
        self.looks.waiting.remove(&id).is_some()
    }

    /// Storage was seen at a place of a home, or is not seen there any more.
    pub(super) fn seen(&mut self, event: Event) {
        let place = match &event {
            Event::Found(found) => self.parts.manager.place_of(&found.name.user),
            Event::Vanished(image) => self.parts.manager.place_at(image),
            _ => None,
        };
        let Some(place) = place.cloned() else { return self.take(event) };
        let (ground, events) = (self.ground.clone(), self.events());
        tokio::spawn(async move {
            ground.ask_all(vec![place]).await;
            events.event(event);
        });
    }

    /// File systems of that home have answered after all. What was asked may not have been where it is.
    pub(super) fn answered_late(&mut self, user: UserName) {
        let Some(place) = self.parts.manager.place_of(&user).cloned() else { return };
        if self.ground.is_silent(&place) {
            return self.look_at_places(vec![place]);
        }
        self.take(Event::Seen(user));
    }

    /// All of them on one thread: after a start they may be thousands.
    fn look_at_places(&self, places: Vec<Place>) {
        if places.is_empty() {
            return;
        }
        let (ground, events) = (self.ground.clone(), self.events());
        tokio::spawn(async move {
            let users: Vec<UserName> = places.iter().map(|place| place.user.clone()).collect();
            ground.ask_all(places).await;
            users.into_iter().for_each(|user| events.event(Event::Seen(user)));
        });
    }

    /// What was told of those of them that are gone is nothing to be kept.
    fn forget_looks<'u>(&self, users: impl Iterator<Item = &'u UserName>) {
        let is_gone =
            |user: &&UserName| self.parts.manager.place_of(user).is_none() && !self.is_waited_for(user);
        users.filter(is_gone).for_each(|user| self.ground.forget(user));
    }

    fn is_waited_for(&self, user: &UserName) -> bool {
        self.looks.waiting.values().flatten().any(|waiting| waiting == user)
    }

    /// Looks at storage that somebody has named.
    pub(super) fn look_at_path(&mut self, path: String, id: RequestId) {
        let (gate, events) = (self.looks.named.clone(), self.events());
        tokio::spawn(async move {
            let named = std::path::PathBuf::from(&path);
            let found = aside::once(&gate, ground::BOUND, move || scan::named(&named)).await;
            let found = found.unwrap_or_else(|| {
                let sentence = format!("The file system of {path} gives no answer. Nothing was changed.");
                Err(Refused::new(Refusal::HomeAbsent, sentence))
            });
            events.event(Event::Adopted(found, id));
        });
    }

    /// Something was mounted or unmounted: all homes are looked at, and again if it happens meanwhile.
    pub(super) fn sweep(&mut self) {
        if self.looks.sweep.is_some() {
            self.looks.sweep = Some(Stale::Yes);
            return;
        }
        self.looks.sweep = Some(Stale::No);
        let (ground, events, places) = (self.ground.clone(), self.events(), self.parts.manager.places());
        tokio::spawn(async move {
            ground.ask_all(places).await;
            events.send(Happened::Swept);
        });
    }

    /// All of them were looked at.
    pub(super) fn swept(&mut self) {
        let stale = self.looks.sweep.take() == Some(Stale::Yes);
        self.take(Event::MountsChanged);
        // What was asked of homes that have gone meanwhile.
        self.ground.keep(|user| self.parts.manager.place_of(user).is_some() || self.is_waited_for(user));
        if stale {
            self.sweep();
        }
    }

    /// Homes that look otherwise: what has gone is forgotten, and what has a new place is looked at.
    pub(super) fn look_at_new(&self, news: &[News]) {
        self.forget_looks(news.iter().filter(|(_, view)| view.is_none()).map(|(user, _)| user));
        let places = news.iter().filter_map(|(_, view)| Some(&view.as_ref()?.place));
        self.look_at_places(places.filter(|place| !self.ground.knows(place)).cloned().collect());
    }

    /// Looks at the home root for storage that nobody knows.
    pub(super) fn look_for_storage(&self) {
        let (root, events) = (self.parts.paths.home_root.clone(), self.events());
        let gate = self.looks.root.clone();
        tokio::spawn(async move {
            let plugged = aside::once(&gate, ground::BOUND, scan::plugged).await.unwrap_or_default();
            for found in in_folder(root, &gate).await.into_iter().chain(plugged) {
                events.send(Happened::Seen(Event::Found(found)));
            }
        });
    }

    /// Tells how large homes are. Who gives no answer has no size.
    pub(super) fn measure(&self, id: GroupId, places: Vec<Place>) {
        let (ground, events) = (self.ground.clone(), self.events());
        tokio::spawn(async move {
            let sizes = ground.measure(places).await;
            events.event(Event::Measured(id, sizes));
        });
    }
}

/// What a verb does in the folder for host records. What lets people in, locks and closes does without: of what it
/// could not write there, the next login has the home's own copy.
fn need(operation: &Operation) -> Option<Need> {
    match operation {
        Operation::Create(..)
        | Operation::Convert(..)
        | Operation::Register(_)
        | Operation::ChangePassword { .. }
        | Operation::Update(..)
        | Operation::Repair(..)
        | Operation::Trust(..) => Some(Need::Room),
        // To make a home smaller, or to remove one, is what is done where there is no room.
        Operation::Resize(..) | Operation::Remove(_) | Operation::Unregister(_) => Some(Need::Names),
        _ => None,
    }
}

/// All storage in the folder, as far as it answers.
pub(super) async fn in_folder(root: PathBuf, gate: &Gate) -> Vec<Found> {
    let shown = root.display().to_string();
    let found = aside::once(gate, ROOT, move || scan::folder(&root)).await;
    if found.is_none() {
        tracing::warn!("{shown} gives no answer: homes in it that nobody knows are not seen");
    }
    found.unwrap_or_default()
}
