//! `org.freedesktop.home1.Manager`: signatures and privileges as in the original.

use super::context::{Call, Front, Rule, at_suspend, visible};
use super::error::Error;
use crate::daemon::link::{HomeKey, HomeView, KeyOperation, Later, Operation, Reply, SigningKey};
use records::Refusal;
use records::refusal::Refused;
use std::collections::HashMap;
use std::sync::Arc;
use zbus::Connection;
use zbus::message::Header;
use zbus::wire::{OwnedFd, OwnedObjectPath};

/// Polkit actions.
pub mod action {
    /// Create, register, adopt, realize.
    pub const CREATE: &str = "org.freedesktop.home1.create-home";
    /// Remove, unregister.
    pub const REMOVE: &str = "org.freedesktop.home1.remove-home";
    /// Check credentials.
    pub const AUTHENTICATE: &str = "org.freedesktop.home1.authenticate-home";
    /// Change the record.
    pub const UPDATE: &str = "org.freedesktop.home1.update-home";
    /// Change the size.
    pub const RESIZE: &str = "org.freedesktop.home1.resize-home";
    /// Change the password.
    pub const PASSWD: &str = "org.freedesktop.home1.passwd-home";
    /// Mount.
    pub const ACTIVATE: &str = "org.freedesktop.home1.activate-home";
    /// Add and remove keys.
    pub const KEYS: &str = "org.freedesktop.home1.manage-signing-keys";
}

/// name, uid, state, gid, realName, homeDir, shell, path.
type Row = (String, u32, String, u32, String, String, String, OwnedObjectPath);

/// The manager object.
pub struct Manager(pub Arc<Front>);

