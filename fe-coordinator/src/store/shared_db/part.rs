//! One user's part of a [`SharedDb`](super::SharedDb): changes and looks, one after another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tabvault_common::failure::{Failure, Kind, Retry};

use super::{Inner, Result, failure, let_go_of_garbage};

/// One user's part of a database. Clones share it.
#[derive(Clone)]
pub(crate) struct Part {
    inner: Arc<Inner>,
    turns: Arc<Turns>,
}

/// Who may go on in a part.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Held for writing by a change, for reading by a look.
    last: RwLock<Last>,
}

/// Which change of a part was the last.
#[derive(Debug, Default)]
struct Last {
    /// Of those that did not say what they touch.
    whole: u64,
    /// Of each kind of record; there are few kinds.
    kinds: BTreeMap<String, u64>,
}

impl Last {
    /// Of all.
    fn of_all(&self) -> u64 {
        self.kinds.values().copied().fold(self.whole, u64::max)
    }

    /// Of those that may have touched records of this kind.
    fn of(&self, kind: &str) -> u64 {
        self.kinds.get(kind).copied().unwrap_or_default().max(self.whole)
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

impl Part {
    pub(super) fn new(inner: Arc<Inner>, turns: Arc<Turns>) -> Self {
        Self { inner, turns }
    }

    /// Opens a tree, made if it is new, that no other part uses. Blocks.
    pub(crate) fn tree(&self, name: &str) -> Result<sled::Tree> {
        let tree = self.inner.db.open_tree(name);
        tree.map_err(|error| failure(format_args!("open {name} in {}", self.inner.dir.display()), error))
    }

    /// Runs `change` alone in this part and answers with its answer when all that it did or saw is durable. What it
    /// changes must be one batch.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.change(change, |last, number| last.whole = number).await
    }

    /// As [`Self::write`], of a change that touches records of these kinds alone.
    pub(crate) async fn write_kinds<T: Send + 'static>(
        &self,
        kinds: BTreeSet<String>,
        change: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let touch = |last: &mut Last, number| last.kinds.extend(kinds.into_iter().map(|kind| (kind, number)));
        self.change(change, touch).await
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce() -> Result<T> + Send + 'static,
        touch: impl FnOnce(&mut Last, u64) + Send + 'static,
    ) -> Result<T> {
        let Self { inner, turns } = self.clone();
        let (answer, number) = self
            .blocking(move || {
                inner.refuse_after_failure()?;
                let mut last = turns.last.write().unwrap_or_else(PoisonError::into_inner);
                let answer = change();
                if answer.is_err() {
                    return Ok((answer, last.of_all()));
                }
                let number = inner.progress().next_change();
                touch(&mut last, number);
                Ok((answer, number))
            })
            .await?;
        self.wait_durable(number).await?;
        answer
    }

