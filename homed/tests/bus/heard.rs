//! Who listens to every signal of the daemon, as AccountsService does.

use super::bus::Client;
use futures_util::StreamExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use zbus::{MatchRule, MessageStream, message::Type};

/// What was heard, in order: member and object.
pub struct Heard {
    all: Arc<Mutex<Vec<String>>>,
    news: Arc<Notify>,
}

impl Heard {
    /// Listens from now on.
    pub async fn start(address: &str) -> Self {
        let connection = zbus::connection::Builder::address(address).build().await.expect("connected");
        let rule = MatchRule::builder().msg_type(Type::Signal).build().expect("a rule");
        let room = std::num::NonZero::new(4096);
        let mut stream = MessageStream::for_match_rule(rule, &connection, room).await.expect("listens");
        let heard = Self { all: Arc::default(), news: Arc::default() };
        let (all, news) = (heard.all.clone(), heard.news.clone());
        tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let header = message.header();
                if let (Some(member), Some(path)) = (header.member(), header.path()) {
                    all.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{member} {path}"));
                    news.notify_one();
                }
            }
            drop(connection);
        });
        heard
    }

    /// All that was said until now and concerns that object. A new home is the last word: the daemon speaks in order.
    pub async fn of(&self, client: &Client, path: &str) -> Vec<String> {
        let added = |all: &[String]| all.iter().filter(|said| said.starts_with("InterfacesAdded")).count();
        let before = added(&self.all());
        client.create(&format!("last{before}")).await.expect("created");
        while added(&self.all()) == before {
            self.news.notified().await;
        }
        self.all().iter().filter(|said| said.ends_with(path)).cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<String>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
