//! Telling somebody something, and waiting until it is dealt with.

use tokio::sync::{mpsc, oneshot};

/// Puts what `message` makes of the way back into `inbox` and waits for the answer. `None` says that the owner of the
/// inbox has gone without one.
pub(crate) async fn tell<M, A>(inbox: &mpsc::Sender<M>, message: impl FnOnce(oneshot::Sender<A>) -> M) -> Option<A> {
    let (answer, mut heard) = oneshot::channel();
    inbox.send(message(answer)).await.ok()?;
    // What comes in at the very moment at which its owner lets the inbox go stays in there, and with it the way back,
    // for as long as anybody could put something in. So the answer alone is not enough to wait for.
    tokio::select! {
        biased;
        heard = &mut heard => heard.ok(),
        // The owner may have answered just before.
        () = inbox.closed() => heard.try_recv().ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_answered_is_heard_also_from_one_who_then_goes() {
        let (inbox, mut told) = mpsc::channel::<oneshot::Sender<u8>>(1);
        let owner = async move { told.recv().await.unwrap().send(7).unwrap() };
        let (heard, ()) = tokio::join!(tell(&inbox, |answer| answer), owner);
        assert_eq!(heard, Some(7));
        assert_eq!(tell(&inbox, |answer| answer).await, None, "nobody is there");
    }

    #[tokio::test]
    async fn who_goes_without_an_answer_is_not_waited_for() {
        let (inbox, mut told) = mpsc::channel::<oneshot::Sender<u8>>(1);
        let owner = async move { drop(told.recv().await.unwrap()) };
        assert_eq!(tokio::join!(tell(&inbox, |answer| answer), owner).0, None);
    }

    /// Both at the same moment, often enough that every order comes.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_inbox_that_goes_while_something_comes_in_keeps_nobody() {
        let tries = async {
            for _ in 0..100_000 {
                let (inbox, told) = mpsc::channel::<oneshot::Sender<u8>>(256);
                let telling = tokio::spawn(async move { tell(&inbox, |answer| answer).await });
                let going = tokio::spawn(async move { drop(told) });
                assert_eq!(telling.await.unwrap(), None);
                going.await.unwrap();
            }
        };
        // Only so that a failure ends.
        tokio::time::timeout(Duration::from_mins(2), tries).await.unwrap();
    }
}
