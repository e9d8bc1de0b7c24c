//! The connections to the user database. Nobody is turned away: where a user has too many, or strangers all together, the
//! one that has been silent for longest makes room, of whoever has most.

use super::{Service, converse};
use crate::daemon::link::{Good, Homes, Link, Place, Standing};
use crate::front::client::{self, Client};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UnixStream;
use tokio::task::AbortHandle;

/// All of them; clones share them.
#[derive(Clone, Default)]
pub struct Readers(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    readers: BTreeMap<u64, Reader>,
}

struct Reader {
    uid: u32,
    standing: Standing,
    /// When it was heard last, by count.
    heard: u64,
    place: Arc<Place>,
    task: AbortHandle,
}

impl Readers {
    /// Serves a client in a task of its own.
    pub async fn let_in(&self, stream: UnixStream, uid: u32, service: &Service) {
        let place = loop {
            match service.link.take(Good::Reader, uid, 1) {
                Ok(place) => break Arc::new(place),
                // Room is made one by one; where nobody can make any, the client finds the connection closed.
                // Who makes room closes its descriptor in a task of its own: that comes first.
                Err(_) if self.make_room(uid, service.link.has_all(Good::Reader, uid)) => {
                    tokio::task::yield_now().await
                }
                Err(_) => return client::turn_away(stream),
            }
        };
        let standing = service.link.standing(uid);
        let id = {
            let mut table = self.table();
            table.next += 1;
            table.next
        };
        let guard = Guard { readers: self.clone(), id, peer: uid };
        let service = service.clone();
        // It runs when this task waits, and finds itself in the table.
        let client = Client::new(stream, place.clone());
        let task = tokio::spawn(async move { drop(converse(client, service, guard).await) }).abort_handle();
        self.table().readers.insert(id, Reader { uid, standing, heard: id, place, task });
    }

    /// Ends one connection: of that UID, or of the stranger with most, unless that would not help: who has all that one may have
    /// makes room for itself. (Places of connections that wait to be closed are taken by nobody here.)
    fn make_room(&self, uid: u32, has_all: bool) -> bool {
        let mut table = self.table();
        let own = table.readers.values().filter(|reader| reader.uid == uid).count();
        let greediest = table.greediest();
        let victim = match greediest {
            Some((other, count)) if count > own && !has_all => other,
            _ if own > 0 => uid,
            _ => return false,
        };
        let of_victim = table.readers.iter().filter(|(_, reader)| reader.uid == victim);
        let Some(id) = of_victim.min_by_key(|(_, reader)| reader.heard).map(|(id, _)| *id) else {
            return false;
        };
        table.end(id);
        true
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The stranger with most connections, and how many.
    fn greediest(&self) -> Option<(u32, usize)> {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for reader in self.readers.values().filter(|reader| reader.standing == Standing::Stranger) {
            *counts.entry(reader.uid).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count)
    }

    fn end(&mut self, id: u64) {
        if let Some(reader) = self.readers.remove(&id) {
            reader.task.abort();
        }
    }
}

/// One connection, in its own task.
pub struct Guard {
    readers: Readers,
    id: u64,
    /// Whose.
    pub peer: u32,
}

impl Guard {
    /// It has asked something.
    pub fn is_used(&self) {
        let mut table = self.readers.table();
        table.next += 1;
        let now = table.next;
        if let Some(reader) = table.readers.get_mut(&self.id) {
            reader.heard = now;
        }
    }

    /// The homes there are; `None`: it has made room for another.
    pub fn homes(&self, link: &Link) -> Option<Arc<Homes>> {
        let place = self.readers.table().readers.get(&self.id).map(|reader| reader.place.clone())?;
        Some(link.homes(&place))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.readers.table().readers.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::{HostName, Machine, MachineId};

    fn service() -> Service {
        let id = MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
        let machine = Arc::new(Machine { id, host: HostName("a".into()) });
        Service { link: Link::new().0, machine }
    }

    fn count(readers: &Readers, uid: u32) -> usize {
        readers.table().readers.values().filter(|reader| reader.uid == uid).count()
    }

    #[tokio::test]
    async fn the_silent_ones_of_the_greediest_make_room_and_nothing_is_left() {
        let (readers, service) = (Readers::default(), service());
        let mut clients = Vec::new();
        let mut come = async |uid: u32| {
            let (near, far) = UnixStream::pair().expect("made");
            readers.let_in(far, uid, &service).await;
            clients.push(near);
        };
        for _ in 0..1500 {
            come(2000).await;
        }
        let most = count(&readers, 2000);
        assert!(most < 200, "{most}");
        for uid in 3000..3064 {
            for _ in 0..100 {
                come(uid).await;
            }
        }
        // Whoever comes new gets in, and so do root and who had one already.
        for uid in [0, 2000, 9000] {
            come(uid).await;
            assert!(count(&readers, uid) > 0, "{uid}");
        }
        assert!(readers.table().readers.len() < 2000);
        clients.clear();
        while !readers.table().readers.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(service.link.take(Good::Reader, 2000, 1).is_ok());
    }

    #[tokio::test]
    async fn who_has_all_there_is_for_one_ends_nobody_elses() {
        let (readers, service) = (Readers::default(), service());
        let (_near, far) = UnixStream::pair().expect("made");
        readers.let_in(far, 3000, &service).await;
        // Connections that wait to be closed.
        let _stuck: Vec<_> = std::iter::from_fn(|| service.link.take(Good::Reader, 2000, 1).ok()).collect();
        let (_other, far) = UnixStream::pair().expect("made");
        readers.let_in(far, 2000, &service).await;
        assert_eq!((count(&readers, 3000), count(&readers, 2000)), (1, 0));
    }
}