    /// Runs `look` while nothing changes in this part and answers with its answer when all that it saw is durable.
    pub(crate) async fn read<T: Send + 'static>(&self, look: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        self.look(look, Last::of_all).await
    }

    /// As [`Self::read`], of a look that sees records of this kind alone: it does not wait until changes of others are
    /// durable.
    pub(crate) async fn read_kind<T: Send + 'static>(
        &self,
        kind: String,
        look: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.look(look, move |last| last.of(&kind)).await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T> + Send + 'static,
        seen: impl FnOnce(&Last) -> u64 + Send + 'static,
    ) -> Result<T> {
        let Self { inner, turns } = self.clone();
        let (answer, number) = self
            .blocking(move || {
                let last = turns.last.read().unwrap_or_else(PoisonError::into_inner);
                let answer = look();
                // Until here: the directory must not be let go while somebody looks.
                drop(inner);
                Ok((answer, seen(&last)))
            })
            .await?;
        self.wait_durable(number).await?;
        answer
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        // It is never closed.
        let _thread = self.inner.threads.acquire().await;
        let done = tokio::task::spawn_blocking(move || {
            let answer = work();
            let_go_of_garbage(0);
            answer
        });
        done.await.unwrap_or_else(|error| {
            Err(Failure {
                kind: Kind::Internal,
                retry: Retry::OutcomeUnknown,
                message: format!("use the database: {error}"),
            })
        })
    }

    /// Returns when the changes up to `number` are durable: flushed for this caller or for another.
    async fn wait_durable(&self, number: u64) -> Result<()> {
        loop {
            let flushed = self.inner.flushed.notified();
            tokio::pin!(flushed);
            // From here on no flush that ends goes unheard.
            flushed.as_mut().enable();
            if self.inner.is_durable(number)? {
                return Ok(());
            }
            if self.inner.begin_flush() {
                let inner = Arc::clone(&self.inner);
                // It goes on when nobody waits for it any more.
                tokio::task::spawn_blocking(move || {
                    let flushed = Arc::clone(&inner.flushed);
                    inner.flush_what_changed();
                    let_go_of_garbage(0);
                    // Let go first: who has heard of it may close the database.
                    drop(inner);
                    flushed.notify_waiters();
                });
            }
            flushed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::SharedDb;
    use super::*;

    #[tokio::test]
    async fn changes_that_come_while_one_is_flushed_share_the_next_flush() {
        let dir = tempfile::tempdir().unwrap();
        let db = SharedDb::open(dir.path()).unwrap();
        let part = db.part("t");
        let tree = part.tree("t").unwrap();
        // As if a flush were running.
        db.inner.progress().flushing = true;
        let writes: Vec<_> = (0..16_u8)
            .map(|number| {
                let (part, tree) = (part.clone(), tree.clone());
                tokio::spawn(async move { part.write(move || Ok(tree.insert([number], &[1]).is_ok())).await })
            })
            .collect();
        while db.inner.progress().changed < 16 {
            tokio::task::yield_now().await;
        }
        assert_eq!(db.inner.progress().durable, 0, "nobody is answered before the flush");
        db.inner.progress().flushing = false;
        db.inner.flushed.notify_waiters();
        for write in writes {
            assert!(write.await.unwrap().unwrap());
        }
        let progress = db.inner.progress();
        assert_eq!((progress.durable, progress.flushes), (16, 1));
    }

    #[tokio::test]
    async fn after_a_failed_flush_nothing_is_written_or_answered() {
        let dir = tempfile::tempdir().unwrap();
        let db = SharedDb::open(dir.path()).unwrap();
        db.inner.progress().failed = Some(Failure::fatal(Kind::Internal, "flush: the disk is gone"));
        let part = db.part("t");
        let tree = part.tree("t").unwrap();
        let write = tree.clone();
        assert!(part.write(move || Ok(write.insert(b"k", b"v").is_ok())).await.is_err());
        assert!(tree.get(b"k").unwrap().is_none());
        assert!(part.read(|| Ok(())).await.is_err());
    }

    #[tokio::test]
    async fn a_look_is_answered_when_what_it_saw_is_durable() {
        let dir = tempfile::tempdir().unwrap();
        let db = SharedDb::open(dir.path()).unwrap();
        let before = db.inner.progress().flushes;
        let part = db.part("t");
        // A change that was made and is not flushed yet.
        db.inner.progress().changed += 1;
        part.turns.last.write().unwrap().whole = db.inner.progress().changed;
        part.read(|| Ok(())).await.unwrap();
        assert_eq!(db.inner.progress().flushes, before + 1);
        part.read(|| Ok(())).await.unwrap();
        assert_eq!(db.inner.progress().flushes, before + 1, "a look alone costs no flush");
    }

    #[tokio::test]
    async fn a_part_waits_neither_for_changes_of_another_nor_for_their_flush() {
        let dir = tempfile::tempdir().unwrap();
        let db = SharedDb::open(dir.path()).unwrap();
        let (mine, yours) = (db.part("mine"), db.part("yours"));
        let (begin, begun) = tokio::sync::oneshot::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let change = tokio::spawn(async move {
            let change = move || {
                begin.send(()).unwrap();
                ended.recv().unwrap();
                Ok(())
            };
            yours.write(change).await
        });
        begun.await.unwrap();
        mine.read(|| Ok(())).await.unwrap();
        // As if a flush were running that does not cover it.
        db.inner.progress().flushing = true;
        end.send(()).unwrap();
        while db.inner.progress().changed == 0 {
            tokio::task::yield_now().await;
        }
        mine.read(|| Ok(())).await.unwrap();
        assert!(!change.is_finished(), "it waits for its own flush");
        db.inner.progress().flushing = false;
        db.inner.flushed.notify_waiters();
        change.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_look_at_one_kind_waits_for_what_may_have_touched_it() {
        let dir = tempfile::tempdir().unwrap();
        let db = SharedDb::open(dir.path()).unwrap();
        let part = db.part("t");
        part.write_kinds(BTreeSet::from(["a".to_owned(), "b".to_owned()]), || Ok(())).await.unwrap();
        // As if a flush were running that covers nothing more.
        db.inner.progress().flushing = true;
        let other = part.clone();
        let change = tokio::spawn(async move { other.write_kinds(BTreeSet::from(["b".to_owned()]), || Ok(())).await });
        while db.inner.progress().changed == 1 {
            tokio::task::yield_now().await;
        }
        part.read_kind("a".to_owned(), || Ok(())).await.unwrap();
        part.read_kind("c".to_owned(), || Ok(())).await.unwrap();
        let last = part.turns.last.read().unwrap().kinds.clone();
        assert_eq!(last, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
        assert!(!change.is_finished());
        let looks = [
            tokio::spawn({
                let part = part.clone();
                async move { part.read_kind("b".to_owned(), || Ok(())).await }
            }),
            tokio::spawn({
                let part = part.clone();
                async move { part.read(|| Ok(())).await }
            }),
        ];
        tokio::task::yield_now().await;
        assert_eq!(db.inner.progress().durable, 1);
        db.inner.progress().flushing = false;
        db.inner.flushed.notify_waiters();
        for look in looks {
            look.await.unwrap().unwrap();
            assert_eq!(db.inner.progress().durable, 2);
        }
        change.await.unwrap().unwrap();

        part.write(|| Ok(())).await.unwrap();
        let last = part.turns.last.read().unwrap();
        assert_eq!((last.of("a"), last.of("c"), last.of_all()), (3, 3, 3), "it may have touched all");
    }

    #[tokio::test]
    async fn who_asks_for_a_part_again_takes_turns_with_who_had_it() {
        let dir = tempfile::tempdir().unwrap();
        let db = SharedDb::open(dir.path()).unwrap();
        db.part("t").write(|| Ok(())).await.unwrap();
        assert_eq!(db.part("t").turns.last.read().unwrap().of_all(), 1);
        assert_eq!(db.part("u").turns.last.read().unwrap().of_all(), 0);
    }
}
