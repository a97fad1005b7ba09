//! Memory for what a task knows of its files. It is held while the task waits for that of its transfers.
//!
//! # Overview
//! There is a budget for lists alone. A list that takes all of it, one at a time then, has what is missing out of that of
//! transfers, up to half of it: what is left is a smaller budget, and no transfer waits for what the list has. So lists
//! wait for transfers, and never the other way round.

use std::sync::Arc;

use tabvault_common::failure::{Failure, Kind};

use super::{Inner, Memory, Reservation, UNIT};

/// Room for a list, until dropped. Given back in this order: who gets what is in `lists` may need more as well.
#[derive(Debug)]
pub(crate) struct Listed {
    _more: Option<Withheld>,
    _own: Reservation,
}

/// Waits for room for a list of `files` files that takes `bytes` in all: in `lists`, and for what does not fit there in
/// `memory`. Cancel safe.
///
/// # Errors
/// `ResourceExhausted` for a list that will never fit.
pub(crate) async fn reserve(lists: &Memory, memory: &Memory, files: u64, bytes: u64) -> Result<Listed, Failure> {
    let own = bytes.min(lists.budget());
    let more = bytes - own;
    let most = u64::from(memory.inner.total_units / 2) * UNIT;
    if more > most {
        let room = lists.budget() + most;
        let message = format!(
            "list {files} files: what is remembered of them takes {bytes} bytes of memory, and of memory_budget {room} \
             are for that: raise it, or spread the table over more buckets"
        );
        return Err(Failure::fatal(Kind::ResourceExhausted, message));
    }
    let own = lists.reserve(own).await?;
    let more = match u32::try_from(more.div_ceil(UNIT)).unwrap_or(u32::MAX) {
        0 => None,
        units => Some(withhold(memory, units).await?),
    };
    Ok(Listed { _more: more, _own: own })
}

/// A part of a budget that is not there for others. Given back in this order.
#[derive(Debug)]
struct Withheld {
    _taken: Reservation,
    _smaller: Smaller,
}

/// For whoever has all of the budget of lists, so that there is one at a time; `units` are at most half of `memory`.
async fn withhold(memory: &Memory, units: u32) -> Result<Withheld, Failure> {
    // Whoever has asked for more than will be left asks again, behind this.
    memory.inner.most.send_modify(|most| *most = most.saturating_sub(units));
    let smaller = Smaller { inner: Arc::clone(&memory.inner), units };
    let taken = memory.take(units).await?;
    Ok(Withheld { _taken: taken, _smaller: smaller })
}

/// A budget is smaller by so much.
#[derive(Debug)]
struct Smaller {
    inner: Arc<Inner>,
    units: u32,
}

impl Drop for Smaller {
    fn drop(&mut self) {
        self.inner.most.send_modify(|most| *most += self.units);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use futures::FutureExt;
    use tabvault_common::failure::Retry;

    use super::*;

    const KIB: u64 = 1 << 10;

    fn budgets() -> (Memory, Memory) {
        (Memory::new(100 * KIB), Memory::new(400 * KIB))
    }

    #[tokio::test]
    async fn a_list_is_accounted_in_full() {
        let (lists, memory) = budgets();
        let small = reserve(&lists, &memory, 1, 40 * KIB).await.unwrap();
        assert_eq!((lists.reserved(), memory.reserved()), (40 * KIB, 0));
        drop(small);
        let large = reserve(&lists, &memory, 1, 300 * KIB).await.unwrap();
        assert_eq!((lists.reserved(), memory.reserved()), (100 * KIB, 200 * KIB));
        drop(large);
        assert_eq!((lists.reserved(), memory.reserved()), (0, 0));
        let all = memory.reserve(u64::MAX).await.unwrap();
        assert_eq!(memory.reserved(), 400 * KIB);
        drop(all);
    }

    #[tokio::test]
    async fn a_list_that_never_fits_is_refused_with_what_to_change() {
        let (lists, memory) = budgets();
        let failure = reserve(&lists, &memory, 1234, 300 * KIB + 1).now_or_never().unwrap().unwrap_err();
        assert_eq!(failure.kind, Kind::ResourceExhausted);
        assert_eq!(failure.retry, Retry::Never);
        for part in ["1234 files", "307201 bytes", "307200", "memory_budget", "buckets"] {
            assert!(failure.message.contains(part), "{part}: {failure}");
        }
        assert!(reserve(&lists, &memory, u64::MAX, u64::MAX).now_or_never().unwrap().is_err());
        assert_eq!((lists.peak(), memory.peak()), (0, 0));
    }

    #[tokio::test]
    async fn who_holds_a_list_gets_memory_whoever_waits_for_all_of_it() {
        let (lists, memory) = budgets();
        let running = memory.reserve(300 * KIB).await.unwrap();
        let mut alone = Box::pin(memory.reserve(u64::MAX));
        assert!(alone.as_mut().now_or_never().is_none());
        let mut list = Box::pin(reserve(&lists, &memory, 1, 300 * KIB));
        assert!(list.as_mut().now_or_never().is_none());
        let mut late = Box::pin(memory.reserve(u64::MAX));
        assert!(late.as_mut().now_or_never().is_none());
        assert!(alone.as_mut().now_or_never().is_none(), "it asks for less now");
        drop(running);
        let list = list.now_or_never().unwrap().unwrap();
        assert_eq!(memory.reserved(), 200 * KIB);
        // The holder of the list comes last.
        let own = memory.reserve(150 * KIB);
        tokio::pin!(own);
        assert!(own.as_mut().now_or_never().is_none());
        drop(late.now_or_never().unwrap().unwrap());
        drop(alone.now_or_never().unwrap().unwrap());
        assert!(own.now_or_never().unwrap().is_ok());
        drop(list);
        assert_eq!((lists.reserved(), memory.reserved()), (0, 0));
    }

    #[tokio::test]
    async fn of_several_lists_one_at_a_time_has_memory_of_transfers_and_leaves_them_half() {
        let (lists, memory) = budgets();
        let first = reserve(&lists, &memory, 1, 300 * KIB).await.unwrap();
        // All of `lists` is taken: the next one waits there, and holds nothing of the other.
        let mut second = Box::pin(reserve(&lists, &memory, 1, 300 * KIB));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(memory.reserved(), 200 * KIB);
        assert!(memory.reserve(200 * KIB).now_or_never().is_some());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_list_that_nobody_waits_for_any_more_gives_its_part_back() {
        let (lists, memory) = budgets();
        let running = memory.reserve(300 * KIB).await.unwrap();
        let mut list = Box::pin(reserve(&lists, &memory, 1, 300 * KIB));
        assert!(list.as_mut().now_or_never().is_none());
        drop(list);
        drop(running);
        let _all = memory.reserve(u64::MAX).await.unwrap();
        assert_eq!((lists.reserved(), memory.reserved()), (0, 400 * KIB));
    }
}
