//! What is on this machine already.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tabvault_common::digest::Digest;
use tabvault_common::durable;
use tokio_util::sync::CancellationToken;

use super::want::{Target, Want};
use crate::context::TaskContext;
use crate::files;
use crate::store::Result;

/// What need not be fetched, in bytes, and what must.
#[derive(Debug, Default)]
pub(super) struct Local {
    /// Fetched by an earlier attempt.
    pub(super) kept_bytes: u64,
    /// Linked.
    pub(super) reused_bytes: u64,
    /// Not here.
    pub(super) missing: Vec<Want>,
}

/// Keeps, links, and removes what is not wanted.
pub(super) async fn look(context: &TaskContext, targets: &Arc<Vec<Target>>, wants: Vec<Want>) -> Result<Local> {
    let mut by_target: HashMap<usize, Vec<Want>> = HashMap::new();
    for want in wants {
        by_target.entry(want.target).or_default().push(want);
    }
    let mut local = Local::default();
    for index in 0..targets.len() {
        let wants = by_target.remove(&index).unwrap_or_default();
        let (targets, stop) = (Arc::clone(targets), context.stop.clone());
        let looked = context.blocking(move || look_for_one(&targets[index], wants, &stop)).await?;
        local.kept_bytes += looked.kept_bytes;
        local.reused_bytes += looked.reused_bytes;
        local.missing.extend(looked.missing);
    }
    Ok(local)
}

fn look_for_one(target: &Target, wants: Vec<Want>, stop: &CancellationToken) -> Result<Local> {
    let mut wants: HashMap<String, Want> = wants.into_iter().map(|want| (want.file.path.clone(), want)).collect();
    let mut local = Local::default();
    for found in files::walk(&target.dir)? {
        let place = target.dir.join(&found.path);
        let right = match wants.get(&found.path) {
            Some(want) if want.file.size == found.size => files::digest(&place, stop)? == want.file.digest,
            _ => false,
        };
        if right {
            wants.remove(&found.path);
            local.kept_bytes += found.size;
        } else {
            durable::remove_file(&place)?;
        }
    }
    let mut candidates = Candidates::new(&target.reuse)?;
    for (path, want) in wants {
        match candidates.find(want.file.size, &want.file.digest, stop)? {
            Some(source) if linked(&source, &target.dir, &path) => local.reused_bytes += want.file.size,
            _ => local.missing.push(want),
        }
    }
    Ok(local)
}

/// What cannot be linked is fetched.
fn linked(source: &Path, dir: &Path, path: &str) -> bool {
    let linked = files::place(dir, path).and_then(|place| durable::hard_link(source, &place));
    if let Err(error) = &linked {
        tracing::debug!(%error, "could not reuse a file");
    }
    linked.is_ok()
}

/// Files for reuse by size; hashed only when a wanted file has that size.
struct Candidates {
    by_size: HashMap<u64, Vec<Candidate>>,
}

struct Candidate {
    path: PathBuf,
    digest: Option<Digest>,
}

impl Candidates {
    fn new(dir: &Path) -> Result<Self> {
        let mut by_size: HashMap<u64, Vec<Candidate>> = HashMap::new();
        for file in files::walk(dir)? {
            let path = dir.join(&file.path);
            by_size.entry(file.size).or_default().push(Candidate { path, digest: None });
        }
        Ok(Self { by_size })
    }

    fn find(&mut self, size: u64, digest: &Digest, stop: &CancellationToken) -> Result<Option<PathBuf>> {
        for candidate in self.by_size.get_mut(&size).into_iter().flatten() {
            let own = match candidate.digest {
                Some(own) => own,
                None => *candidate.digest.insert(files::digest(&candidate.path, stop)?),
            };
            if own == *digest {
                return Ok(Some(candidate.path.clone()));
            }
        }
        Ok(None)
    }
}
