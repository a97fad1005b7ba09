//! Which files are wanted, and where they go.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tabvault_common::digest::Digest;
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::TabletIdentity;
use tabvault_common::repo::codec::{Codec, Sums};
use tabvault_common::repo::layout;
use tabvault_common::repo::manifest::{FileLocation, ManifestFile, ManifestPack, ManifestReader, ManifestRecord};
use tabvault_common::task::{Download, TabletMapping};

use super::room::Room;
use super::{Job, unreadable};
use crate::context::TaskContext;
use crate::files;
use crate::memory::list::Listed;
use crate::store::Result;

/// A local tablet that files are fetched for.
#[derive(Debug)]
pub(super) struct Target {
    /// As the manifest names it.
    pub(super) source: TabletIdentity,
    /// The data root of the local tablet.
    pub(super) root: usize,
    /// Where verified files go.
    pub(super) dir: PathBuf,
    /// Where files are that are not verified yet; emptied before the first.
    pub(super) temporary: PathBuf,
    /// Where files may be that can be linked instead.
    pub(super) reuse: PathBuf,
}

/// A file and where it goes. There may be very many: what several have in common is in the [`List`].
#[derive(Debug)]
pub(super) struct Want {
    /// Inside the tablet's directory.
    pub(super) path: Box<str>,
    /// Plain bytes.
    pub(super) size: u64,
    /// Stored bytes.
    pub(super) stored_size: u64,
    /// Stored bytes before it in its pack.
    pub(super) offset: u64,
    /// BLAKE3 of the plain bytes.
    pub(super) digest: Digest,
    stored_digest: Digest,
    /// Index into the list's sources.
    pub(super) source: u32,
    /// Index into the list's targets.
    pub(super) target: u32,
    /// Its place in the manifest, among all that are wanted.
    pub(super) number: u32,
    codec: Codec,
    /// Whether it is in its place.
    pub(super) here: bool,
}

impl Want {
    /// Its sizes and digests.
    pub(super) fn sums(&self) -> Sums {
        let Self { size, digest, stored_size, stored_digest, codec, .. } = *self;
        Sums { size, digest, stored_size, stored_digest, codec }
    }
}

/// Where stored bytes are.
#[derive(Debug)]
pub(super) enum Source {
    /// Of one file; its path.
    Object(Box<str>),
    /// Of many files.
    Pack {
        /// Its path.
        path: Box<str>,
        /// Its bytes, trailer included.
        size: u64,
        /// How many files it holds, whoever wants them.
        entries: u64,
    },
}

impl Source {
    /// Its path.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Object(path) | Self::Pack { path, .. } => path,
        }
    }
}

/// All files of a task.
#[derive(Debug)]
pub(super) struct List {
    /// See [`Want::target`].
    pub(super) targets: Arc<Vec<Target>>,
    /// See [`Want::source`].
    pub(super) sources: Vec<Source>,
    /// The files; not all of them once some are found here.
    pub(super) wants: Vec<Want>,
}

impl List {
    /// Where `want` goes.
    pub(super) fn target(&self, want: &Want) -> &Target {
        &self.targets[want.target as usize]
    }

    /// Where `want` is stored.
    pub(super) fn source(&self, want: &Want) -> &Source {
        &self.sources[want.source as usize]
    }

    /// A name for `want` until it is verified.
    pub(super) fn temporary(&self, want: &Want) -> PathBuf {
        self.target(want).temporary.join(want.number.to_string())
    }
}

/// Where the files of each mapping go. The directories are made.
pub(super) async fn targets(context: &TaskContext, mappings: &[TabletMapping]) -> Result<Vec<Target>> {
    let (shared, job) = (Arc::clone(&context.shared), context.key.job);
    let mut targets = Vec::with_capacity(mappings.len());
    for mapping in mappings {
        let (store, target) = (Arc::clone(&shared.store), mapping.target);
        let root = context.to_end(async move { store.root_of(target).await }).await?;
        let dir = shared.work.download(root, job, target)?;
        let mut temporary = dir.clone().into_os_string();
        temporary.push(".tmp");
        let reuse = shared.work.reuse(root, job, target)?;
        targets.push(Target { source: mapping.source.clone(), root, dir, temporary: temporary.into(), reuse });
    }
    let made = context.blocking(move || {
        for target in &targets {
            durable::remove_dir_all(&target.temporary)?;
            files::make_dir(&target.temporary)?;
            files::make_dir(&target.dir)?;
        }
        Ok(targets)
    });
    made.await
}

