//! `org.freedesktop.DBus.ObjectManager` of all homes: which objects there are, with their properties as a stranger sees them.
//!
//! The library's own tells the bus of every object that is registered, those of a start included: thousands of signals that
//! nobody can be listening to.

use super::context::Front;
use super::home::Home;
use super::path;
use records::buspath;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use zbus::fdo::{self, ManagedObjects};
use zbus::names::InterfaceName;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::wire::{ObjectPath, OwnedObjectPath, OwnedVariant, Variant};
use zbus::{Connection, ObjectServer};

/// The object above those of the homes.
pub struct Homes(pub Arc<Front>);

/// Properties by their names.
type Properties = HashMap<String, OwnedVariant>;

#[zbus::interface(name = "org.freedesktop.DBus.ObjectManager", introspection_docs = false)]
impl Homes {
    async fn get_managed_objects(
        &self,
        #[zbus(object_server)] server: &ObjectServer,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<ManagedObjects> {
        let mut objects = ManagedObjects::new();
        for user in super::all(&self.0) {
            let at = path(&user);
            // One that is being made has no object yet, and one that has just gone none any more.
            if server.interface::<_, Home>(at.as_str()).await.is_err() {
                continue;
            }
            let home = Home::new(self.0.clone(), user);
            let emitter = SignalEmitter::new(connection, at.as_str())?;
            let properties = home.get_all(server, connection, None, &emitter).await?;
            let path = OwnedObjectPath::try_from(at)?;
            objects.insert(path, HashMap::from([(Home::name().into(), properties)]));
        }
        Ok(objects)
    }

    #[zbus(signal)]
    async fn interfaces_added(
        emitter: &SignalEmitter<'_>,
        object_path: ObjectPath<'_>,
        interfaces_and_properties: HashMap<InterfaceName<'_>, HashMap<&str, Variant<'_>>>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn interfaces_removed(
        emitter: &SignalEmitter<'_>,
        object_path: ObjectPath<'_>,
        interfaces: Cow<'_, [InterfaceName<'_>]>,
    ) -> zbus::Result<()>;
}

/// Tells the bus of an object that was registered.
pub async fn appeared(connection: &Connection, at: &str) -> zbus::Result<()> {
    let server = connection.object_server();
    let Ok(object) = server.interface::<_, Home>(at).await else { return Ok(()) };
    let properties: Properties =
        object.get().await.get_all(server, connection, None, object.signal_emitter()).await?;
    let shown = properties.iter().map(|(name, value)| Ok((name.as_str(), Variant::try_from(value)?)));
    let interfaces = HashMap::from([(Home::name(), shown.collect::<zbus::Result<_>>()?)]);
    let emitter = SignalEmitter::new(connection, buspath::HOMES)?;
    Homes::interfaces_added(&emitter, ObjectPath::try_from(at)?, interfaces).await
}

/// Tells the bus of an object that is not there any more.
pub async fn vanished(connection: &Connection, at: &str) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, buspath::HOMES)?;
    Homes::interfaces_removed(&emitter, ObjectPath::try_from(at)?, (&[Home::name()][..]).into()).await
}
