//! What the agent says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, OptionFuture};
use tabvault_common::failure::Failure;
use tabvault_common::task::TaskKey;
use tabvault_proto::v1;
use tabvault_proto::v1::agent_message::Message;
use tokio::sync::mpsc;

use super::{Session, send, survey};

impl Session {
    /// Sends reports as they come, heartbeats and progress every `interval`, until the stream ends; says why.
    pub(super) async fn speak(&self, up: &mpsc::Sender<v1::AgentMessage>, interval: Duration) -> Failure {
        match self.speak_until_failure(up, interval).await {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    async fn speak_until_failure(
        &self,
        up: &mpsc::Sender<v1::AgentMessage>,
        interval: Duration,
    ) -> Result<std::convert::Infallible, Failure> {
        let clock = Arc::clone(&self.config.clock);
        let results = &self.worker.results;
        let mut changes = results.changes();
        let mut sent = 0;
        let mut shown = HashMap::new();
        let mut tick = clock.sleep(interval);
        // A disk that hangs must not keep heartbeats back: the last survey is sent until the next one is there.
        let mut surveying: OptionFuture<BoxFuture<'_, v1::Heartbeat>> = None.into();
        let mut last = v1::Heartbeat::default();
        let mut overdue = false;
        loop {
            while let Some((number, report)) = results.next_after(sent) {
                send(up, Message::Report((&report).into())).await?;
                sent = number;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = &mut tick => {
                    tick = clock.sleep(interval);
                    if overdue {
                        send(up, Message::Heartbeat(last.clone())).await?;
                    } else {
                        overdue = true;
                        surveying = Some(survey::survey(&self.shared, &self.worker).boxed()).into();
                    }
                    self.show_progress(up, &mut shown).await?;
                }
                Some(heartbeat) = &mut surveying, if overdue => {
                    overdue = false;
                    surveying = None.into();
                    last = heartbeat;
                    send(up, Message::Heartbeat(last.clone())).await?;
                }
            }
        }
    }

    /// Sends the progress of tasks that have moved since the last time.
    async fn show_progress(
        &self,
        up: &mpsc::Sender<v1::AgentMessage>,
        shown: &mut HashMap<TaskKey, (u64, u64)>,
    ) -> Result<(), Failure> {
        let now = self.worker.progress();
        let before = std::mem::take(shown);
        for progress in now {
            let values = (progress.done, progress.total);
            shown.insert(progress.key, values);
            if values != (0, 0) && before.get(&progress.key) != Some(&values) {
                send(up, Message::Progress(progress.into())).await?;
            }
        }
        Ok(())
    }
}