/// The wanted files, and the memory they take.
///
/// # Errors
/// `NotFound` or `Corrupt`, naming the manifest, if it is not there, not what its reference says, or lacks a tablet.
/// `ResourceExhausted` if there are too many files.
pub(super) async fn read_manifest(job: &Job, task: &Download, targets: &Arc<Vec<Target>>) -> Result<(List, Listed)> {
    let mut room = Room::of(&task.manifest);
    loop {
        let listed = job.context.shared.list(room.files, room.bytes).await?;
        match read_within(job, task, targets, room).await? {
            Selected::All(list) => return Ok((list, listed)),
            // The bytes are verified: next time it is exactly as much.
            Selected::Needs(needed) => room = needed,
        }
    }
}

async fn read_within(job: &Job, task: &Download, targets: &Arc<Vec<Target>>, room: Room) -> Result<Selected> {
    let path = task.manifest.path();
    if task.manifest.size > layout::MAX_MANIFEST_SIZE {
        let message = format!("{path} is damaged: a manifest cannot have {} bytes", task.manifest.size);
        return Err(Failure::fatal(Kind::Corrupt, message));
    }
    let memory = job.context.shared.memory.reserve(task.manifest.size).await?;
    let bytes = job.storage.get(&path, task.manifest.size).await.map_err(|failure| match failure.kind {
        Kind::ResourceExhausted => {
            let message = format!("{path} is damaged: it has more than {} bytes", task.manifest.size);
            Failure::fatal(Kind::Corrupt, message)
        }
        _ => unreadable(&job.storage, &path, failure),
    })?;
    let (reference, targets) = (task.manifest, Arc::clone(targets));
    let read = job.context.blocking(move || {
        let _memory = memory;
        select(ManifestReader::verified(bytes, &reference)?, &targets, room, &path)
    });
    read.await
}

/// What a manifest's files come to.
#[derive(Debug)]
pub(super) enum Selected {
    /// The wanted ones, by their place in the manifest.
    All(List),
    /// There are more than there is room for. This would be enough.
    Needs(Room),
}

pub(super) fn select(
    manifest: impl Iterator<Item = Result<ManifestRecord>>,
    targets: &Arc<Vec<Target>>,
    room: Room,
    path: &str,
) -> Result<Selected> {
    let mut missing: HashMap<&TabletIdentity, Vec<u32>> = HashMap::new();
    for (target, index) in targets.iter().zip(0..) {
        missing.entry(&target.source).or_default().push(index);
    }
    // All at once: what grows is there twice meanwhile.
    let [sources, wants] = [room.sources, room.files].map(|number| usize::try_from(number).unwrap_or(0));
    let (sources, wants) = (Vec::with_capacity(sources), Vec::with_capacity(wants));
    let mut list = List { targets: Arc::clone(targets), sources, wants };
    let (mut packs, mut current, mut needed) = (HashMap::new(), Vec::new(), Room::default());
    for record in manifest {
        match record? {
            ManifestRecord::Pack(ManifestPack { path, size, entries }) => {
                needed.add_pack(&path);
                if needed.fits(room) {
                    packs.insert(path.clone(), next(&list.sources));
                    list.sources.push(Source::Pack { path: path.into(), size, entries });
                }
            }
            ManifestRecord::Tablet(tablet) => current = missing.remove(&tablet.identity).unwrap_or_default(),
            ManifestRecord::File(file) if !current.is_empty() => {
                current.iter().for_each(|_| needed.add_want(&file.path));
                if let FileLocation::Object { object } = &file.at {
                    needed.add_object(object);
                }
                if needed.fits(room) {
                    list.add(file, &current, &packs)?;
                }
            }
            ManifestRecord::File(_) => {}
        }
    }
    if let Some(identity) = missing.keys().next() {
        let message = format!("{path} does not hold tablet {} at version {}", identity.tablet, identity.version);
        return Err(Failure::fatal(Kind::NotFound, message));
    }
    Ok(if needed.fits(room) { Selected::All(list) } else { Selected::Needs(needed) })
}

