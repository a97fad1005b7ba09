//! What the lines of a manifest must be, one after the other: for the writer and for the reader.

use std::collections::{HashMap, HashSet};

use super::{FileLocation, ManifestFile, ManifestPack, ManifestTablet, ManifestTotals};
use crate::ids::TabletIdentity;
use crate::repo::layout::{self, DataPath};

/// Remembers what is needed of the lines so far: tablets and packs, not files.
#[derive(Debug, Default)]
pub(super) struct Rules {
    totals: ManifestTotals,
    /// What an info says that they come to, where there is one: so much may be remembered.
    most: Option<ManifestTotals>,
    /// The size of each pack declared.
    packs: HashMap<String, u64>,
    tablets: HashSet<TabletIdentity>,
    open: Option<OpenTablet>,
}

#[derive(Debug)]
struct OpenTablet {
    identity: TabletIdentity,
    files_left: u64,
    bytes_left: u64,
    last_path: String,
}

impl Rules {
    /// For a manifest that is said to have no more than this.
    pub(super) fn at_most(most: ManifestTotals) -> Self {
        Self { most: Some(most), ..Self::default() }
    }

    pub(super) fn pack(&mut self, pack: &ManifestPack) -> Result<(), String> {
        let path = &pack.path;
        if !matches!(layout::parse_data(path), Some(DataPath::Pack(..))) {
            return Err(format!("`{path}` is not the path of a pack"));
        }
        if pack.size > layout::PACK_MAX {
            return Err(format!("pack {path} has {} bytes, more than {}", pack.size, layout::PACK_MAX));
        }
        self.totals.packs += 1;
        if let Some(most) = self.most.filter(|most| self.totals.packs > most.packs) {
            return Err(format!("it has more than the {} packs that its info says", most.packs));
        }
        if self.packs.insert(path.clone(), pack.size).is_some() {
            return Err(format!("pack {path} comes twice"));
        }
        Ok(())
    }

    pub(super) fn tablet(&mut self, tablet: &ManifestTablet) -> Result<(), String> {
        self.close()?;
        let identity = &tablet.identity;
        self.totals.tablets += 1;
        if let Some(most) = self.most.filter(|most| self.totals.tablets > most.tablets) {
            return Err(format!("it has more than the {} tablets that its info says", most.tablets));
        }
        if !self.tablets.insert(identity.clone()) {
            return Err(format!("tablet {} comes twice", identity.tablet));
        }
        add(&mut self.totals.files, tablet.files)?;
        add(&mut self.totals.bytes, tablet.bytes)?;
        self.open = Some(OpenTablet {
            identity: identity.clone(),
            files_left: tablet.files,
            bytes_left: tablet.bytes,
            last_path: String::new(),
        });
        Ok(())
    }

    pub(super) fn file(&mut self, file: &ManifestFile) -> Result<(), String> {
        let path = &file.path;
        if let Some(why) = layout::refuse_file_path(path) {
            return Err(format!("file path {path:?} is refused: {why}"));
        }
        let open = self.open.as_mut().ok_or_else(|| format!("file {path} belongs to no tablet"))?;
        let tablet = open.identity.tablet;
        if *path <= open.last_path {
            return Err(format!("file {path} of tablet {tablet} comes after {}", open.last_path));
        }
        open.last_path.clone_from(path);
        let left = (open.files_left.checked_sub(1), open.bytes_left.checked_sub(file.size));
        let (Some(files_left), Some(bytes_left)) = left else {
            return Err(format!("tablet {tablet} has more files or bytes than it says"));
        };
        (open.files_left, open.bytes_left) = (files_left, bytes_left);
        if let Some(why) = file.sums().refuse() {
            return Err(format!("file {path} of tablet {tablet}: {why}"));
        }
        self.location(file)?;
        add(&mut self.totals.stored_bytes, file.stored_size)
    }

    fn location(&mut self, file: &ManifestFile) -> Result<(), String> {
        match &file.at {
            FileLocation::Object { object } => {
                if !matches!(layout::parse_data(object), Some(DataPath::Object(_))) {
                    return Err(format!("`{object}` is not the path of an object"));
                }
                self.totals.objects += 1;
            }
            FileLocation::Pack { pack, offset } => {
                let size = *self.packs.get(pack).ok_or_else(|| format!("pack {pack} was not declared"))?;
                if offset.checked_add(file.stored_size).is_none_or(|end| end > size) {
                    return Err(format!("file {} reaches beyond the end of pack {pack}", file.path));
                }
            }
        }
        Ok(())
    }

    /// The sums over all lines, when there are no more.
    pub(super) fn end(&mut self) -> Result<ManifestTotals, String> {
        self.close()?;
        Ok(self.totals)
    }

    fn close(&mut self) -> Result<(), String> {
        match self.open.take() {
            Some(open) if (open.files_left, open.bytes_left) != (0, 0) => {
                Err(format!("tablet {} has fewer files or bytes than it says", open.identity.tablet))
            }
            _ => Ok(()),
        }
    }
}

fn add(sum: &mut u64, more: u64) -> Result<(), String> {
    *sum = sum.checked_add(more).ok_or("its sums are beyond all bounds")?;
    Ok(())
}