#[zbus::interface(name = "org.freedesktop.home1.Manager", introspection_docs = false)]
impl Manager {
    #[zbus(out_args("uid", "home_state", "gid", "real_name", "home_directory", "shell", "bus_path"))]
    async fn get_home_by_name(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(u32, String, u32, String, String, String, OwnedObjectPath), Error> {
        let call = Call { connection, header: &header };
        let (_, uid, state, gid, real, home, shell, path) = row(&self.look(call, name(user_name)).await?)?;
        Ok((uid, state, gid, real, home, shell, path))
    }

    #[zbus(
        name = "GetHomeByUID",
        out_args("user_name", "home_state", "gid", "real_name", "home_directory", "shell", "bus_path")
    )]
    async fn get_home_by_uid(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        uid: u32,
    ) -> Result<(String, String, u32, String, String, String, OwnedObjectPath), Error> {
        let call = Call { connection, header: &header };
        let (name, _, state, gid, real, home, shell, path) =
            row(&self.look(call, HomeKey::Uid(uid)).await?)?;
        Ok((name, state, gid, real, home, shell, path))
    }

    #[zbus(out_args("user_record", "incomplete", "bus_path"))]
    async fn get_user_record_by_name(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(String, bool, OwnedObjectPath), Error> {
        self.user_record(Call { connection, header: &header }, name(user_name)).await
    }

    #[zbus(name = "GetUserRecordByUID", out_args("user_record", "incomplete", "bus_path"))]
    async fn get_user_record_by_uid(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        uid: u32,
    ) -> Result<(String, bool, OwnedObjectPath), Error> {
        self.user_record(Call { connection, header: &header }, HomeKey::Uid(uid)).await
    }

    #[zbus(out_args("home_areas"))]
    async fn list_homes(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<Row>, Error> {
        let caller = self.0.caller(Call { connection, header: &header }).await?;
        match self.0.link.ask(caller, Operation::List).await? {
            Reply::Homes(homes) => homes.iter().map(row).collect(),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }

    async fn activate_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let (key, offer) = (name(user_name), self.0.offer(call, secret).await?);
        let operation = Operation::Activate(key.clone(), offer);
        self.0.done(call, Rule::OwnerOrPolkit(action::ACTIVATE), Some(key), operation).await
    }

    async fn activate_home_if_referenced(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let (key, offer) = (name(user_name), self.0.offer(call, secret).await?);
        let operation = Operation::ActivateIfReferenced(key.clone(), offer);
        self.0.done(call, Rule::OwnerOrPolkit(action::ACTIVATE), Some(key), operation).await
    }

    async fn deactivate_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.0.done(call, Rule::Root, None, Operation::Deactivate(name(user_name))).await
    }

    async fn register_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        home_record: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let (record, _) = self.0.record(call, home_record).await?;
        self.0.done(call, Rule::Polkit(action::CREATE), None, Operation::Register(record)).await
    }

    async fn adopt_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        image_path: String,
        flags: u64,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        check_flags(flags)?;
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, Rule::Polkit(action::CREATE), None).await?;
        let _ = image_path;
        Err(not_yet("Homes outside /home cannot be adopted yet: move the image to /home instead."))
    }

    async fn unregister_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        let (call, key) = (Call { connection, header: &header }, name(user_name));
        let operation = Operation::Unregister(key.clone());
        self.0.done(call, Rule::Polkit(action::REMOVE), Some(key), operation).await
    }

    async fn create_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        home_record: String,
    ) -> Result<(), Error> {
        self.create(Call { connection, header: &header }, home_record).await
    }

    async fn create_home_ex(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        home_record: String,
        blobs: HashMap<String, OwnedFd>,
        flags: u64,
    ) -> Result<(), Error> {
        check_flags(flags)?;
        check_blobs(&blobs)?;
        self.create(Call { connection, header: &header }, home_record).await
    }

    async fn realize_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let (call, key) = (Call { connection, header: &header }, name(user_name));
        self.0.offer(call, secret).await?;
        let operation = Operation::Later(key.clone(), Later::Realize);
        self.0.done(call, Rule::Polkit(action::CREATE), Some(key), operation).await
    }

    async fn remove_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        let (call, key) = (Call { connection, header: &header }, name(user_name));
        let operation = Operation::Remove(key.clone());
        self.0.done(call, Rule::Polkit(action::REMOVE), Some(key), operation).await
    }

    async fn fixate_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let offer = self.0.offer(call, secret).await?;
        self.0.done(call, Rule::Root, None, Operation::Fixate(name(user_name), offer)).await
    }

    async fn authenticate_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let (key, offer) = (name(user_name), self.0.offer(call, secret).await?);
        let operation = Operation::Authenticate(key.clone(), offer);
        self.0.done(call, Rule::OwnerOrPolkit(action::AUTHENTICATE), Some(key), operation).await
    }

    async fn update_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_record: String,
    ) -> Result<(), Error> {
        self.update(Call { connection, header: &header }, user_record).await
    }

    async fn update_home_ex(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_record: String,
        blobs: HashMap<String, OwnedFd>,
        flags: u64,
    ) -> Result<(), Error> {
        let _ = (blobs, flags);
        self.update(Call { connection, header: &header }, user_record).await
    }

    async fn resize_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        size: u64,
        secret: String,
    ) -> Result<(), Error> {
        let (call, key) = (Call { connection, header: &header }, name(user_name));
        self.0.offer(call, secret).await?;
        let _ = size;
        let operation = Operation::Later(key.clone(), Later::Resize);
        self.0.done(call, Rule::Polkit(action::RESIZE), Some(key), operation).await
    }

    async fn change_password_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        new_secret: String,
        old_secret: String,
    ) -> Result<(), Error> {
        let (call, key) = (Call { connection, header: &header }, name(user_name));
        let new = self.0.offer(call, new_secret).await?.credentials;
        let old = self.0.offer(call, old_secret).await?;
        let operation = Operation::ChangePassword { home: key.clone(), new, old };
        self.0.done(call, Rule::OwnerOrPolkit(action::PASSWD), Some(key), operation).await
    }

    async fn lock_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.0.done(call, Rule::Root, None, Operation::Later(name(user_name), Later::Lock)).await
    }

    async fn unlock_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.0.offer(call, secret).await?;
        self.0.done(call, Rule::Root, None, Operation::Later(name(user_name), Later::Unlock)).await
    }

    #[zbus(out_args("send_fd"))]
    async fn acquire_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
        please_suspend: bool,
    ) -> Result<OwnedFd, Error> {
        let call = Call { connection, header: &header };
        let offer = self.0.offer(call, secret).await?;
        let operation = Operation::Acquire(name(user_name), at_suspend(please_suspend), offer);
        self.0.reference(call, Rule::Anyone, operation).await
    }

    #[zbus(out_args("send_fd"))]
    async fn ref_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        please_suspend: bool,
    ) -> Result<OwnedFd, Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::Ref(name(user_name), at_suspend(please_suspend));
        self.0.reference(call, Rule::Root, operation).await
    }

    #[zbus(out_args("send_fd"))]
    async fn ref_home_unrestricted(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        please_suspend: bool,
    ) -> Result<OwnedFd, Error> {
        let call = Call { connection, header: &header };
        let operation = Operation::RefUnrestricted(name(user_name), at_suspend(please_suspend));
        self.0.reference(call, Rule::Root, operation).await
    }

    async fn release_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.0.done(call, Rule::Root, None, Operation::Release(name(user_name))).await
    }

    #[zbus(out_args("keys"))]
    async fn list_signing_keys(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<(String, String, u64)>, Error> {
        let keys = self.keys(Call { connection, header: &header }, Rule::Anyone, KeyOperation::List).await?;
        Ok(keys.into_iter().map(|key| (key.name, key.pem, 0)).collect())
    }

    #[zbus(out_args("der", "flags"))]
    async fn get_signing_key(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        name: String,
    ) -> Result<(String, u64), Error> {
        let call = Call { connection, header: &header };
        let keys = self.keys(call, Rule::Anyone, KeyOperation::Fetch(name)).await?;
        let key = keys.into_iter().next().ok_or_else(|| Refused::from(Refusal::NoSuchKey))?;
        Ok((key.pem, 0))
    }

    async fn add_signing_key(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        name: String,
        pem: String,
        flags: u64,
    ) -> Result<(), Error> {
        check_flags(flags)?;
        let call = Call { connection, header: &header };
        let operation = KeyOperation::Add(name, pem);
        self.keys(call, Rule::Polkit(action::KEYS), operation).await.map(|_| ())
    }

    async fn remove_signing_key(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        name: String,
        flags: u64,
    ) -> Result<(), Error> {
        check_flags(flags)?;
        let call = Call { connection, header: &header };
        let operation = KeyOperation::Remove(name);
        self.keys(call, Rule::Polkit(action::KEYS), operation).await.map(|_| ())
    }

    async fn lock_all_homes(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, Rule::Root, None).await?;
        match self.0.link.ask(caller, Operation::List).await? {
            Reply::Homes(homes) if homes.iter().any(|home| home.state.is_mounted()) => Err(not_yet(
                "Homes cannot be locked yet: those that are active stay readable during suspend.",
            )),
            Reply::Homes(_) => Ok(()),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }

    async fn deactivate_all_homes(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.0.done(call, Rule::Root, None, Operation::DeactivateAll).await
    }

    async fn rebalance(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, Rule::Root, None).await?;
        Err(not_yet("Homes are not rebalanced yet; each keeps its size."))
    }

    #[zbus(property)]
    async fn auto_login(&self) -> Vec<(String, String, OwnedObjectPath)> {
        Vec::new()
    }
}

