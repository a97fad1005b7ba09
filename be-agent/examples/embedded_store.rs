//! A storage engine of one's own, made fit for backup and restore by implementing [`TabletStore`].
//!
//! The engine here keeps a tablet as a directory `<root>/tablets/<id>/` with one immutable file per load, under names
//! of its own choosing, and a small `tablet.json` that lists them. Everything about tabvault is in the `impl
//! TabletStore` below; the rest is the engine.
//!
//! ```text
//! cargo run --example embedded_store                                  # checks the store against the contract
//! cargo run --example embedded_store -- /data http://127.0.0.1:9020   # and starts an agent for it
//! ```
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tabvault_be_agent::agent::Agent;
use tabvault_be_agent::config::AgentConfig;
use tabvault_be_agent::store::conformance::{self, Fixture};
use tabvault_be_agent::store::{DataRoot, PinnedContent, PinnedFile, PinnedTablet, Result, TabletStore, Usage};
use tabvault_common::durable::{self, SyncFs};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, Lineage, SchemaHash, TabletId, TabletIdentity, Version};
use tabvault_common::task::{CreateTablet, JobEnd, TabletMapping, TabletVersion};
use tokio::sync::RwLock;

/// The engine's record of a tablet.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tablet {
    schema_hash: SchemaHash,
    lineage: Lineage,
    /// The job that made it and hides it; none for an ordinary tablet.
    owner: Option<JobUuid>,
    /// What it was restored from, by which job: how an adoption that is asked for twice is recognised.
    adopted: Option<(JobUuid, TabletIdentity)>,
    /// The version of its first contents, below which it knows nothing.
    base: Version,
    segments: Segments,
}

/// Files by name: the version that brought each, and its size.
type Segments = BTreeMap<String, (Version, u64)>;

/// The name of the list of segments within a snapshot.
const LIST: &str = "segments.json";

impl Tablet {
    fn latest(&self) -> Version {
        self.segments.values().map(|(version, _)| *version).max().unwrap_or(self.base)
    }
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Engine {
    roots: Vec<DataRoot>,
    /// Held for reading while files are pinned, for writing while tablets change.
    files: Arc<RwLock<()>>,
}

impl Engine {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let root = DataRoot { data: directory.join("tablets"), work: directory.to_owned() };
        durable::create_dir_all(&root.data)?;
        // A tablet that was being made when the process ended.
        for entry in list(&root.data)? {
            if entry.extension().is_some() {
                durable::remove_dir_all(&entry)?;
            }
        }
        Ok(Self { roots: vec![root], files: Arc::default() })
    }

    fn dir(&self, tablet: TabletId) -> PathBuf {
        self.roots[0].data.join(tablet.to_string())
    }

    fn read(&self, tablet: TabletId) -> Result<Tablet> {
        let path = self.dir(tablet).join("tablet.json");
        match fs::read(&path) {
            Ok(text) => parse(&path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Failure::fatal(Kind::NotFound, format!("tablet {tablet} does not exist")))
            }
            Err(error) => Err(Failure::io(format_args!("read {}", path.display()), &error)),
        }
    }

    /// The commit of every change.
    fn write(&self, tablet: TabletId, record: &Tablet) -> Result<()> {
        durable::write_file(&self.dir(tablet).join("tablet.json"), &spell(record)?)
    }

    fn make(&self, tablet: TabletId, record: &Tablet) -> Result<()> {
        let new = self.roots[0].data.join(format!("{tablet}.new"));
        durable::remove_dir_all(&new)?;
        durable::create_dir_all(&new)?;
        durable::write_file(&new.join("tablet.json"), &spell(record)?)?;
        durable::rename(&new, &self.dir(tablet))
    }

    /// The engine's own way of taking in data.
    pub(crate) async fn append(&self, tablet: TabletId, bytes: &[u8]) -> Result<Version> {
        let _alone = self.files.write().await;
        let mut record = self.read(tablet)?;
        let version = record.latest().next();
        let name = format!("seg_{version:08}.dat");
        durable::write_file(&self.dir(tablet).join(&name), bytes)?;
        record.segments.insert(name, (version, bytes.len() as u64));
        self.write(tablet, &record)?;
        Ok(version)
    }

    fn all(&self) -> Result<Vec<(TabletId, Tablet)>> {
        let ids = list(&self.roots[0].data)?;
        let ids = ids.iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok().map(TabletId));
        ids.map(|id| Ok((id, self.read(id)?))).collect()
    }
}

