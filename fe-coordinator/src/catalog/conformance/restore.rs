//! Restores into a catalog.

use std::collections::BTreeSet;

use tabvault_common::failure::Kind;
use tabvault_common::ids::{Epoch, Version};

use super::{
    EPOCH, Fixture, cut_table, garbage, hash, job, new_table, over, partition, prepare, refused, request, shown, table,
    table_names, tablet_ids, view,
};
use crate::catalog::{Decision, PreparePartition, Result, TableState};

/// Targets are not shown, readers of an existing table see what they saw, and the same job gets the same answer.
pub async fn prepare_hides_its_targets_and_repeats_its_answer(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database) = (fixture.catalog(), "conformance_prepare");
    fixture.create_database(database).await?;
    fixture.create_table(database, &table("old"), &[partition("a", 0, 10), partition("b", 10, 20)]).await?;
    let before = cut_table(fixture, database, "old").await?;
    let tablets_before = shown(fixture, &before).await?;
    let tables = vec![over(&before, &["a"]), new_table(table("new"), vec![partition("p", 0, 5)])];
    let (job, wanted) = (job(), request(fixture, database, tables));

    assert_eq!(refused(catalog.prepared(job, 0, 0).await).kind, Kind::FailedPrecondition);
    let prepared = prepare(fixture, job, &wanted).await?;
    for place in [(0, 1), (2, 0)] {
        assert_eq!(refused(catalog.prepared(job, place.0, place.1).await).kind, Kind::NotFound);
    }
    assert_eq!(prepared.len(), 2);
    for tablets in &prepared {
        let places: Vec<_> = tablets.iter().map(|tablet| (tablet.index, tablet.position)).collect();
        assert_eq!(places, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        for tablet in tablets {
            assert_eq!(Some(tablet.schema_hash), hash(&table("any"), tablet.index));
            let distinct: BTreeSet<_> = tablet.backends.iter().collect();
            assert_eq!((tablet.backends.len(), distinct.len()), (2, 2), "two replicas on two backends");
        }
    }
    let lineages: BTreeSet<_> = prepared.iter().flatten().map(|tablet| tablet.lineage).collect();
    assert_eq!(lineages.len(), 8, "every new tablet starts a history of its own");
    assert_eq!(prepare(fixture, job, &wanted).await?, prepared);

    let during = cut_table(fixture, database, "old").await?;
    assert_eq!((during.state, &during.partitions), (TableState::Restore, &before.partitions));
    assert_eq!(shown(fixture, &during).await?, tablets_before);
    let new = cut_table(fixture, database, "new").await?;
    assert_eq!(new.state, TableState::Restore);
    assert!(shown(fixture, &new).await?.is_disjoint(&tablet_ids(&prepared)), "targets are hidden");
    let listed = catalog.show_tables(database).await?;
    let states: Vec<_> = listed.iter().map(|table| (table.name.as_str(), table.state.as_str())).collect();
    assert_eq!(states, [("new", "RESTORE"), ("old", "RESTORE")]);
    assert!(garbage(fixture).await?.is_disjoint(&tablet_ids(&prepared)), "targets are no garbage");

    let second = request(fixture, database, vec![over(&before, &["b"])]);
    let refusal = refused(catalog.prepare(super::job(), EPOCH, &second).await);
    assert_eq!(refusal.kind, Kind::FailedPrecondition);
    assert_eq!(refusal.message, "Table old's state is not NORMAL: RESTORE");
    Ok(())
}

