use proptest::prelude::*;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::TabletId;
use tabvault_common::repo::meta::{
    EncodedMeta, MetaReader, MetaRecord, MetaTotals, MetaWriter, PartitionMeta, Shown, TableMeta, TabletMeta, WholeMeta,
};
use tabvault_common::schema::{TableDef, ViewDef};

use super::{assert_corrupt, flipped, plain, samples};

fn any_whole() -> impl Strategy<Value = WholeMeta> {
    let partitions = proptest::collection::btree_map("[a-zä]{1,5}", 0u32..5, 0..4);
    let tables = proptest::collection::btree_map("[a-zA-Z_ \"\\\\]{1,8}", partitions, 0..5);
    let views = proptest::collection::btree_map("[a-z]{1,5}", ".{0,40}", 0..3);
    (tables, views).prop_map(|(tables, views)| WholeMeta {
        header: samples::meta_header().unwrap(),
        tables: tables.into_iter().map(|(name, partitions)| table(name, partitions)).collect(),
        views: views.into_iter().map(|(name, text)| ViewDef { name, text }).collect(),
    })
}

fn table(name: String, partitions: std::collections::BTreeMap<String, u32>) -> TableMeta {
    let partition = |(partition, buckets): (String, u32)| {
        let mut meta = PartitionMeta { table: name.clone(), ..samples::partition() };
        let tablet = meta.indexes[0].tablets[0];
        meta.indexes[0].tablets = (0..buckets).map(|i| in_bucket(tablet, i)).collect();
        meta.def.name = partition;
        meta.def.buckets = buckets;
        meta
    };
    TableMeta {
        partitions: partitions.into_iter().map(partition).collect(),
        def: TableDef { name, ..samples::table() },
    }
}

fn in_bucket(tablet: TabletMeta, bucket: u32) -> TabletMeta {
    let manifest = bucket.is_multiple_of(2).then_some(bucket);
    let shown = bucket.is_multiple_of(3).then_some(Shown { files: u64::from(bucket), bytes: 1 << bucket.min(63) });
    TabletMeta { tablet: TabletId(u64::from(bucket)), manifest, shown, ..tablet }
}

fn write(whole: &WholeMeta) -> Result<EncodedMeta, Failure> {
    let mut writer = MetaWriter::new(&whole.header)?;
    for table in &whole.tables {
        writer.push_table(&table.def)?;
        table.partitions.iter().try_for_each(|partition| writer.push_partition(partition))?;
    }
    whole.views.iter().try_for_each(|view| writer.push_view(view))?;
    writer.finish()
}

