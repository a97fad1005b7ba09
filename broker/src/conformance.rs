//! One suite for every implementation of [`Storage`], so that the simple ones stay honest. **For tests**: it asserts,
//! and panics where a storage is wrong.

#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc, reason = "a suite of assertions")]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use futures::stream::TryStreamExt;
use tabvault_common::failure::Kind;
use uuid::Uuid;

use crate::storage::{Created, ObjectMeta, Storage};

/// More than fits into one request.
const BIG: usize = (40 << 20) + 12_345;
/// More than one page of a listing of S3 holds.
const MANY: usize = 1_100;
/// Names that are odd but honest.
const ODD: [&str; 10] = ["a b", "a:b", "käse", "β/γ", "100%", "a+b&c=d", "a?b#c", "~tilde'quote\"", "a%2Fb", "...dots"];

/// Runs the whole suite below a prefix of its own, which it empties at the end.
pub async fn run(storage: Arc<dyn Storage>) {
    let suite = Suite { root: format!("conformance-{}/", Uuid::new_v4().simple()), storage };
    suite.whole_objects().await;
    suite.creation().await;
    suite.writers().await;
    suite.ranges().await;
    suite.absence().await;
    suite.refusals().await;
    suite.listings().await;
    suite.odd_names().await;
    suite.deletion().await;
}

struct Suite {
    storage: Arc<dyn Storage>,
    root: String,
}