impl List {
    /// Adds a file of the manifest for each of `targets`.
    fn add(&mut self, file: ManifestFile, targets: &[u32], packs: &HashMap<String, u32>) -> Result<()> {
        let (source, offset) = match file.at {
            FileLocation::Object { object } => {
                let source = next(&self.sources);
                self.sources.push(Source::Object(object.into()));
                (source, 0)
            }
            FileLocation::Pack { pack, offset } => {
                let undeclared =
                    || Failure::fatal(Kind::Internal, format!("fetch {pack}: its manifest did not declare it"));
                (*packs.get(&pack).ok_or_else(undeclared)?, offset)
            }
        };
        let ManifestFile { path, size, digest, stored_size, stored_digest, codec, .. } = file;
        for target in targets {
            let (path, target, number) = (path.as_str().into(), *target, next(&self.wants));
            let here = false;
            let want =
                Want { path, size, stored_size, offset, digest, stored_digest, source, target, number, codec, here };
            self.wants.push(want);
        }
        Ok(())
    }
}

/// The index of what is pushed next.
fn next<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::super::samples::{self, alone, pack, packed, tablet};
    use super::*;

    fn records() -> Vec<ManifestRecord> {
        let (path, declared) = pack("a", 1000, 9);
        vec![
            declared,
            tablet(1),
            packed("a", b"one", &path, 8),
            alone("b", b"two"),
            tablet(2),
            packed("a", b"three", &path, 11),
            tablet(3),
            alone("c", b"four"),
        ]
    }

    #[test]
    fn every_target_of_a_tablet_wants_all_its_files_and_no_others() {
        let home = tempfile::tempdir().unwrap();
        let targets = samples::targets(home.path(), &[2, 1, 1]);
        let list = samples::list(&records(), &targets);
        let wants: Vec<_> = list.wants.iter().map(|want| (want.target, &*want.path, want.number)).collect();
        assert_eq!(wants, [(1, "a", 0), (2, "a", 1), (1, "b", 2), (2, "b", 3), (0, "a", 4)]);
        assert_eq!(list.sources.len(), 2, "what only another tablet has is not remembered");
        assert!(list.wants[0].source == list.wants[4].source && list.wants[2].source == list.wants[3].source);
        assert!(matches!(list.source(&list.wants[2]), Source::Object(_)));
        assert_eq!(list.wants[4].sums().digest, Digest::of(b"three"));
        assert_ne!(list.temporary(&list.wants[2]), list.temporary(&list.wants[3]));
    }

    #[test]
    fn a_list_that_outgrows_its_room_says_how_much_it_needs_and_then_fits() {
        let home = tempfile::tempdir().unwrap();
        let targets = samples::targets(home.path(), &[1, 1]);
        let all = Room { files: 4, sources: 2, bytes: 1 << 20 };
        let Selected::All(list) = samples::select_within(&records(), &targets, all).unwrap() else { panic!() };
        assert_eq!(list.wants.len(), 4);
        for small in [Room { files: 3, ..all }, Room { sources: 1, ..all }, Room { bytes: 700, ..all }] {
            let Selected::Needs(needed) = samples::select_within(&records(), &targets, small).unwrap() else {
                panic!("{small:?}")
            };
            assert_eq!((needed.files, needed.sources), (4, 2));
            let Selected::All(list) = samples::select_within(&records(), &targets, needed).unwrap() else { panic!() };
            assert_eq!((list.wants.len(), list.wants.capacity(), list.sources.capacity()), (4, 4, 2));
            let less = Room { bytes: needed.bytes - 1, ..needed };
            assert!(matches!(samples::select_within(&records(), &targets, less).unwrap(), Selected::Needs(_)));
        }
    }

    #[test]
    fn a_manifest_without_a_wanted_tablet_is_refused_by_its_name() {
        let home = tempfile::tempdir().unwrap();
        let targets = samples::targets(home.path(), &[1, 4]);
        let failure = samples::select_within(&records(), &targets, Room::default()).unwrap_err();
        assert_eq!(failure.kind, Kind::NotFound);
        assert!(failure.message.contains("a manifest does not hold tablet 4"), "{failure}");
    }
}