fn read_lines(text: &str) -> Result<WholeMeta, Failure> {
    let bytes = zstd::encode_all(text.as_bytes(), 3).unwrap();
    MetaReader::new("the meta", &bytes[..])?.read_whole()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_meta_comes_back_and_is_written_the_same_again(whole in any_whole()) {
        let encoded = write(&whole).unwrap();
        let reader = MetaReader::verified(encoded.bytes.clone(), &encoded.reference()).unwrap();
        prop_assert_eq!(&reader.read_whole().unwrap(), &whole);
        prop_assert_eq!(write(&whole).unwrap(), encoded);
    }

    #[test]
    fn a_flipped_bit_is_found_and_named(whole in any_whole(), at in any::<prop::sample::Index>()) {
        let encoded = write(&whole).unwrap();
        let mut bytes = encoded.bytes.to_vec();
        let at = at.index(bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        assert_corrupt(&MetaReader::verified(bytes.into(), &encoded.reference()).unwrap_err(), &encoded.path());
    }
}

#[test]
fn every_flipped_bit_of_a_meta_is_found() {
    let encoded = samples::meta().unwrap();
    for damaged in flipped(&encoded.bytes) {
        assert_corrupt(&MetaReader::verified(damaged.into(), &encoded.reference()).unwrap_err(), &encoded.path());
    }
}

#[test]
fn a_meta_is_read_record_by_record() {
    let encoded = samples::meta().unwrap();
    let mut reader = MetaReader::verified(encoded.bytes.clone(), &encoded.reference()).unwrap();
    let records: Result<Vec<_>, _> = reader.by_ref().collect();
    let expected = vec![
        MetaRecord::Table(samples::table()),
        MetaRecord::Partition(samples::partition()),
        MetaRecord::View(samples::view()),
    ];
    assert_eq!(records.unwrap(), expected);
    assert_eq!(reader.totals(), Some(encoded.totals));
    assert_eq!(encoded.totals.tablets, 2);
}

#[test]
fn a_reader_holds_lines_to_the_rules() {
    let good = plain(&samples::meta().unwrap().bytes);
    assert!(read_lines(&good).is_ok());
    let lines: Vec<&str> = good.lines().collect();
    let order = |numbers: &[usize]| numbers.iter().map(|&n| lines[n].to_owned() + "\n").collect::<String>();
    for (text, why) in [
        (order(&[0, 2, 3, 4]), "does not follow its table"),
        (order(&[0, 1, 1, 2, 3, 4]), "comes twice"),
        (order(&[0, 1, 2, 2, 3, 4]), "comes twice"),
        (order(&[0, 1, 3, 2, 4]), "does not follow its table"),
        (order(&[0, 3, 1, 2, 4]), "comes after a view"),
        (order(&[0, 1, 2, 3, 3, 4]), "comes twice"),
        (order(&[0, 1, 2, 4]), "sums of its end line"),
        (order(&[0, 1, 2, 3]), "it has no end line"),
        (order(&[0, 1, 2, 3, 4, 3]), "something follows its end line"),
        (order(&[0, 0, 1, 2, 3, 4]), "two headers"),
        (order(&[1, 2, 3, 4]), "it is a table, not a meta"),
        (good.replace("\"lower\"", "\"lover\""), "missing field `lower`"),
        (
            good.replace(
                "\"buckets\":2,\"replication_num\":3},\"visible",
                "\"buckets\":3,\"replication_num\":3},\"visible",
            ),
            "in 3 buckets",
        ),
        (good.replace("\"type\":\"partition\"", "\"type\":\"partitions\""), "unknown variant"),
        (good.replace("\"format_version\":1,", ""), "its header has no format version"),
    ] {
        assert_ne!(text, good, "{why}");
        let failure = read_lines(&text).unwrap_err();
        assert_corrupt(&failure, "the meta");
        assert!(failure.message.contains(why), "`{failure}` should contain `{why}`");
    }
    let newer = read_lines(&good.replace("\"format_version\":1", "\"format_version\":7")).unwrap_err();
    assert_eq!(newer.kind, Kind::Unsupported);
}

#[test]
fn a_writer_holds_its_caller_to_the_rules() {
    let refused = |partition: &PartitionMeta, table: Option<&TableDef>| {
        let mut writer = MetaWriter::new(&samples::meta_header().unwrap()).unwrap();
        table.into_iter().for_each(|table| writer.push_table(table).unwrap());
        let failure = writer.push_partition(partition).unwrap_err();
        assert_eq!(failure.kind, Kind::Internal);
        failure.message
    };
    let mut partition = samples::partition();
    assert!(refused(&partition, None).contains("does not follow its table"));
    partition.indexes[0].tablets.pop();
    assert!(refused(&partition, Some(&samples::table())).contains("1 tablets in 2 buckets"));
    partition.indexes[0].name = "other".to_owned();
    assert!(refused(&partition, Some(&samples::table())).contains("other indexes"));
}

#[test]
fn a_meta_that_has_more_than_its_info_says_is_refused_before_it_fills_the_memory() {
    let encoded = samples::meta().unwrap();
    let all = encoded.totals;
    let read = |most| {
        let reader = MetaReader::verified(encoded.bytes.clone(), &encoded.reference()).unwrap();
        reader.at_most(most).read_whole()
    };
    assert!(read(all).is_ok());
    for less in [
        MetaTotals { tables: all.tables - 1, ..all },
        MetaTotals { partitions: all.partitions - 1, ..all },
        MetaTotals { tablets: all.tablets - 1, ..all },
        MetaTotals { views: all.views - 1, ..all },
    ] {
        let failure = read(less).unwrap_err();
        assert_corrupt(&failure, &encoded.path());
        assert!(failure.message.contains("that its info says"), "{failure}");
    }
}
