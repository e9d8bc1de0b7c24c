//! How the daemon's own tasks reach the loop.

use super::link::Call;
use crate::home::effect::{Event, StartJob};
use crate::manager::Defaults;
use crate::words::request::{AtSuspend, RequestId};
use records::UserName;
use records::refusal::Refused;
use tokio::sync::{mpsc, oneshot};

/// What tasks report.
pub enum Happened {
    /// Something for the core.
    Event(Event),
    /// A watcher of a reference saw its end; the number tells watchers of one FIFO apart.
    ReferenceGone(UserName, AtSuspend, u64),
    /// What a job had to wait for is on disk: it can start.
    Saved(Box<StartJob>, oneshot::Receiver<()>),
    /// The settings were read again.
    Settings(Box<Defaults>),
    /// Somebody wants the home root looked at.
    LookForStorage,
    /// What a call depends on was looked at; why the folder for host records cannot take what it would write.
    Looked(RequestId, Box<Call>, Option<Refused>),
    /// Storage was seen to come or go ([`Event::Found`], [`Event::Vanished`]): it is looked at first.
    Seen(Event),
    /// File systems of a home have answered, and nobody waited for that.
    Answered(UserName),
    /// Something was mounted or unmounted.
    MountsChanged,
    /// Block devices have gone.
    DevicesGone,
    /// All homes were looked at after that.
    Swept,
}

/// The way to the loop; clones share it.
#[derive(Clone)]
pub struct Events(mpsc::UnboundedSender<Happened>);

impl Events {
    /// A way and the loop's end of it.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Happened>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Reports; once the loop has ended nobody needs to know.
    pub fn send(&self, happened: Happened) {
        let _ = self.0.send(happened);
    }

    /// Reports an event for the core.
    pub fn event(&self, event: Event) {
        self.send(Happened::Event(event));
    }
}
