//! Any statement.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use tabvault_common::request::{ObjectSelection, Selection};
use tabvault_common::schema::{Column, KeyType, PartitionValue, Partitioning};
use tabvault_common::secret::Secret;
use tabvault_common::view::JobKind;

use crate::auth::Privilege;
use crate::sql::statement::*;

/// A name as nasty as names may be.
fn name() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z]{1,5}",
        "(?s).{1,6}",
        Just("select".to_owned()),
        Just("`\\'\"".to_owned()),
        Just("1e5".to_owned())
    ]
    .boxed()
}

/// A string as nasty as strings may be.
fn text() -> BoxedStrategy<String> {
    prop_oneof!["[a-z%_]{0,5}", "(?s).{0,8}", "[\\\\'\"`%_\n\r\t\0;?#*/-]{0,8}"].boxed()
}

fn names() -> BoxedStrategy<Vec<String>> {
    vec(name(), 1..3).boxed()
}

fn object() -> BoxedStrategy<ObjectName> {
    (of(name()), name()).prop_map(|(database, name)| ObjectName { database, name }).boxed()
}

fn plain() -> BoxedStrategy<Properties> {
    btree_map(text(), text(), 0..3).boxed()
}

fn secret() -> impl Strategy<Value = Secret> {
    text().prop_map(Secret::new)
}

fn secrets() -> BoxedStrategy<SecretProperties> {
    btree_map(text(), secret(), 0..3).boxed()
}

fn matching() -> BoxedStrategy<Match> {
    prop_oneof![text().prop_map(Match::Equals), text().prop_map(Match::Like)].boxed()
}

fn storage() -> impl Strategy<Value = StorageKind> {
    prop_oneof![of(name()).prop_map(StorageKind::Broker), Just(StorageKind::S3), Just(StorageKind::Local)]
}

/// How storage is reached, and with what: nothing without a kind.
fn reached() -> impl Strategy<Value = (Option<StorageKind>, SecretProperties)> {
    prop_oneof![
        Just((None, SecretProperties::new())),
        (storage(), secrets()).prop_map(|(storage, access)| (Some(storage), access)),
    ]
}

fn selection() -> BoxedStrategy<Selection> {
    let object = (name(), vec(name(), 0..3), of(name()));
    let objects =
        vec(object.prop_map(|(table, partitions, alias)| ObjectSelection { table, partitions, alias }), 1..3).boxed();
    prop_oneof![Just(Selection::All), objects.clone().prop_map(Selection::Only), objects.prop_map(Selection::Except)]
        .boxed()
}

fn backup() -> BoxedStrategy<Backup> {
    (of(name()), name(), name(), selection(), plain())
        .prop_map(|(database, label, repository, selection, properties)| Backup {
            database,
            label,
            repository,
            selection,
            properties,
        })
        .boxed()
}

fn restore() -> BoxedStrategy<Restore> {
    let databases =
        prop_oneof![Just((None, None)), (name(), of(name())).prop_map(|(source, into)| (Some(source), into))];
    (of(name()), name(), name(), databases, selection(), plain())
        .prop_map(|(database, label, repository, (source, into), selection, properties)| Restore {
            database,
            label,
            repository,
            source,
            into,
            selection,
            properties,
        })
        .boxed()
}

fn cluster() -> impl Strategy<Value = Statement> {
    let create = (name(), any::<bool>(), storage(), text(), secrets());
    let addresses = || vec(text(), 1..3);
    prop_oneof![
        create.prop_map(|(name, read_only, storage, location, properties)| {
            Statement::CreateRepository(CreateRepository { name, read_only, storage, location, properties })
        }),
        (name(), secrets()).prop_map(|(name, properties)| Statement::AlterRepository { name, properties }),
        name().prop_map(|name| Statement::DropRepository { name }),
        (name(), addresses()).prop_map(|(name, addresses)| Statement::AddBroker { name, addresses }),
        (name(), vec(text(), 0..3)).prop_map(|(name, addresses)| Statement::DropBroker { name, addresses }),
        addresses().prop_map(Statement::DecommissionBackends),
        (of_config(), plain()).prop_map(|(of, config)| Statement::SetConfig { of, config }),
        of(text()).prop_map(|like| Statement::ShowConfig { like }),
    ]
}

