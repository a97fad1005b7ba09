//! SIGTERM and SIGINT: the first asks the process to end well, the second ends it at once.

use tabvault_common::failure::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell expects of a process that a signal has ended.
const ENDED_BY_SIGNAL: i32 = 130;

/// Both signals, watched from when it is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Watches for them from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn watch() -> Result<Self, Failure> {
        let watch = |kind| signal(kind).map_err(|error| Failure::io("watch for signals", &error));
        Ok(Self { terminate: watch(SignalKind::terminate())?, interrupt: watch(SignalKind::interrupt())? })
    }

    /// Waits for the first; from then on another one ends the process at once.
    pub async fn first(mut self) {
        self.next().await;
        tracing::info!("a signal asks to end; another one ends at once");
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(ENDED_BY_SIGNAL);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
