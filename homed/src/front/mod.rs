//! What the world talks to: D-Bus, Varlink, the hand-off socket. Translates only.

pub mod dbus;
pub mod handoff;
pub mod logind;
pub mod polkit;
pub mod sessions;
pub mod varlink;

use crate::daemon::link::Link;
use crate::daemon::this_machine;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

/// The system bus. Fixed: a root daemon takes no address from its environment.
const BUS: &str = "unix:path=/run/dbus/system_bus_socket";

/// The fronts that run; they end when this is dropped.
pub struct Fronts {
    _bus: zbus::Connection,
    _servers: JoinSet<()>,
}

/// Starts all fronts. The bus name comes last: who waits for it finds everything there.
pub async fn start(link: Link) -> Result<Fronts, String> {
    let machine = Arc::new(this_machine()?);
    let mut servers = JoinSet::new();

    let tickets = handoff::Tickets::default();
    let socket = Path::new(records::handoff::SOCKET);
    let listener = handoff::listen(socket).map_err(|e| format!("{}: {e}", socket.display()))?;
    servers.spawn(handoff::serve(listener, tickets.clone()));

    let socket = Path::new(varlink::SOCKET);
    let listener = varlink::listen(socket).map_err(|e| format!("{}: {e}", socket.display()))?;
    servers.spawn(varlink::serve(listener, varlink::Service { link: link.clone(), machine }));

    let redeem = Arc::new(move |uid, ticket: &str| tickets.redeem(uid, ticket));
    let front = dbus::context::Front::new(link.clone(), redeem, Arc::new(polkit::authorize));
    let bus =
        dbus::serve(BUS, Arc::new(front)).await.map_err(|e| format!("serving on the system bus: {e}"))?;
    servers.spawn(logind::follow(bus.clone(), link.clone()));
    servers.spawn(sessions::follow(bus.clone(), link));
    Ok(Fronts { _bus: bus, _servers: servers })
}