fn of_config() -> impl Strategy<Value = ConfigOf> {
    prop_oneof![Just(ConfigOf::Agents), text().prop_map(ConfigOf::Agent), name().prop_map(ConfigOf::Repository),]
}

fn job() -> impl Strategy<Value = Statement> {
    let kind = prop_oneof![Just(JobKind::Backup), Just(JobKind::Restore)];
    let load = (of(name()), name(), text(), name(), of(name()), reached(), plain());
    let export = (object(), of(name()), text(), reached(), plain());
    prop_oneof![
        backup().prop_map(Statement::Backup),
        backup().prop_map(Statement::ExplainBackup),
        restore().prop_map(Statement::Restore),
        restore().prop_map(Statement::ExplainRestore),
        (kind, of(name()), of(matching())).prop_map(|(kind, database, label)| Statement::Cancel {
            kind,
            database,
            label
        }),
        load.prop_map(|(database, label, source, table, partition, (storage, access), properties)| {
            Statement::Load(Load { database, label, source, table, partition, storage, access, properties })
        }),
        export.prop_map(|(table, partition, target, (storage, access), properties)| {
            Statement::Export(Export { table, partition, target, storage, access, properties })
        }),
    ]
}

fn column() -> BoxedStrategy<Column> {
    let data_type = proptest::sample::select(&[
        "INT",
        "VARCHAR(10)",
        "VARCHAR(*)",
        "DECIMAL(10,2)",
        "MAP<INT,ARRAY<ARRAY<STRING>>>",
        "STRUCT<a:INT,b:ARRAY<DATE>>",
    ]);
    let aggregation = of(proptest::sample::select(&["SUM", "REPLACE_IF_NOT_NULL"]));
    (name(), data_type, any::<bool>(), of(text()), aggregation, text())
        .prop_map(|(name, data_type, nullable, default, aggregation, comment)| Column {
            name,
            data_type: data_type.to_owned(),
            nullable,
            default,
            aggregation: aggregation.map(str::to_owned),
            comment,
        })
        .boxed()
}

fn partition() -> BoxedStrategy<PartitionClause> {
    let value =
        || prop_oneof![Just(PartitionValue::Min), Just(PartitionValue::Max), text().prop_map(PartitionValue::Literal)];
    let key = move || vec(value(), 1..3);
    let values = prop_oneof![
        key().prop_map(PartitionValues::LessThan),
        (key(), key()).prop_map(|(lower, upper)| PartitionValues::Range { lower, upper }),
        vec(key(), 1..3).prop_map(PartitionValues::In),
    ];
    (name(), any::<bool>(), values, plain())
        .prop_map(|(name, if_not_exists, values, properties)| PartitionClause {
            name,
            if_not_exists,
            values,
            properties,
        })
        .boxed()
}

fn distribution() -> BoxedStrategy<Distribution> {
    (names(), of(any::<u32>())).prop_map(|(columns, buckets)| Distribution { columns, buckets }).boxed()
}

fn rollup() -> BoxedStrategy<Rollup> {
    (name(), names()).prop_map(|(name, columns)| Rollup { name, columns }).boxed()
}

fn create_table() -> impl Strategy<Value = CreateTable> {
    let key_type =
        proptest::sample::select(&[KeyType::Duplicate, KeyType::Unique, KeyType::Aggregate, KeyType::Primary]);
    let key = of((key_type, names()).prop_map(|(key_type, columns)| KeyClause { key_type, columns }));
    let partitioned = (any::<bool>(), names(), vec(partition(), 0..3)).prop_map(|(range, columns, partitions)| {
        (if range { Partitioning::Range(columns) } else { Partitioning::List(columns) }, partitions)
    });
    let partitioning = prop_oneof![Just((Partitioning::None, Vec::new())), partitioned];
    let head = (object(), any::<bool>(), vec(column(), 1..3), key);
    let tail = (partitioning, distribution(), vec(rollup(), 0..2), plain(), text());
    (head, tail).prop_map(
        |((table, if_not_exists, columns, key), (partitioning, distribution, rollups, properties, comment))| {
            let (partitioning, partitions) = partitioning;
            CreateTable {
                table,
                if_not_exists,
                columns,
                key,
                partitioning,
                partitions,
                distribution,
                rollups,
                properties,
                comment,
            }
        },
    )
}