/// Bytes in which every position can be told from its neighbours.
fn pattern(size: usize) -> Bytes {
    (0..size as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect::<Vec<_>>().into()
}

impl Suite {
    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    async fn read(&self, path: &str, range: Option<std::ops::Range<u64>>) -> Result<Vec<u8>, Kind> {
        let pieces = match self.storage.read(path, range).await {
            Ok(stream) => stream.try_collect::<Vec<_>>().await,
            Err(failure) => Err(failure),
        };
        pieces.map(|pieces| pieces.concat()).map_err(|failure| failure.kind)
    }

    async fn objects(&self, prefix: &str) -> Vec<ObjectMeta> {
        let mut objects: Vec<_> = self.storage.list(prefix).await.unwrap().try_collect().await.unwrap();
        objects.sort_by(|a, b| a.path.cmp(&b.path));
        objects
    }

    async fn level(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<_> = self.storage.list_level(prefix).await.unwrap().try_collect().await.unwrap();
        names.sort();
        names
    }

    async fn whole_objects(&self) {
        let path = self.path("whole/a");
        for data in [pattern(1), pattern(3 << 20), Bytes::new(), pattern(17)] {
            self.storage.put(&path, data.clone()).await.unwrap();
            assert_eq!(self.storage.get(&path, 4 << 20).await.unwrap(), data);
            assert_eq!(self.read(&path, None).await.unwrap(), data);
            let meta = ObjectMeta { path: path.clone(), size: data.len() as u64 };
            assert_eq!(self.storage.stat(&path).await.unwrap(), Some(meta));
        }
        assert_eq!(self.storage.get(&path, 17).await.unwrap().len(), 17, "a limit may be reached");
        let failure = self.storage.get(&path, 16).await.unwrap_err();
        assert_eq!(failure.kind, Kind::ResourceExhausted, "a limit may not be passed: {failure}");
    }

    async fn creation(&self) {
        let path = self.path("create/a");
        let own = |n: usize| Bytes::from(format!("creator {n}"));
        let answers = join_all((0..16).map(|n| {
            let (storage, path) = (self.storage.clone(), path.clone());
            tokio::spawn(async move { storage.create(&path, own(n)).await.unwrap() })
        }))
        .await;
        let winners: Vec<_> = answers
            .into_iter()
            .enumerate()
            .filter_map(|(n, answer)| (answer.unwrap() == Created::New).then_some(n))
            .collect();
        assert_eq!(winners.len(), 1, "exactly one creator wins");
        assert_eq!(self.storage.get(&path, 64).await.unwrap(), own(winners[0]));
        assert_eq!(self.storage.create(&path, Bytes::new()).await.unwrap(), Created::Exists);
        assert_eq!(self.storage.get(&path, 64).await.unwrap(), own(winners[0]), "the loser changes nothing");

        self.storage.put(&path, Bytes::from_static(b"put")).await.unwrap();
        assert_eq!(self.storage.get(&path, 64).await.unwrap(), "put", "a put replaces what was created");
        self.storage.delete(std::slice::from_ref(&path)).await.unwrap();
        assert_eq!(self.storage.create(&path, Bytes::new()).await.unwrap(), Created::New, "a name can be free again");
    }

    async fn writers(&self) {
        assert!(self.storage.writer_memory(Some(10)) <= 10, "a writer of a small object holds no more than that");
        let large = self.storage.writer_memory(Some(BIG as u64));
        assert!(large > 10 && self.storage.writer_memory(None) >= large, "without a hint an object may be large");
        for (name, size, hint) in [
            ("empty", 0, Some(0)),
            ("small", 100_000, None),
            ("big", BIG, Some(BIG as u64)),
            ("surprise", BIG, None),
            ("wrong", BIG, Some(1)),
        ] {
            let (path, data) = (self.path(&format!("writer/{name}")), pattern(size));
            let mut writer = self.storage.writer(&path, hint).await.unwrap();
            for piece in data.chunks(700_001) {
                writer.write(data.slice_ref(piece)).await.unwrap();
            }
            assert_eq!(self.storage.stat(&path).await.unwrap(), None, "nothing is visible before close");
            writer.close().await.unwrap();
            assert!(self.read(&path, None).await.unwrap() == data, "{name}: the bytes come back");
        }
        let path = self.path("writer/small");
        let mut writer = self.storage.writer(&path, None).await.unwrap();
        writer.write(Bytes::from_static(b"new")).await.unwrap();
        assert_eq!(self.storage.stat(&path).await.unwrap().unwrap().size, 100_000, "the old is there until close");
        writer.close().await.unwrap();
        assert_eq!(self.storage.get(&path, 9).await.unwrap(), "new");

        for (name, size) in [("given-up", 10), ("given-up-late", BIG)] {
            let path = self.path(&format!("abort/{name}"));
            let mut writer = self.storage.writer(&path, Some(size as u64)).await.unwrap();
            writer.write(pattern(size)).await.unwrap();
            writer.abort().await.unwrap();
            assert_eq!(self.storage.stat(&path).await.unwrap(), None);
        }
        let mut writer = self.storage.writer(&self.path("abort/dropped"), None).await.unwrap();
        writer.write(Bytes::from_static(b"x")).await.unwrap();
        drop(writer);
        assert_eq!(self.objects(&self.path("abort/")).await, [], "what is given up leaves nothing");
    }

    async fn ranges(&self) {
        let (path, data) = (self.path("ranges/a"), pattern(3_000_000));
        self.storage.put(&path, data.clone()).await.unwrap();
        for range in [0..3_000_000, 0..1, 2_999_999..3_000_000, 7..2_500_000, 5..5, 0..0, 3_000_000..3_000_000] {
            let wanted = &data[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
            assert!(self.read(&path, Some(range.clone())).await.unwrap() == wanted, "{range:?}");
        }
        for range in [0..3_000_001, 2_999_999..3_000_001, 3_000_000..3_000_001, 4_000_000..5_000_000] {
            assert_eq!(self.read(&path, Some(range.clone())).await, Err(Kind::Corrupt), "{range:?}");
        }
        #[allow(clippy::reversed_empty_ranges, reason = "it must be refused")]
        let backwards = 5..4;
        assert_eq!(self.read(&path, Some(backwards)).await, Err(Kind::InvalidArgument));
    }

    async fn absence(&self) {
        self.storage.put(&self.path("absent/level/object"), Bytes::new()).await.unwrap();
        for name in ["absent/nothing", "absent/nothing/deeper", "absent/level"] {
            let path = self.path(name);
            assert_eq!(self.storage.get(&path, 1).await.unwrap_err().kind, Kind::NotFound, "get {path}");
            assert_eq!(self.read(&path, None).await, Err(Kind::NotFound), "read {path}");
            assert_eq!(self.read(&path, Some(0..1)).await, Err(Kind::NotFound), "read {path}");
            assert_eq!(self.read(&path, Some(0..0)).await, Err(Kind::NotFound), "read {path}");
            assert_eq!(self.storage.stat(&path).await.unwrap(), None, "stat {path}");
            self.storage.delete(&[path]).await.unwrap();
        }
        assert_eq!(self.objects(&self.path("absent/")).await.len(), 1);
        assert_eq!(self.objects(&self.path("nowhere/")).await, []);
        assert_eq!(self.level(&self.path("nowhere/")).await, [""; 0]);
    }

    async fn refusals(&self) {
        for path in ["", "/a", "a/", "a//b", "../a", "a/../b", " a", "a "] {
            let kind = |answer: Result<(), tabvault_common::failure::Failure>| answer.unwrap_err().kind;
            assert_eq!(kind(self.storage.put(path, Bytes::new()).await), Kind::InvalidArgument, "{path:?}");
            assert_eq!(kind(self.storage.delete(&[path.to_owned()]).await), Kind::InvalidArgument, "{path:?}");
            assert_eq!(self.storage.stat(path).await.unwrap_err().kind, Kind::InvalidArgument, "{path:?}");
        }
        assert!(self.storage.list("no-slash").await.is_err());
    }

    async fn listings(&self) {
        let wanted: BTreeSet<_> = (0..MANY).map(|n| self.path(&format!("list/{:02}/{n:04}", n % 7))).collect();
        for some in wanted.iter().collect::<Vec<_>>().chunks(50) {
            join_all(
                some.iter().map(|path| async { self.storage.put(path, Bytes::from_static(b"xy")).await.unwrap() }),
            )
            .await;
        }
        let deep = self.objects(&self.path("list/")).await;
        assert!(deep.iter().all(|object| object.size == 2));
        assert_eq!(deep.into_iter().map(|object| object.path).collect::<BTreeSet<_>>(), wanted);
        let levels: Vec<_> = (0..7).map(|n| self.path(&format!("list/{n:02}/"))).collect();
        assert_eq!(self.level(&self.path("list/")).await, levels);
        let in_one: Vec<_> = wanted.iter().filter(|path| path.starts_with(&levels[3])).cloned().collect();
        assert_eq!(self.level(&levels[3]).await, in_one);
        assert!(self.level("").await.contains(&self.root), "the root itself can be listed");

        self.storage.put(&self.path("list/03-beside"), Bytes::new()).await.unwrap();
        assert_eq!(self.objects(&levels[3]).await.len(), in_one.len(), "a prefix is a level, not a beginning of names");

        let all: Vec<_> = wanted.into_iter().collect();
        self.storage.delete(&all).await.unwrap();
        assert_eq!(self.level(&self.path("list/")).await, [self.path("list/03-beside")]);
    }

    async fn odd_names(&self) {
        for name in ODD {
            let path = self.path(&format!("odd/{name}"));
            let data = Bytes::from(name);
            self.storage.put(&path, data.clone()).await.unwrap();
            assert_eq!(self.storage.get(&path, 100).await.unwrap(), data, "{name}");
            assert_eq!(self.storage.stat(&path).await.unwrap().unwrap().path, path);
            assert_eq!(self.storage.create(&path, data).await.unwrap(), Created::Exists, "{name}");
        }
        let listed: BTreeSet<_> =
            self.objects(&self.path("odd/")).await.into_iter().map(|object| object.path).collect();
        assert_eq!(listed, ODD.iter().map(|name| self.path(&format!("odd/{name}"))).collect());
        self.storage.delete(&listed.into_iter().collect::<Vec<_>>()).await.unwrap();
        assert_eq!(self.objects(&self.path("odd/")).await, []);
    }

    async fn deletion(&self) {
        self.storage.delete(&[]).await.unwrap();
        let left: Vec<_> = self.objects(&self.root).await.into_iter().map(|object| object.path).collect();
        assert!(!left.is_empty());
        for _ in 0..2 {
            self.storage.delete(&left).await.unwrap();
            assert_eq!(self.objects(&self.root).await, [], "deleting is done at once, and may be repeated");
        }
        assert!(!self.level("").await.contains(&self.root), "a level without objects is none");
    }
}
