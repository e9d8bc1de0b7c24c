//! `org.freedesktop.home1.Manager`: signatures and privileges as in the original.
//!
//! Here are the methods as the bus sees them, all of them: the library wants them in one place. What is
//! more than a line or two of them is in [`calls`].

mod calls;

pub(super) use calls::auto_login;

use super::argument::{Foreign, check_flags};
use super::context::{Call, Front, Rule, at_suspend};
use super::error::Error;
use super::update::Update;
use crate::daemon::link::{HomeKey, KeyOperation, Later, Operation, Then};
use calls::{
    AutoLogin, Opened, Row, TO_ACTIVATE, TO_AUTHENTICATE, TO_CREATE, TO_PASSWD, TO_REMOVE, TO_RESIZE, name,
    row,
};
use std::collections::HashMap;
use std::sync::Arc;
use zbus::Connection;
use zbus::message::Header;
use zbus::wire::{OwnedFd, OwnedObjectPath};

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
        let found = self.look(Call { connection, header: &header }, name(user_name)).await?;
        let (_, uid, state, gid, real, home, shell, path) = row(&found.view)?;
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
        let found = self.look(Call { connection, header: &header }, HomeKey::Uid(uid)).await?;
        let (name, _, state, gid, real, home, shell, path) = row(&found.view)?;
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
        self.rows(Call { connection, header: &header }).await
    }

    async fn activate_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.opened(call, TO_ACTIVATE, Opened { user_name, secret, by: Operation::Activate }).await
    }

    async fn activate_home_if_referenced(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.opened(call, TO_ACTIVATE, Opened { user_name, secret, by: Operation::ActivateIfReferenced })
            .await
    }

    async fn deactivate_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        self.as_root(Call { connection, header: &header }, Operation::Deactivate(name(user_name))).await
    }

    async fn register_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        home_record: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let (record, _) = self.0.record(call, home_record, Foreign::Dropped).await?;
        self.registered(call, Operation::Register(record)).await
    }

    async fn adopt_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        image_path: String,
        flags: u64,
    ) -> Result<(), Error> {
        check_flags(flags)?;
        self.registered(Call { connection, header: &header }, Operation::Adopt(image_path)).await
    }

    async fn unregister_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        self.managed(Call { connection, header: &header }, TO_REMOVE, user_name, Operation::Unregister).await
    }

    async fn create_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        home_record: String,
    ) -> Result<(), Error> {
        self.create(Call { connection, header: &header }, home_record, HashMap::new()).await
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
        self.create(Call { connection, header: &header }, home_record, blobs).await
    }

    async fn realize_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.0.offer(call, secret).await?;
        self.managed(call, TO_CREATE, user_name, |key| Operation::Later(key, Later::Realize)).await
    }

    async fn remove_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        self.managed(Call { connection, header: &header }, TO_REMOVE, user_name, Operation::Remove).await
    }

    async fn fixate_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.opened(call, Rule::Root, Opened { user_name, secret, by: Operation::Fixate }).await
    }

    async fn authenticate_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.opened(call, TO_AUTHENTICATE, Opened { user_name, secret, by: Operation::Authenticate }).await
    }

    async fn update_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_record: String,
    ) -> Result<(), Error> {
        self.0.update(Call { connection, header: &header }, None, Update::of(user_record)).await
    }

    async fn update_home_ex(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_record: String,
        blobs: HashMap<String, OwnedFd>,
        flags: u64,
    ) -> Result<(), Error> {
        let update = Update { text: user_record, blobs: Some(blobs), flags };
        self.0.update(Call { connection, header: &header }, None, update).await
    }

    async fn resize_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        size: u64,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let offer = self.0.offer(call, secret).await?;
        self.managed(call, TO_RESIZE, user_name, |key| Operation::Resize(key, size, offer)).await
    }

    async fn change_password_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        new_secret: String,
        old_secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        let new = self.0.offer(call, new_secret).await?.credentials;
        let old = self.0.offer(call, old_secret).await?;
        self.managed(call, TO_PASSWD, user_name, |home| Operation::ChangePassword { home, new, old }).await
    }

    async fn lock_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        self.as_root(Call { connection, header: &header }, Operation::Lock(name(user_name))).await
    }

    async fn unlock_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        secret: String,
    ) -> Result<(), Error> {
        let call = Call { connection, header: &header };
        self.opened(call, Rule::Root, Opened { user_name, secret, by: Operation::Unlock }).await
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
        let operation = Operation::Ref(name(user_name), at_suspend(please_suspend));
        self.0.reference(Call { connection, header: &header }, Rule::Root, operation).await
    }

    #[zbus(out_args("send_fd"))]
    async fn ref_home_unrestricted(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
        please_suspend: bool,
    ) -> Result<OwnedFd, Error> {
        let operation = Operation::RefUnrestricted(name(user_name), at_suspend(please_suspend));
        self.0.reference(Call { connection, header: &header }, Rule::Root, operation).await
    }

    async fn release_home(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user_name: String,
    ) -> Result<(), Error> {
        self.as_root(Call { connection, header: &header }, Operation::Release(name(user_name))).await
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
        Ok((self.key(Call { connection, header: &header }, name).await?.pem, 0))
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
        self.change_keys(Call { connection, header: &header }, KeyOperation::Add(name, pem)).await
    }

    async fn remove_signing_key(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        name: String,
        flags: u64,
    ) -> Result<(), Error> {
        check_flags(flags)?;
        self.change_keys(Call { connection, header: &header }, KeyOperation::Remove(name)).await
    }

    async fn lock_all_homes(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.0.for_sleep(Call { connection, header: &header }, Operation::LockAll(Then::GoOn)).await.map(drop)
    }

    async fn deactivate_all_homes(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.as_root(Call { connection, header: &header }, Operation::DeactivateAll).await
    }

    async fn rebalance(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.as_root(Call { connection, header: &header }, Operation::Rebalance).await
    }

    #[zbus(property)]
    async fn auto_login(&self) -> Vec<AutoLogin> {
        calls::auto_login(&self.0)
    }
}
