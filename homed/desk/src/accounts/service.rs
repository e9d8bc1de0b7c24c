//! AccountsService itself: its calls, and its files where a call is of no use.

use records::UserName;
use std::fs;
use std::path::Path;
use zbus::Connection;
use zbus::wire::{OwnedObjectPath, OwnedVariant};

const NAME: &str = "org.freedesktop.Accounts";
const PATH: &str = "/org/freedesktop/Accounts";
const USER: &str = "org.freedesktop.Accounts.User";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Where it keeps a file about each user.
const USERS: &str = "/var/lib/AccountsService/users";
/// Where it keeps each user's picture.
const ICONS: &str = "/var/lib/AccountsService/icons";
/// A user that every machine has, and no greeter lists.
const NOBODY: &str = "nobody";

/// The service.
pub struct Accounts(pub Connection);

impl Accounts {
    /// Whether it asks homed itself, as it does from version 26 on. `user` has to be one of homed's.
    ///
    /// # Errors
    /// It does not answer, or cannot find the user.
    pub async fn asks_homed(&self, user: &UserName) -> zbus::Result<bool> {
        let path = self.find(user).await?;
        let asked = self.0.call_method(Some(NAME), &path, Some(PROPERTIES), "Get", &(USER, "UsesHomed"));
        match asked.await {
            Ok(reply) => Ok(bool::try_from(reply.body().deserialize::<OwnedVariant>()?).is_ok()),
            // It has no such property.
            Err(zbus::Error::MethodError(..)) => Ok(false),
            Err(zbus::Error::FDO(error)) if is_about_the_property(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has it list the user.
    ///
    /// # Errors
    /// It does not answer, or cannot find the user.
    pub async fn list(&self, user: &UserName) -> zbus::Result<()> {
        self.0.call_method(Some(NAME), PATH, Some(NAME), "CacheUser", &(user.as_str(),)).await.map(drop)
    }

    /// Gives it a picture; an empty path takes it away.
    ///
    /// # Errors
    /// It does not answer, or does not take it: it may be too large.
    pub async fn show(&self, user: &UserName, picture: &Path) -> zbus::Result<()> {
        let path = self.find(user).await?;
        let file = picture.to_string_lossy();
        self.0.call_method(Some(NAME), &path, Some(USER), "SetIconFile", &(file.as_ref(),)).await.map(drop)
    }

    /// Has it forget the user and all it keeps of it.
    ///
    /// # Errors
    /// The files cannot be removed.
    pub async fn forget(&self, user: &UserName) -> std::io::Result<()> {
        if self.uncache(user.as_str()).await.is_err() {
            // It looks users up, and this one is gone, or the service is. Its files are all that is left.
            forget_files(user)?;
            // A service that does not run has nothing to look at.
            let _ = self.reread().await;
        }
        Ok(())
    }

    /// Has it look up all users again, as it does when it is asked to forget one: of nobody it keeps nothing.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn reread(&self) -> zbus::Result<()> {
        self.uncache(NOBODY).await
    }

    async fn uncache(&self, user: &str) -> zbus::Result<()> {
        self.0.call_method(Some(NAME), PATH, Some(NAME), "UncacheUser", &(user,)).await.map(drop)
    }

    async fn find(&self, user: &UserName) -> zbus::Result<OwnedObjectPath> {
        let body = &(user.as_str(),);
        self.0.call_method(Some(NAME), PATH, Some(NAME), "FindUserByName", body).await?.body().deserialize()
    }
}

/// Whether a service that is there has answered that there is no such property (GLib: `InvalidArgs`).
fn is_about_the_property(error: &zbus::fdo::Error) -> bool {
    use zbus::fdo::Error::{InvalidArgs, UnknownInterface, UnknownMethod, UnknownProperty};
    matches!(error, InvalidArgs(_) | UnknownProperty(_) | UnknownInterface(_) | UnknownMethod(_))
}

/// Whether it keeps anything of the user.
pub fn knows(user: &UserName) -> bool {
    [USERS, ICONS].iter().any(|folder| Path::new(folder).join(user.as_str()).exists())
}

/// Whether it has a picture of the user.
pub fn has_picture(user: &UserName) -> bool {
    Path::new(ICONS).join(user.as_str()).exists()
}

/// Removes what it keeps of the user.
///
/// # Errors
/// The disk cannot be written.
pub fn forget_files(user: &UserName) -> std::io::Result<()> {
    for folder in [USERS, ICONS] {
        match fs::remove_file(Path::new(folder).join(user.as_str())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