// The calls below block for moments; an engine with many tablets would go through `spawn_blocking`.
#[async_trait]
impl TabletStore for Engine {
    fn roots(&self) -> &[DataRoot] {
        &self.roots
    }

    async fn usage(&self) -> Result<Usage> {
        let all = self.all()?;
        let bytes = all.iter().flat_map(|(_, tablet)| tablet.segments.values()).map(|(_, size)| size).sum();
        Ok(Usage { tablets: all.len() as u64, bytes })
    }

    async fn pin(&self, at: TabletVersion) -> Result<PinnedTablet> {
        let guard = self.files.clone().read_owned().await;
        let mut record = self.read(at.tablet)?;
        if record.schema_hash != at.schema_hash {
            return Err(Failure::fatal(Kind::Mismatch, format!("tablet {} has another schema", at.tablet)));
        }
        if record.owner.is_some() {
            // The coordinator may know of a publish of which this agent is only about to hear: trying again helps.
            let message = format!("tablet {} belongs to a job that has not ended", at.tablet);
            return Err(Failure::transient(Kind::FailedPrecondition, message));
        }
        if at.version < record.base || at.version > record.latest() {
            let message = format!("tablet {} does not show version {}", at.tablet, at.version);
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
        record.segments.retain(|_, (version, _)| *version <= at.version);
        let file = |name: &String| PinnedFile {
            path: name.clone(),
            content: PinnedContent::File(self.dir(at.tablet).join(name)),
        };
        let mut files: Vec<_> = record.segments.keys().map(file).collect();
        // What the files alone do not tell travels as a generated one.
        let list = PinnedContent::Generated(spell(&record.segments)?.into());
        files.push(PinnedFile { path: LIST.to_owned(), content: list });
        let files = Box::new(files.into_iter().map(Ok));
        Ok(PinnedTablet { root: 0, lineage: record.lineage, files, guard: Box::new(guard) })
    }

    async fn create(&self, job: JobUuid, tablet: &CreateTablet) -> Result<()> {
        let _alone = self.files.write().await;
        let owner = (job != JobUuid::HOUSEKEEPING).then_some(job);
        match self.read(tablet.tablet) {
            Ok(there) if there.owner == owner && there.lineage == tablet.lineage => Ok(()),
            Ok(_) => Err(Failure::fatal(Kind::AlreadyExists, format!("tablet {} exists", tablet.tablet))),
            Err(failure) if failure.kind == Kind::NotFound => {
                let CreateTablet { schema_hash, lineage, .. } = *tablet;
                let (base, segments) = (Version::INITIAL, Segments::new());
                self.make(tablet.tablet, &Tablet { schema_hash, lineage, owner, adopted: None, base, segments })
            }
            Err(failure) => Err(failure),
        }
    }

    async fn root_of(&self, tablet: TabletId) -> Result<usize> {
        self.read(tablet).map(|_| 0)
    }

    async fn adopt(&self, job: JobUuid, mapping: &TabletMapping, directory: &Path) -> Result<()> {
        let _alone = self.files.write().await;
        let mut record = self.read(mapping.target)?;
        let adopted = Some((job, mapping.source.clone()));
        if record.adopted == adopted {
            return Ok(());
        }
        if record.owner != Some(job) || record.adopted.is_some() || record.schema_hash != mapping.schema_hash {
            let message = format!("tablet {} is not one that job {job} may fill", mapping.target);
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
        let list = directory.join(LIST);
        let text = fs::read(&list).map_err(|error| Failure::io(format_args!("read {}", list.display()), &error))?;
        record.segments = parse(&list, &text)?;
        let sync = SyncFs::open(&self.roots[0].data)?;
        for name in record.segments.keys() {
            let to = self.dir(mapping.target).join(name);
            // Left by an attempt that did not come to its end.
            durable::remove_file(&to)?;
            durable::hard_link(&directory.join(name), &to)?;
        }
        sync.sync()?;
        (record.adopted, record.base) = (adopted, mapping.source.version);
        self.write(mapping.target, &record)
    }

    async fn settle(&self, job: JobUuid, end: JobEnd) -> Result<()> {
        let _alone = self.files.write().await;
        for (tablet, mut record) in self.all()?.into_iter().filter(|(_, record)| record.owner == Some(job)) {
            match end {
                JobEnd::Published => {
                    record.owner = None;
                    self.write(tablet, &record)?;
                }
                JobEnd::Discarded => self.remove(tablet)?,
            }
        }
        Ok(())
    }

    async fn jobs(&self) -> Result<Vec<JobUuid>> {
        Ok(self.all()?.into_iter().filter_map(|(_, record)| record.owner).collect())
    }

    async fn drop_tablet(&self, tablet: TabletId) -> Result<()> {
        // Waits until nothing is pinned.
        let _alone = self.files.write().await;
        self.remove(tablet)
    }
}

impl Engine {
    fn remove(&self, tablet: TabletId) -> Result<()> {
        let dir = self.dir(tablet);
        if !dir.exists() {
            return Ok(());
        }
        let doomed = dir.with_extension("dropped");
        durable::rename(&dir, &doomed)?;
        durable::remove_dir_all(&doomed)
    }
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(|error| Failure::io(format_args!("list {}", dir.display()), &error))
}

fn spell(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| Failure::fatal(Kind::Internal, format!("spell a record: {error}")))
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text)
        .map_err(|error| Failure::fatal(Kind::Corrupt, format!("read {}: {error}", path.display())))
}

