//! `org.freedesktop.home1.Home`: one object per home; the manager's calls without the name.

use super::action;
use super::context::{Call, Front, Rule, at_suspend, visible};
use super::error::Error;
use super::update::Update;
use crate::daemon::link::{Entry, HomeKey, HomeView, Later, Operation};
use records::UserName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use zbus::Connection;
use zbus::fdo;
use zbus::message::Header;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::wire::{OwnedFd, Variant};

/// name, uid, gid, realName, homeDir, shell.
type UnixRow = (String, u32, u32, String, String, String);

/// One home's object.
pub struct Home {
    /// What all objects share.
    pub front: Arc<Front>,
    /// Whose.
    pub user: UserName,
    /// How it was when the bus was told of it last: a signal makes AccountsService read every home on the machine.
    told: Mutex<Option<Arc<Entry>>>,
}

#[zbus::interface(name = "org.freedesktop.home1.Home", introspection_docs = false)]
impl Home {
    async fn activate(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::Activate(self.key(), self.front.offer(call, secret).await?);
        self.done(call, Rule::OwnerOrPolkit(action::ACTIVATE), operation).await
    }

    async fn activate_if_referenced(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::ActivateIfReferenced(self.key(), self.front.offer(call, secret).await?);
        self.done(call, Rule::OwnerOrPolkit(action::ACTIVATE), operation).await
    }

    async fn deactivate(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.done(Call { connection, header: &header }, Rule::Root, Operation::Deactivate(self.key())).await
    }

    async fn unregister(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.done(call, Rule::Polkit(action::REMOVE), Operation::Unregister(self.key())).await
    }

    async fn realize(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.front.offer(call, secret).await?;
        self.done(call, Rule::Polkit(action::CREATE), self.later(Later::Realize)).await
    }

    async fn remove(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.done(call, Rule::Polkit(action::REMOVE), Operation::Remove(self.key())).await
    }

    async fn fixate(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::Fixate(self.key(), self.front.offer(call, secret).await?);
        self.done(call, Rule::Root, operation).await
    }

    async fn authenticate(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::Authenticate(self.key(), self.front.offer(call, secret).await?);
        self.done(call, Rule::OwnerOrPolkit(action::AUTHENTICATE), operation).await
    }

    async fn update(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_record: String,
    ) -> Result<(), Error> {
        let update = Update::of(user_record);
        self.front.update(Call { connection, header: &header }, Some(self.key()), update).await
    }

    async fn update_ex(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_record: String,
        blobs: HashMap<String, OwnedFd>,
        flags: u64,
    ) -> Result<(), Error> {
        let update = Update { text: user_record, blobs: Some(blobs), flags };
        self.front.update(Call { connection, header: &header }, Some(self.key()), update).await
    }

    async fn resize(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        size: u64,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::Resize(self.key(), size, self.front.offer(call, secret).await?);
        self.done(call, Rule::Polkit(action::RESIZE), operation).await
    }

    async fn change_password(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        new_secret: String,
        old_secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let new = self.front.offer(call, new_secret).await?.credentials;
        let old = self.front.offer(call, old_secret).await?;
        let operation = Operation::ChangePassword { home: self.key(), new, old };
        self.done(call, Rule::OwnerOrPolkit(action::PASSWD), operation).await
    }

    async fn lock(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.done(Call { connection, header: &header }, Rule::Root, Operation::Lock(self.key())).await
    }

    async fn unlock(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::Unlock(self.key(), self.front.offer(call, secret).await?);
        self.done(call, Rule::Root, operation).await
    }

    #[zbus(out_args("send_fd"))]
    async fn acquire(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        secret: String,
        please_suspend: bool,
    ) -> Result<OwnedFd, Error> {
        let call = Call { connection, header: &header };
        let offer = self.front.offer(call, secret).await?;
        let operation = Operation::Acquire(self.key(), at_suspend(please_suspend), offer);
        self.front.reference(call, Rule::Root, operation).await
    }

