//! What the world talks to: D-Bus, Varlink, the hand-off socket. Translates only.

mod client;
pub mod dbus;
pub mod handoff;
pub mod logind;
pub mod pam;
pub mod polkit;
mod provenance;
pub mod sessions;
pub mod varlink;

use crate::daemon::beat;
use crate::daemon::handed::Handed;
use crate::daemon::link::Link;
use crate::daemon::this_machine;
use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How long nobody is let in where the kernel gives no descriptor for who comes: others will close theirs.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Starts all fronts. The bus name comes last: who waits for it finds everything there. What it gives tells which of
/// them has ended, and keeps them for as long as it is polled.
pub async fn start(link: Link, mut handed: Handed) -> Result<impl Future<Output = String>, String> {
    let machine = Arc::new(this_machine()?);
    let mut servers: JoinSet<String> = JoinSet::new();

    let tickets = handoff::Tickets::default();
    let listener = listen(&mut handed, "handoff", Path::new(records::handoff::SOCKET))?;
    let calls = pam::Calls::new(link.clone());
    servers
        .spawn(named("the hand-off socket", handoff::serve(listener, tickets.clone(), link.clone(), calls)));

    let socket = Path::new(varlink::SOCKET);
    let listener = handed.listen("userdb", socket).map_err(|e| format!("{}: {e}", socket.display()))?;
    varlink::mark(socket);
    let service = varlink::Service { link: link.clone(), machine };
    let users = on_a_thread("users", move || serve_users(listener, service))?;
    servers.spawn(named("the user database", users));

    let redeem = Arc::new(move |uid, ticket: &str| tickets.redeem(uid, ticket));
    let front = dbus::context::Front::new(link.clone(), redeem, Arc::new(polkit::authorize));
    let front = Arc::new(front);
    tokio::spawn(front.clone().forget_keys_in_sleeps());
    let bus = dbus::serve(bus::SYSTEM, front).await.map_err(|e| format!("serving on the system bus: {e}"))?;
    servers.spawn(named("the connection to the system bus", until_closed(bus)));
    // A connection of its own: whatever is told there in whatever number, nobody else waits for it.
    let logins = hear_of_logins().await.map_err(|e| format!("listening on the system bus: {e}"))?;
    tokio::spawn(logind::follow(logins.clone(), link.clone()));
    tokio::spawn(sessions::follow(logins.clone(), link));
    servers.spawn(named("the connection that logins are heard of by", until_closed(logins)));
    Ok(async move {
        match servers.join_next().await {
            Some(Ok(which)) => format!("{which} has ended"),
            Some(Err(error)) => format!("a front has ended: {error}"),
            None => "there are no fronts".to_owned(),
        }
    })
}

async fn hear_of_logins() -> zbus::Result<zbus::Connection> {
    let door = dbus::door::Door { stream: bus::dial(bus::SYSTEM).await?, guard: None };
    zbus::connection::Builder::socket(door).build().await
}

async fn serve_users(listener: std::os::unix::net::UnixListener, service: varlink::Service) {
    match UnixListener::from_std(listener) {
        Ok(listener) => varlink::serve(listener, service).await,
        Err(error) => tracing::error!("the user database's socket cannot be used: {error}"),
    }
}

/// Runs a front on a thread of its own, however busy the others are; what it gives returns when that has ended.
fn on_a_thread<Front>(
    name: &str,
    front: impl FnOnce() -> Front + Send + 'static,
) -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, String>
where
    Front: Future<Output = ()>,
{
    let describe = |error: std::io::Error| format!("starting the thread {name}: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(describe)?;
    let (alive, ended) = oneshot::channel::<Infallible>();
    let serve = move || {
        runtime.block_on(async {
            tokio::select! {
                () = front() => {}
                never = beat::stay_alive() => match never {},
            }
        });
        drop(alive);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(serve).map_err(describe)?;
    Ok(Box::pin(async move { drop(ended.await) }))
}

async fn named(what: &str, front: impl Future<Output = ()>) -> String {
    front.await;
    what.to_owned()
}

fn listen(handed: &mut Handed, name: &str, path: &Path) -> Result<UnixListener, String> {
    let listener = handed.listen(name, path).and_then(UnixListener::from_std);
    listener.map_err(|e| format!("{}: {e}", path.display()))
}

async fn until_closed(bus: zbus::Connection) {
    bus.closed().await;
}

/// The next client, and who it is.
async fn accept(listener: &UnixListener) -> (tokio::net::UnixStream, u32) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A byte out of band, and the file with it, is like any other: else it is seen by nobody who looks, and
                // dropped by whoever reads.
                let _ = rustix::net::sockopt::set_socket_oobinline(&stream, true);
                match stream.peer_cred() {
                    Ok(peer) => return (stream, peer.uid()),
                    Err(_) => client::turn_away(stream),
                }
            }
            Err(error) => {
                tracing::warn!("nobody is let in for a moment: {error}");
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
}