fn definition() -> impl Strategy<Value = Statement> {
    let change = prop_oneof![
        plain().prop_map(TableChange::Set),
        (partition(), of(distribution()))
            .prop_map(|(partition, distribution)| TableChange::AddPartition { partition, distribution }),
        (name(), any::<bool>()).prop_map(|(name, if_exists)| TableChange::DropPartition { name, if_exists }),
        vec(rollup(), 1..3).prop_map(TableChange::AddRollups),
    ];
    let view = proptest::sample::select(&["SELECT 1", "(SELECT 'a;b', `c` -- x\n)", "WITH a AS (SELECT 1) SELECT 2"]);
    prop_oneof![
        (name(), any::<bool>()).prop_map(|(name, if_not_exists)| Statement::CreateDatabase { name, if_not_exists }),
        (name(), any::<bool>()).prop_map(|(name, if_exists)| Statement::DropDatabase { name, if_exists }),
        create_table().prop_map(Statement::CreateTable),
        (object(), any::<bool>()).prop_map(|(table, if_exists)| Statement::DropTable { table, if_exists }),
        (object(), change).prop_map(|(table, change)| Statement::AlterTable(AlterTable { table, change })),
        (object(), any::<bool>(), view).prop_map(|(view, if_not_exists, text)| {
            Statement::CreateView(CreateView { view, if_not_exists, text: text.to_owned() })
        }),
        (object(), any::<bool>()).prop_map(|(view, if_exists)| Statement::DropView { view, if_exists }),
    ]
}

fn one_user() -> BoxedStrategy<User> {
    (text(), of(text())).prop_map(|(name, host)| User { name, host }).boxed()
}

fn users() -> impl Strategy<Value = UserStatement> {
    let grant = || {
        let privilege = prop_oneof![Just(Privilege::Admin), name().prop_map(Privilege::Load)];
        (privilege, one_user()).prop_map(|(privilege, user)| Grant { privilege, user })
    };
    prop_oneof![
        (one_user(), any::<bool>(), of(secret())).prop_map(|(user, if_not_exists, password)| UserStatement::Create {
            user,
            if_not_exists,
            password
        }),
        (one_user(), secret()).prop_map(|(user, password)| UserStatement::Alter { user, password }),
        (of(one_user()), secret()).prop_map(|(user, password)| UserStatement::SetPassword { user, password }),
        (one_user(), any::<bool>()).prop_map(|(user, if_exists)| UserStatement::Drop { user, if_exists }),
        grant().prop_map(UserStatement::Grant),
        grant().prop_map(UserStatement::Revoke),
    ]
}

fn scope() -> impl Strategy<Value = Option<Scope>> {
    of(prop_oneof![Just(Scope::Session), Just(Scope::Global)])
}

fn show() -> impl Strategy<Value = Show> {
    let database = || of(name());
    let like = || of(text());
    let any_of = || vec(matching(), 0..3);
    let bare = proptest::sample::select(&[
        Show::Repositories,
        Show::Brokers,
        Show::Backends,
        Show::Warnings,
        Show::Errors,
        Show::ProcessList,
        Show::Engines,
        Show::Plugins,
    ]);
    let jobs = prop_oneof![
        (database(), of(matching())).prop_map(|(database, label)| Show::Backup { database, label }),
        (any::<bool>(), database(), of(matching())).prop_map(|(brief, database, label)| Show::Restore {
            brief,
            database,
            label
        }),
        (name(), of(matching()), like()).prop_map(|(repository, label, timestamp)| Show::Snapshots {
            repository,
            label,
            timestamp
        }),
        of(one_user()).prop_map(Show::Grants),
    ];
    let tables = prop_oneof![
        like().prop_map(|like| Show::Databases { like }),
        (any::<bool>(), database(), like()).prop_map(|(full, database, like)| Show::Tables { full, database, like }),
        (database(), like()).prop_map(|(database, like)| Show::TableStatus { database, like }),
        name().prop_map(Show::CreateDatabase),
        object().prop_map(Show::CreateTable),
        object().prop_map(Show::CreateView),
        (any::<bool>(), object(), like()).prop_map(|(full, table, like)| Show::Columns { full, table, like }),
        object().prop_map(Show::Indexes),
        object().prop_map(Show::Partitions),
        object().prop_map(Show::Tablets),
    ];
    let server = prop_oneof![
        (scope(), any_of()).prop_map(|(scope, any_of)| Show::Variables { scope, any_of }),
        (scope(), any_of()).prop_map(|(scope, any_of)| Show::Status { scope, any_of }),
        like().prop_map(|like| Show::Collations { like }),
        like().prop_map(|like| Show::Charsets { like }),
    ];
    prop_oneof![bare, jobs, tables, server]
}

