//! What the core wants done, done.

use super::events::Happened;
use super::link::{Failure, Reply};
use super::outside::{self, Outside};
use super::run::{AnswerTo, Daemon, now_usec};
use crate::home::Sleep;
use crate::home::effect::{Effect, Event, Failed, Interrupted};
use crate::home::inhibitor::Inhibitor;
use crate::words::request::{Answer, AtSuspend, KeyOperation, RequestId};
use records::UserName;
use std::time::Duration;

impl Daemon {
    pub(super) fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Answer(id, answer, delay) => self.answer(id, answer, delay),
            Effect::HandOver(id, user, kind) => self.hand_over(id, &user, kind),
            Effect::Start(start) => self.start(*start),
            Effect::Stop(job) => {
                if let Some(stop) = self.stops.remove(&job) {
                    // Ended already is just as good.
                    let _ = stop.send(());
                }
            }
            Effect::Check(check) => {
                let (events, outside) = (self.events.clone(), self.parts.outside.clone());
                tokio::task::spawn_blocking(move || {
                    let findings = outside::look_up(&*outside, &check);
                    events.event(Event::Checked(check.user, check.id, findings));
                });
            }
            Effect::Prove(id, place) => {
                super::prove::prove(self.parts.outside.clone(), self.events.clone(), id, *place);
            }
            Effect::Save(record) => {
                let user = record.user().clone();
                let events = self.events.clone();
                self.write(user.clone(), move |outside| match outside.save(&record) {
                    Ok(written) if written == *record => {}
                    Ok(signed) => events.event(Event::Signed(Box::new(signed))),
                    Err(error) => {
                        tracing::error!(home = %user, "the host record could not be written: {error}");
                    }
                });
            }
            Effect::Forget(user, call) => self.forget(user, call),
            Effect::DropReferences(user) => self.references.drop_all(&user),
            Effect::SetTimer(timer, after) => self.ring(after, Event::Rang(timer)),
            Effect::Inhibit(id, inhibitor) => self.inhibit(id, &inhibitor),
            Effect::Announce(change) => self.link.announce(change),
            Effect::Log(user, text) => tracing::warn!(home = %user, "{text}"),
            Effect::Warn(text) => tracing::error!("{text}"),
            Effect::PowerOff => power_off(),
            Effect::Hold(sleep) => self.hold(sleep),
            Effect::AskForSleep(timer) => self.ask_for_sleep(timer),
            Effect::LookForStorage => self.look_for_storage(),
            Effect::Measure(id, places) => self.measure(id, places),
        }
    }

    fn hold(&self, sleep: Sleep) {
        self.link.hold(sleep == Sleep::Holding);
        if let Err(error) = super::hold::note(&self.parts.paths.hold, sleep) {
            tracing::error!("{}: {error}", self.parts.paths.hold.display());
        }
    }

    fn ask_for_sleep(&self, timer: u64) {
        let events = self.events.clone();
        tokio::spawn(async move {
            events.event(Event::SleepSeen(timer, super::going_to_sleep::is_on_its_way().await));
        });
    }

    fn ring(&self, after: Duration, event: Event) {
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            events.event(event);
        });
    }

    fn inhibit(&mut self, id: RequestId, inhibitor: &Inhibitor) {
        let reply = match self.inhibitors.give(inhibitor, now_usec()) {
            Ok(fd) => Ok(Reply::Reference(fd)),
            Err(error) => {
                // The core believes it is held.
                self.events.event(Event::LetGo(inhibitor.user.clone(), inhibitor.id));
                Err(self.failure(Failed::Fault(format!("making an inhibitor: {error}"))))
            }
        };
        if let Some(to) = self.answers.remove(&id) {
            // If the caller has gone, it is dropped with the reply, and its end is seen.
            let _ = to.send(reply);
        }
    }

    fn answer(&mut self, id: RequestId, answer: Result<Answer, Failed>, delay: Duration) {
        let Some(to) = self.answers.remove(&id) else { return };
        let reply = match answer {
            Ok(Answer::Done) => Ok(Reply::Done),
            Ok(Answer::Report(report)) => Ok(Reply::Report(report)),
            Ok(Answer::Told(report)) => Ok(Reply::Told(report)),
            Ok(Answer::Locks(locks)) => Ok(Reply::Locks(locks)),
            Ok(Answer::Trust(report)) => Ok(Reply::Trust(report)),
            Ok(Answer::LeftOut(users)) => Ok(Reply::LeftOut(users)),
            Ok(Answer::LookAgain(after)) => Ok(Reply::LookAgain(after)),
            Err(failed) => Err(self.failure(failed)),
        };
        if delay.is_zero() {
            // A caller that has gone is told of by its own event.
            let _ = to.send(reply);
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = to.send(reply);
        });
    }

    fn failure(&mut self, failed: Failed) -> Failure {
        self.faults += u64::from(matches!(failed, Failed::Fault(_)));
        told(failed, fault_id(self.faults))
    }

    fn hand_over(&mut self, id: RequestId, user: &UserName, kind: AtSuspend) {
        let given = self.references.give(user, kind);
        let reply = match given {
            Ok(fd) => Ok(Reply::Reference(fd)),
            Err(error) => {
                // The core believes it is held.
                self.events.event(Event::Released(user.clone(), kind));
                Err(self.failure(Failed::Fault(format!("making a reference on the home of {user}: {error}"))))
            }
        };
        if let Some(to) = self.answers.remove(&id) {
            // If the caller has gone, the reference is dropped with the reply, and its end is seen.
            let _ = to.send(reply);
        }
    }

    fn forget(&mut self, user: UserName, call: Option<RequestId>) {
        let to = call.and_then(|id| self.answers.remove(&id));
        self.faults += 1;
        let (name, id) = (user.clone(), fault_id(self.faults));
        let events = self.events.clone();
        self.write(user, move |outside| {
            let reply = outside.forget(&name).map(|()| Reply::Done).map_err(|failed| {
                tracing::error!(home = %name, "{id}: the host record could not be deleted: {failed:?}");
                // It is known as before.
                if let Some(record) = outside.load_one(&name) {
                    events.event(Event::Loaded(Box::new(record), Interrupted::No, Vec::new()));
                }
                told(failed, id)
            });
            // Storage of it that is left is nobody's from now on.
            events.send(Happened::LookForStorage);
            if let Some(to) = to {
                let _ = to.send(reply);
            }
        });
    }

    pub(super) fn keys(&mut self, operation: KeyOperation, to: AnswerTo) {
        let events = self.events.clone();
        self.outside(to, move |outside| {
            let reply = outside.keys(operation).map(Reply::Keys);
            events.event(Event::KeysChanged);
            reply
        });
    }

    /// Asks a neighbour, and passes its answer on.
    pub(super) fn outside(
        &mut self,
        to: AnswerTo,
        ask: impl FnOnce(&dyn Outside) -> Result<Reply, Failed> + Send + 'static,
    ) {
        self.faults += 1;
        let (outside, id) = (self.parts.outside.clone(), fault_id(self.faults));
        tokio::task::spawn_blocking(move || {
            let reply = ask(&*outside).map_err(|failed| told(failed, id));
            // A caller that has gone needs no answer.
            let _ = to.send(reply);
        });
    }
}

/// What the caller is told; the causes of a fault are the log's, under its name.
fn told(failed: Failed, id: String) -> Failure {
    match failed {
        Failed::Refused(refused) => Failure::Refused(refused),
        Failed::Fault(chain) => {
            tracing::error!("{id}: {chain}");
            Failure::Fault { id }
        }
    }
}

/// What to look for in the log.
fn fault_id(number: u64) -> String {
    format!("homed-{}-{number}", std::process::id())
}

/// Not every home could be locked, and the machine must not sleep with its keys in memory.
fn power_off() {
    tracing::error!("not every home could be locked: the machine is shut down, as LockFailure=poweroff says");
    if let Err(error) = tokio::process::Command::new("systemctl").args(super::POWER_OFF).spawn() {
        tracing::error!("the machine cannot be shut down: {error}");
    }
}