    #[zbus(out_args("send_fd"))]
    async fn r#ref(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        please_suspend: bool,
    ) -> Result<OwnedFd, Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::Ref(self.key(), at_suspend(please_suspend));
        self.front.reference(call, Rule::Root, operation).await
    }

    #[zbus(out_args("send_fd"))]
    async fn ref_unrestricted(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        please_suspend: bool,
    ) -> Result<OwnedFd, Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::RefUnrestricted(self.key(), at_suspend(please_suspend));
        self.front.reference(call, Rule::Root, operation).await
    }

    async fn release(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.done(Call { connection, header: &header }, Rule::Root, Operation::Release(self.key())).await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn user_name(&self) -> String {
        self.user.to_string()
    }

    #[zbus(property, name = "UID")]
    async fn uid(&self) -> fdo::Result<u32> {
        Ok(self.entry()?.view.unix.uid)
    }

    #[zbus(property)]
    async fn unix_record(&self) -> fdo::Result<UnixRow> {
        Ok(unix_row(&self.entry()?.view))
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn state(&self) -> fdo::Result<String> {
        Ok(self.entry()?.view.state.name().to_owned())
    }

    #[zbus(property(emits_changed_signal = "invalidates"))]
    async fn user_record(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<(String, bool)> {
        let entry = self.entry()?;
        let Some(header) = &header else {
            // Nobody in particular: a signal that everybody sees. It waits for no file system: at a start there is one for
            // each home, one after the other.
            return Ok(visible(&entry.view, &self.front.link.with_known_sizes(&entry), u32::MAX));
        };
        let uid = self.front.caller(Call { connection, header }).await?.uid;
        Ok(visible(&entry.view, &self.front.link.with_sizes(&entry).await, uid))
    }
}

impl Home {
    /// The object of a home that the bus hears of now.
    pub fn new(front: Arc<Front>, user: UserName) -> Self {
        let told = front.link.look(&front.link.ourselves(), &HomeKey::Name(user.to_string())).ok();
        Self { front, user, told: Mutex::new(told) }
    }

    /// One signal for all that has changed, where anything has that can be seen.
    pub async fn tell(&self, emitter: &SignalEmitter<'_>) -> zbus::Result<()> {
        // Gone meanwhile: that is told by itself.
        let Ok(entry) = self.entry() else { return Ok(()) };
        let before = self.told.lock().unwrap_or_else(PoisonError::into_inner).replace(entry.clone());
        if before.is_some_and(|before| looks_alike(&before.view, &entry.view)) {
            return Ok(());
        }
        let changed = HashMap::from([
            ("UID", Variant::from(entry.view.unix.uid)),
            ("UnixRecord", Variant::from(unix_row(&entry.view))),
        ]);
        let interface = InterfaceName::from_static_str_unchecked("org.freedesktop.home1.Home");
        fdo::Properties::properties_changed(emitter, interface, changed, (&["UserRecord"][..]).into()).await
    }

    fn key(&self) -> HomeKey {
        HomeKey::Name(self.user.to_string())
    }

    fn later(&self, later: Later) -> Operation {
        Operation::Later(self.key(), later)
    }

    async fn done(&self, call: Call<'_>, rule: Rule, operation: Operation) -> Result<(), Error> {
        self.front.done(call, rule, Some(self.key()), operation).await
    }

    fn entry(&self) -> Result<Arc<Entry>, Error> {
        Ok(self.front.link.look(&self.front.link.ourselves(), &self.key())?)
    }
}

/// Whether nothing that a property shows is another. (Sizes are not told: they change all the time.)
fn looks_alike(before: &HomeView, now: &HomeView) -> bool {
    before.state.name() == now.state.name() && before.unix == now.unix && before.record == now.record
}

fn unix_row(view: &HomeView) -> UnixRow {
    let unix = view.unix.clone();
    (unix.name.to_string(), unix.uid, unix.gid, unix.real_name, unix.home_directory, unix.shell)
}