/// From publish on the partitions show the targets at the snapshot's version, what they showed is garbage, and all
/// else is as it was.
pub async fn publish_shows_the_targets_in_one_step(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database) = (fixture.catalog(), "conformance_publish");
    fixture.create_database(database).await?;
    fixture.create_table(database, &table("old"), &[partition("a", 0, 10), partition("b", 10, 20)]).await?;
    let before = cut_table(fixture, database, "old").await?;
    let tablets_before = shown(fixture, &before).await?;
    let mut grown = over(&before, &["a"]);
    grown.partitions.push(PreparePartition {
        def: partition("c", 20, 30),
        existing: None,
        version: Version(9),
        sizes: Vec::new(),
    });
    let tables = vec![grown, new_table(table("new"), vec![partition("p", 0, 5)])];
    let (job, wanted) = (job(), request(fixture, database, tables));
    let prepared = prepare(fixture, job, &wanted).await?;

    assert_eq!(catalog.publish(job, EPOCH).await?, Decision::Published);
    let after = cut_table(fixture, database, "old").await?;
    assert_eq!((after.id, after.state), (before.id, TableState::Normal));
    let versions: Vec<_> = after.partitions.iter().map(|part| (part.def.name.as_str(), part.visible_version)).collect();
    assert_eq!(versions, [("a", Version(7)), ("b", Version::INITIAL), ("c", Version(9))]);
    assert_eq!(after.partitions.get(1), before.partitions.get(1), "a partition that was not restored is untouched");
    let new = cut_table(fixture, database, "new").await?;
    assert_eq!((new.state, &new.def), (TableState::Normal, &table("new")));
    let sizes: Vec<_> =
        catalog.show_partitions(database, "old").await?.iter().map(|p| (p.data_size, p.file_count)).collect();
    assert_eq!(sizes, [(4 * 5, 4 * 2), (0, 0), (0, 0)], "as large as the restore said");
    let both = &shown(fixture, &after).await? | &shown(fixture, &new).await?;
    assert!(both.is_superset(&tablet_ids(&prepared)));
    for part in after.partitions.iter().chain(&new.partitions).filter(|part| part.def.name != "b") {
        for tablet in catalog.tablets(part.id).await? {
            let versions: BTreeSet<_> = tablet.replicas.iter().map(|replica| replica.version).collect();
            assert_eq!(versions, BTreeSet::from([part.visible_version]), "every replica has what readers see");
        }
    }
    let replaced: BTreeSet<_> = tablets_before.difference(&both).copied().collect();
    assert_eq!(replaced.len(), 4);
    let rubbish = garbage(fixture).await?;
    assert!(rubbish.is_superset(&replaced) && rubbish.is_disjoint(&both));
    for room in fixture.backends() {
        let on_it = catalog.garbage(room.backend, usize::MAX).await?;
        assert!(catalog.garbage(room.backend, 1).await?.len() <= 1);
        catalog.collected(room.backend, &on_it).await?;
        catalog.collected(room.backend, &on_it).await?;
        assert!(catalog.garbage(room.backend, usize::MAX).await?.is_empty());
    }

    assert_eq!(catalog.publish(job, EPOCH).await?, Decision::Published);
    assert_eq!(catalog.discard(job, EPOCH).await?, Decision::Published);
    assert_eq!(cut_table(fixture, database, "old").await?, after);
    assert!(garbage(fixture).await?.is_disjoint(&both));
    Ok(())
}

/// `clean_tables`, `clean_partitions`, `atomic_restore` and views take effect with publish, not before.
pub async fn publish_drops_and_replaces_what_was_asked(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database) = (fixture.catalog(), "conformance_clean");
    fixture.create_database(database).await?;
    for name in ["cleaned", "dropped", "kept", "whole"] {
        fixture.create_table(database, &table(name), &[partition("a", 0, 10), partition("b", 10, 20)]).await?;
    }
    let cleaned = cut_table(fixture, database, "cleaned").await?;
    let mut cleaning = over(&cleaned, &["a"]);
    let others = cleaned.partitions.iter().filter(|part| part.def.name == "b");
    cleaning.drop_partitions = others.map(|part| part.id).collect();
    let whole = cut_table(fixture, database, "whole").await?;
    let mut replacing = over(&whole, &["a"]);
    replacing.replace_whole = true;
    replacing.def.comment = "from the snapshot".to_owned();
    let mut wanted = request(fixture, database, vec![cleaning, replacing]);
    wanted.drop_tables = vec!["dropped".to_owned(), "never-there".to_owned()];
    wanted.views = vec![view("v2", "SELECT 1"), view("v1", "SELECT * FROM v2")];
    let job = job();
    catalog.prepare(job, EPOCH, &wanted).await?;
    assert_eq!(table_names(fixture, database).await?, ["cleaned", "dropped", "kept", "whole"]);
    assert!(catalog.cut(database).await?.views.is_empty());

    assert_eq!(catalog.publish(job, EPOCH).await?, Decision::Published);
    assert_eq!(table_names(fixture, database).await?, ["cleaned", "kept", "whole"]);
    assert_eq!(catalog.cut(database).await?.views, wanted.views);
    for (name, comment) in [("cleaned", ""), ("whole", "from the snapshot")] {
        let after = cut_table(fixture, database, name).await?;
        let partitions: Vec<_> =
            after.partitions.iter().map(|part| (part.def.name.as_str(), part.visible_version)).collect();
        assert_eq!(partitions, [("a", Version(7))], "in table {name}");
        assert_eq!((after.def.comment.as_str(), after.state), (comment, TableState::Normal));
    }
    for gone in &whole.partitions {
        assert_eq!(catalog.partition(gone.id).await?, None);
    }
    let next = super::job();
    let mut views = request(fixture, database, Vec::new());
    views.views = vec![view("v2", "SELECT 2")];
    catalog.prepare(next, EPOCH, &views).await?;
    catalog.publish(next, EPOCH).await?;
    let views = catalog.cut(database).await?.views;
    assert_eq!(
        views,
        [view("v2", "SELECT 2"), view("v1", "SELECT * FROM v2")],
        "each can be made after those before it"
    );
    Ok(())
}

