//! The firmware, and what it runs on: Trussed, with files for its flash memory and a file's word for a touch.

use crate::Answer;
use anyhow::{Context, Result, anyhow};
use ctaphid_dispatch::app::Command;
use ctaphid_dispatch::{Channel, DEFAULT_MESSAGE_SIZE, Dispatch, Requester};
use fido_authenticator::{Authenticator, Config, Conforming};
use heapless_bytes::Bytes;
use rand_core::OsRng;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use trussed::ClientImplementation;
use trussed::backend::BackendId;
use trussed::pipe::TrussedChannel;
use trussed::virt::{Runner, StorageConfig, Store, StoreConfig};
use trussed_core::types::consent::Level;
use trussed_staging::virt::{BackendIds, Dispatcher};

/// How long it waits for a touch, in milliseconds. (One that is for sale waits for 30 s.)
const PATIENCE: u32 = 1000;
/// What it needs of the stack in a build without optimization.
const STACK: usize = 16 << 20;
const TURN: Duration = Duration::from_millis(1);
/// What of Trussed it needs, and where that is.
const BACKENDS: &[BackendId<BackendIds>] = &[BackendId::Custom(BackendIds::StagingBackend), BackendId::Core];

/// What it stands on. (Trussed's own for tests has the same random numbers in all keys.)
struct Platform<'a> {
    random: OsRng,
    store: Store<'a>,
    user: User,
}

impl<'a> trussed::Platform for Platform<'a> {
    type R = OsRng;
    type S = Store<'a>;
    type UI = User;

    fn rng(&mut self) -> &mut OsRng {
        &mut self.random
    }

    fn store(&self) -> Store<'a> {
        self.store
    }

    fn user_interface(&mut self) -> &mut User {
        &mut self.user
    }
}

/// Who touches it.
struct User {
    folder: PathBuf,
    plugged_in: Instant,
}

impl trussed::platform::UserInterface for User {
    fn check_user_presence(&mut self) -> Level {
        if self.folder.join("untouched").exists() {
            std::thread::sleep(TURN);
            return Level::None;
        }
        let touches = std::fs::File::options().create(true).append(true).open(self.folder.join("touches"));
        match touches.and_then(|mut file| writeln!(file, "touch")) {
            Ok(()) => Level::Normal,
            Err(_) => Level::None,
        }
    }

    fn uptime(&mut self) -> Duration {
        self.plugged_in.elapsed()
    }
}

/// Plugs it in; `used` has it answer, and it is pulled out when that ends.
pub fn run(folder: &Path, used: &mut dyn FnMut(&mut Answer<'_>) -> Result<()>) -> Result<()> {
    let file = |name: &str| StorageConfig::filesystem(folder.join(name));
    let mut flash = StoreConfig {
        internal: file("internal"),
        external: file("external"),
        volatile: StorageConfig::ram(),
    };
    flash.with_store(|store| {
        let user = User { folder: folder.to_owned(), plugged_in: Instant::now() };
        let channel = TrussedChannel::new();
        let (requester, responder) = channel.split().context("a channel has two ends")?;
        let mut runner = Runner::new();
        runner.add_endpoint(responder, "fido", BACKENDS);
        let client = ClientImplementation::<_, Dispatcher>::new(requester, runner.syscall(), None);
        let config = Config { fido2_up_timeout: Some(PATIENCE), ..Config::new(DEFAULT_MESSAGE_SIZE) };
        let mut firmware = Authenticator::new(client, Conforming {}, config);
        runner.run(Platform { random: OsRng, store, user }, Dispatcher::default(), || {
            let channel = Channel::new();
            let (mut requester, responder) = channel.split().context("a channel has two ends")?;
            let ended = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let turns = || {
                    let mut dispatch = Dispatch::new(responder);
                    while !ended.load(Ordering::Relaxed) {
                        dispatch.poll(&mut [&mut firmware]);
                        std::thread::sleep(TURN);
                    }
                };
                std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, turns)?;
                let done = used(&mut |message| answer(&mut requester, message));
                ended.store(true, Ordering::Relaxed);
                done
            })
        })
    })
}

fn answer(requester: &mut Requester<'_, DEFAULT_MESSAGE_SIZE>, message: &[u8]) -> Result<Vec<u8>> {
    if requester.state() == interchange::State::Responded {
        requester.take_response();
    }
    let message = Bytes::try_from(message).map_err(|_| anyhow!("a long message"))?;
    requester.request((Command::Cbor, message)).map_err(|_| anyhow!("it is busy"))?;
    loop {
        if let Ok(response) = requester.response() {
            // CTAP1_ERR_OTHER, where it has no answer.
            return Ok(response.0.as_ref().map_or_else(|_| vec![0x7f], |answer| answer.to_vec()));
        }
        std::thread::sleep(TURN);
    }
}