/// How the conformance suite gets tablets with data in them.
struct Loader(Arc<Engine>);

#[async_trait]
impl Fixture for Loader {
    async fn fill(&self, tablet: TabletId) -> TabletVersion {
        let schema_hash = SchemaHash(42);
        let new = CreateTablet { tablet, schema_hash, lineage: Lineage::random(), reuse_from: None };
        let mut version = Version::INITIAL;
        self.0.create(JobUuid::HOUSEKEEPING, &new).await.expect("the suite chose a free number");
        for bytes in [b"one".as_slice(), b"", b"three"] {
            version = self.0.append(tablet, bytes).await.expect("a new tablet takes data");
        }
        TabletVersion { tablet, version, schema_hash }
    }
}

/// Checks the engine in `directory` against the contract; panics where it is broken.
pub(crate) async fn check(directory: &Path) -> Result<()> {
    let engine = Arc::new(Engine::open(directory)?);
    conformance::run(engine.clone(), &Loader(engine)).await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (directory, fe) = (arguments.next(), arguments.next());
    let (Some(directory), Some(fe)) = (directory.map(PathBuf::from), fe) else {
        let directory = std::env::temp_dir().join(format!("embedded-store-{}", std::process::id()));
        check(&directory).await?;
        println!("the embedded store keeps the contract");
        return durable::remove_dir_all(&directory);
    };
    let engine = Arc::new(Engine::open(&directory)?);
    let config = AgentConfig { fe: vec![fe], state_dir: directory.join("agent"), ..AgentConfig::default() };
    let agent = Agent::start(config, engine, None).await?;
    agent.wait_attached().await?;
    println!("attached as backend {:?}; ends with Ctrl-C", agent.backend_id());
    let interrupted = tokio::signal::ctrl_c().await;
    agent.shutdown().await;
    interrupted.map_err(|error| Failure::io("wait for Ctrl-C", &error))
}