/// After discard all is as before prepare: new tables and the database made for them are gone, targets are garbage.
pub async fn discard_leaves_nothing(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database) = (fixture.catalog(), "conformance_discard");
    fixture.create_database(database).await?;
    fixture.create_table(database, &table("old"), &[partition("a", 0, 10)]).await?;
    let before = catalog.cut(database).await?;
    let old = cut_table(fixture, database, "old").await?;
    let tables = vec![over(&old, &["a"]), new_table(table("new"), vec![partition("p", 0, 5)])];
    let mut wanted = request(fixture, database, tables);
    wanted.views = vec![view("v", "SELECT 1")];
    let into_old = job();
    let mut hidden = tablet_ids(&prepare(fixture, into_old, &wanted).await?);
    let (into_new, made) = (job(), "conformance_made");
    let tables = vec![new_table(table("new"), vec![partition("p", 0, 5)])];
    hidden.extend(tablet_ids(&prepare(fixture, into_new, &request(fixture, made, tables)).await?));
    assert_eq!(table_names(fixture, made).await?, ["new"]);

    for job in [into_old, into_new] {
        assert_eq!(catalog.discard(job, EPOCH).await?, Decision::Discarded);
    }
    assert_eq!(catalog.cut(database).await?, before);
    assert_eq!(refused(catalog.cut(made).await).kind, Kind::NotFound);
    assert!(garbage(fixture).await?.is_superset(&hidden));
    for job in [into_old, into_new] {
        assert_eq!(catalog.publish(job, EPOCH).await?, Decision::Discarded);
        assert_eq!(catalog.discard(job, EPOCH).await?, Decision::Discarded);
    }
    assert_eq!(catalog.cut(database).await?, before);
    assert_eq!(refused(catalog.prepare(into_old, EPOCH, &wanted).await).kind, Kind::FailedPrecondition);
    Ok(())
}

/// Asked for both at the same time and again, the catalog gives one answer, and the tables agree with it.
pub async fn of_publish_and_discard_one_wins(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database) = (fixture.catalog(), "conformance_race");
    fixture.create_database(database).await?;
    for round in 0..8 {
        let job = job();
        let name = format!("t{round}");
        let tables = vec![new_table(table(&name), vec![partition("p", 0, 5)])];
        catalog.prepare(job, EPOCH, &request(fixture, database, tables)).await?;
        let (publish, discard) = if round % 2 == 0 {
            futures::future::join(catalog.publish(job, EPOCH), catalog.discard(job, EPOCH)).await
        } else {
            let (discard, publish) =
                futures::future::join(catalog.discard(job, EPOCH), catalog.publish(job, EPOCH)).await;
            (publish, discard)
        };
        let decision = publish?;
        assert_eq!(discard?, decision);
        assert_eq!(catalog.discard(job, EPOCH).await?, decision);
        assert_eq!(catalog.publish(job, EPOCH).await?, decision);
        let there = table_names(fixture, database).await?.contains(&name);
        assert_eq!(there, decision == Decision::Published);
    }
    Ok(())
}