fn literal() -> BoxedStrategy<Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<i64>().prop_map(Literal::from),
        "-?[0-9]{1,3}(\\.[0-9]{0,3})?(e-?[0-9]{1,2})?".prop_map(Literal::Number),
        text().prop_map(Literal::Text),
    ]
    .boxed()
}

fn variable() -> BoxedStrategy<Variable> {
    (scope(), name()).prop_map(|(scope, name)| Variable { scope, name }).boxed()
}

fn set_item() -> impl Strategy<Value = SetItem> {
    let word = proptest::sample::select(&["ON", "off", "DEFAULT", "utf8mb4", "concat"]);
    let simple = prop_oneof![
        literal().prop_map(SetValue::Literal),
        word.prop_map(|word| SetValue::Word(word.to_owned())),
        variable().prop_map(SetValue::Variable),
        name().prop_map(SetValue::UserVariable),
    ]
    .boxed();
    let value = prop_oneof![simple.clone(), vec(simple, 1..3).prop_map(SetValue::Concat)].boxed();
    prop_oneof![
        (of(text()), of(text())).prop_map(|(charset, collation)| SetItem::Names { charset, collation }),
        of(text()).prop_map(SetItem::CharacterSet),
        (variable(), value.clone()).prop_map(|(variable, value)| SetItem::Variable { variable, value }),
        (name(), value).prop_map(|(name, value)| SetItem::UserVariable { name, value }),
    ]
}

fn client() -> impl Strategy<Value = Statement> {
    let isolation = proptest::sample::select(&[
        Isolation::ReadUncommitted,
        Isolation::ReadCommitted,
        Isolation::RepeatableRead,
        Isolation::Serializable,
    ]);
    let modes = prop_oneof![(isolation.prop_map(Some), of(any::<bool>())), (Just(None), any::<bool>().prop_map(Some)),];
    let transaction = (scope(), modes).prop_map(|(scope, (isolation, read_only))| SetItem::Transaction {
        scope,
        isolation,
        read_only,
    });
    let value = prop_oneof![
        literal().prop_map(SelectValue::Literal),
        variable().prop_map(SelectValue::Variable),
        name().prop_map(SelectValue::UserVariable),
        proptest::sample::select(&Function::ALL).prop_map(SelectValue::Function),
    ];
    let item = (value, text()).prop_map(|(value, name)| SelectItem { value, name });
    prop_oneof![
        text().prop_map(Statement::Help),
        name().prop_map(Statement::Use),
        vec(set_item(), 1..3).prop_map(Statement::Set),
        transaction.prop_map(|item| Statement::Set(vec![item])),
        (vec(item, 1..3), of(any::<u64>())).prop_map(|(items, limit)| Statement::Select(Select { items, limit })),
        Just(Statement::Begin),
        Just(Statement::Commit),
        Just(Statement::Rollback),
        (any::<u64>(), any::<bool>()).prop_map(|(connection, query)| Statement::Kill { connection, query }),
    ]
}

/// Any statement that the parser can make. Strategies are boxed where they meet: unboxed,
/// their common tree would outgrow a test's stack.
pub(super) fn statement() -> BoxedStrategy<Statement> {
    prop_oneof![
        cluster().boxed(),
        job().boxed(),
        definition().boxed(),
        users().prop_map(Statement::User).boxed(),
        show().prop_map(Statement::Show).boxed(),
        client().boxed(),
    ]
    .boxed()
}
