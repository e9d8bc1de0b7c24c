//! The fronts on a thread of their own: what they do costs the loop nothing, and what the loop does costs them nothing.

use super::{beat, notify};
use tokio::sync::oneshot;

/// The fronts, as the loop sees them.
pub struct Serving(oneshot::Receiver<String>);

impl Serving {
    /// Returns when one of them could not be started or has ended, with the reason.
    pub async fn ended(&mut self) -> String {
        let silent = "the thread of the fronts has ended";
        (&mut self.0).await.unwrap_or_else(|_| silent.to_owned())
    }
}

/// Starts them; the service manager hears when they are there.
pub fn start<Starting, Fronts>(fronts: impl FnOnce() -> Starting + Send + 'static) -> Result<Serving, String>
where
    Starting: Future<Output = Result<Fronts, String>>,
    Fronts: Future<Output = String>,
{
    let (ended, serving) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("starting the fronts: {error}"))?;
    let serve = move || {
        let why = runtime.block_on(async {
            tokio::select! {
                why = until_ended(fronts) => why,
                never = beat::stay_alive() => match never {},
            }
        });
        // A loop that has ended needs no word.
        let _ = ended.send(why);
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name("fronts".into())
        .spawn(serve)
        .map_err(|error| format!("starting the fronts: {error}"))?;
    Ok(Serving(serving))
}

async fn until_ended<Starting, Fronts>(fronts: impl FnOnce() -> Starting) -> String
where
    Starting: Future<Output = Result<Fronts, String>>,
    Fronts: Future<Output = String>,
{
    match fronts().await {
        Ok(serving) => {
            notify::tell("READY=1");
            // Thousands of homes were shown.
            crate::sys::memory::give_back();
            serving.await
        }
        Err(why) => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_front_that_ends_or_cannot_start_is_told_of() {
        let mut serving = start(|| async { Ok(async { "closed".to_owned() }) }).expect("started");
        assert_eq!(serving.ended().await, "closed");
        let failed = || async { Err::<std::future::Ready<String>, _>("in use".to_owned()) };
        assert_eq!(start(failed).expect("started").ended().await, "in use");
        let panics = || async { Ok(async { panic!("a test's") }) };
        assert!(start(panics).expect("started").ended().await.contains("has ended"));
    }
}