/// A discard that comes first makes sure that nothing is ever prepared.
pub async fn a_late_prepare_is_refused_after_discard(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database, job) = (fixture.catalog(), "conformance_late", job());
    assert_eq!(refused(catalog.publish(job, EPOCH).await).kind, Kind::FailedPrecondition);
    assert_eq!(catalog.discard(job, EPOCH).await?, Decision::Discarded);
    let tables = vec![new_table(table("t"), vec![partition("p", 0, 5)])];
    let refusal = refused(catalog.prepare(job, EPOCH, &request(fixture, database, tables)).await);
    assert_eq!(refusal.kind, Kind::FailedPrecondition);
    assert_eq!(refused(catalog.cut(database).await).kind, Kind::NotFound);
    assert_eq!(catalog.publish(job, EPOCH).await?, Decision::Discarded);
    Ok(())
}

/// Whatever is no longer as the coordinator checked it is refused before anything changes.
pub async fn a_table_that_changed_is_refused(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database) = (fixture.catalog(), "conformance_changed");
    fixture.create_database(database).await?;
    fixture.create_table(database, &table("t"), &[partition("a", 0, 10)]).await?;
    let before = catalog.cut(database).await?;
    let there = cut_table(fixture, database, "t").await?;
    let mut dropped = over(&there, &["a"]);
    dropped.existing = Some(tabvault_common::ids::TableId(u64::MAX));
    let mut altered = over(&there, &["a"]);
    altered.def.indexes.pop();
    let mut taken = over(&there, &[]);
    taken.partitions = new_table(table("t"), vec![partition("a", 50, 60)]).partitions;
    let mut overlapping = over(&there, &[]);
    overlapping.partitions = new_table(table("t"), vec![partition("z", 9, 11)]).partitions;
    let mut missing = over(&there, &["a"]);
    for part in &mut missing.partitions {
        part.existing = Some(tabvault_common::ids::PartitionId(u64::MAX));
    }
    let made = new_table(table("t"), vec![partition("a", 0, 10)]);
    for changed in [dropped, altered, taken, overlapping, missing, made] {
        let wanted = request(fixture, database, vec![changed]);
        let refusal = refused(catalog.prepare(job(), EPOCH, &wanted).await);
        assert_eq!(refusal.kind, Kind::FailedPrecondition, "{refusal}");
        assert!(refusal.message.contains("table t"), "{refusal}");
    }
    let twice = request(fixture, database, vec![over(&there, &["a"]), over(&there, &["a"])]);
    let refusal = refused(catalog.prepare(job(), EPOCH, &twice).await);
    assert_eq!((refusal.kind, refusal.message.as_str()), (Kind::InvalidArgument, "Duplicated table: t"));
    assert_eq!(catalog.cut(database).await?, before);
    Ok(())
}

/// The refusal says how many backends there are and which property to set.
pub async fn too_few_hosts_are_refused(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database) = (fixture.catalog(), "conformance_hosts");
    let hosts: BTreeSet<String> = fixture.backends().into_iter().map(|room| room.host).collect();
    let number = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
    let mut part = partition("p", 0, 5);
    part.replication_num = number + 1;
    let wanted = request(fixture, database, vec![new_table(table("t"), vec![part])]);
    let refusal = refused(catalog.prepare(job(), EPOCH, &wanted).await);
    assert_eq!(refusal.kind, Kind::ResourceExhausted);
    let words = format!("failed to find {} different hosts to create table t", number + 1);
    assert!(refusal.message.starts_with(&words), "{refusal}");
    assert!(refusal.message.ends_with(&format!("set replication_num to at most {number}")), "{refusal}");
    assert_eq!(refused(catalog.cut(database).await).kind, Kind::NotFound);
    Ok(())
}

/// An epoch below the highest seen can neither prepare nor decide. Runs last: it raises the epoch.
pub async fn a_stale_coordinator_is_refused(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database, job) = (fixture.catalog(), "conformance_stale", job());
    let tables = vec![new_table(table("t"), vec![partition("p", 0, 5)])];
    let wanted = request(fixture, database, tables);
    let newer = Epoch(EPOCH.0 + 1);
    catalog.prepare(job, newer, &wanted).await?;
    let refusals = [
        refused(catalog.prepare(job, EPOCH, &wanted).await),
        refused(catalog.publish(job, EPOCH).await),
        refused(catalog.discard(job, EPOCH).await),
    ];
    for refusal in refusals {
        assert_eq!(refusal.kind, Kind::Stale, "{refusal}");
    }
    assert_eq!(catalog.publish(job, newer).await?, Decision::Published);
    Ok(())
}