impl Manager {
    async fn look(&self, call: Call<'_>, key: HomeKey) -> Result<HomeView, Error> {
        let caller = self.0.caller(call).await?;
        self.0.look(&caller, key).await
    }

    async fn user_record(
        &self,
        call: Call<'_>,
        key: HomeKey,
    ) -> Result<(String, bool, OwnedObjectPath), Error> {
        let caller = self.0.caller(call).await?;
        let view = self.0.look(&caller, key).await?;
        let (json, incomplete) = visible(&view, caller.uid);
        Ok((json, incomplete, path(&view)?))
    }

    async fn create(&self, call: Call<'_>, text: String) -> Result<(), Error> {
        let caller = self.0.caller(call).await?;
        // Asked first: a ticket of somebody who may not do it is not used up, a record not even read.
        self.0.permit(call, &caller, Rule::Polkit(action::CREATE), None).await?;
        let (record, offer) = self.0.record(call, text).await?;
        self.0.ask(call, caller, Operation::Create(record, offer)).await.map(|_| ())
    }

    async fn update(&self, call: Call<'_>, text: String) -> Result<(), Error> {
        let (record, _) = self.0.record(call, text).await?;
        let key = name(record.user().to_string());
        let operation = Operation::Later(key.clone(), Later::Update);
        self.0.done(call, Rule::Polkit(action::UPDATE), Some(key), operation).await
    }

    async fn keys(
        &self,
        call: Call<'_>,
        rule: Rule,
        operation: KeyOperation,
    ) -> Result<Vec<SigningKey>, Error> {
        let caller = self.0.caller(call).await?;
        self.0.permit(call, &caller, rule, None).await?;
        match self.0.ask(call, caller, Operation::Keys(operation)).await? {
            Reply::Keys(keys) => Ok(keys),
            other => Err(Error::unexpected(format!("the loop answered {other:?}"))),
        }
    }
}

fn name(name: String) -> HomeKey {
    HomeKey::Name(name)
}

fn row(view: &HomeView) -> Result<Row, Error> {
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
    OwnedObjectPath::try_from(super::path(&view.unix.name)).map_err(Error::unexpected)
}

pub(super) fn check_flags(flags: u64) -> Result<(), Error> {
    if flags != 0 {
        return Err(Error::invalid("No flags are known; pass 0."));
    }
    Ok(())
}

pub(super) fn check_blobs(blobs: &HashMap<String, OwnedFd>) -> Result<(), Error> {
    if !blobs.is_empty() {
        return Err(not_yet("Pictures and other blobs cannot be stored yet; create the home without them."));
    }
    Ok(())
}

pub(super) fn not_yet(sentence: &str) -> Error {
    Refused::new(Refusal::NotSupported, sentence).into()
}
