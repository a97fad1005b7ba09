//! `tabvault demo`: the main job on real files, in a temporary directory that is gone afterwards.
//!
//! It starts a standalone cluster in this process and then does what users do, through the same client: load, back up,
//! load more, drop, restore (once as it was, once under another name), export, and compare with what was loaded.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tabvault_common::access::StorageAccess;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::request::{
    BackupRequest, CreateRepositoryRequest, ExportRequest, LoadRequest, ObjectSelection, RestoreRequest, Selection,
};
use tabvault_common::view::JobView;

use self::compare::Tree;
use crate::cli::servers::DemoArgs;
use crate::client::{Client, Started};
use crate::commands::wait;
use crate::config::{AgentTuning, ClientConfig, StandaloneConfig};
use crate::error::Result;
use crate::output::{self, bytes, count};
use crate::progress::{self, Progress};
use crate::server::signals::Signals;
use crate::server::standalone::Standalone;

mod compare;
mod generate;

const DATABASE: &str = "demo";
const TABLE: &str = "files";
const ALIAS: &str = "files_again";
const LABEL: &str = "before";
const REPOSITORY: &str = "backups";
/// A demonstration may leave less free than a server.
const FREE_SPACE: u64 = 64 << 20;
/// Differences that are listed.
const LISTED: usize = 10;

/// Plays it. The exit code is 1 if what came back differs from what was loaded.
///
/// # Errors
/// A step failed.
pub async fn run(args: &DemoArgs) -> Result<ExitCode> {
    let (begin, signals) = (Instant::now(), Signals::watch()?);
    let home = tempfile::Builder::new().prefix("tabvault-demo-").tempdir();
    let home = home.map_err(|error| Failure::io("make a temporary directory", &error))?;
    // The directory goes when this function is left, however that is.
    let differences = play(home.path(), args.input.as_deref(), signals).await?;
    // 9. Tidy up: some file systems take their time.
    let busy = progress::busy("removing the temporary directory");
    blocking(move || home.close().map_err(|error| Failure::io("remove the temporary directory", &error))).await?;
    drop(busy);
    // 10. Was it all the same?
    if differences.is_empty() {
        tell("done", &format!("what came back is what was loaded; {:.1} s in all", begin.elapsed().as_secs_f64()))?;
        return Ok(ExitCode::SUCCESS);
    }
    for difference in differences.iter().take(LISTED) {
        output::line(format!("  {difference}"))?;
    }
    let found = count(differences.len() as u64, "difference");
    Err(Failure::fatal(Kind::Corrupt, format!("what came back is not what was loaded: {found}")).into())
}

/// Everything but the end. Answers with the differences that were found.
async fn play(home: &Path, input: Option<&Path>, signals: Signals) -> Result<Vec<String>> {
    // 1. Something to load.
    let input = match input {
        Some(dir) => absolute(dir)?,
        None => made(home.join("input"), generate::tree).await?,
    };
    let before = looked_at(&input).await?;
    tell("input", &format!("{} in {}", before.summary(), input.display()))?;
    // 2. A cluster.
    let config = settings(home)?;
    let cluster = Standalone::start(&config).await?;
    let address = format!("http://{}", cluster.grpc());
    let password_file = Some(config.fe().root_password_file());
    let client = Client::connect(&ClientConfig { fe: vec![address], password_file, ..ClientConfig::default() }).await?;
    tell("start", &format!("a coordinator and {} at {}", count(BACKENDS as u64, "backend"), cluster.grpc()))?;
    let stage = Stage { home: home.to_owned(), client };
    let played = tokio::select! {
        played = stage.play(&input, &before) => played,
        () = signals.first() => Err(Failure::fatal(Kind::Cancelled, "the demonstration was interrupted").into()),
    };
    // Also after a failure: nothing may be written any more when the directory is removed.
    cluster.shutdown().await;
    played
}

const BACKENDS: usize = 3;

fn settings(home: &Path) -> Result<StandaloneConfig> {
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let config = StandaloneConfig {
        data: home.join("cluster"),
        backends: Some(BACKENDS),
        grpc: free,
        mysql: free,
        http: free,
        agent: AgentTuning { free_space_watermark: FREE_SPACE, ..AgentTuning::default() },
        ..StandaloneConfig::default()
    };
    config.validate()?;
    Ok(config)
}

/// Where it is played.
struct Stage {
    home: PathBuf,
    client: Client,
}

impl Stage {
    /// Everything from the first load on. Answers with the differences that were found.
    async fn play(&self, input: &Path, before: &Tree) -> Result<Vec<String>> {
        // 3. Load.
        self.load("load", input).await?;
        // 4. Back up.
        let timestamp = self.back_up().await?;
        // 5. Load more: new files, and another content for one that was there.
        let changed = before.first_file();
        let more = made(self.home.join("more"), move |dir| generate::more(dir, changed.as_deref())).await?;
        self.load("load more", &more).await?;
        // 6. Lose it.
        self.client.drop_table(DATABASE, TABLE).await?;
        tell("drop", &format!("the table {DATABASE}.{TABLE} is gone"))?;
        // 7. Bring it back, as it was and under another name.
        let mut differences = Vec::new();
        for table in [TABLE, ALIAS] {
            self.restore(table, &timestamp).await?;
            // 8. Write it out and compare.
            differences.extend(self.compare(table, input).await?);
        }
        Ok(differences)
    }

    async fn load(&self, verb: &str, dir: &Path) -> Result<()> {
        let request = LoadRequest {
            database: DATABASE.to_owned(),
            table: TABLE.to_owned(),
            partition: None,
            source: access(dir)?,
            create: true,
            buckets: None,
            replication_num: None,
        };
        let (begin, busy) = (Instant::now(), progress::busy("loading"));
        let done = self.client.load(&request).await?;
        drop(busy);
        let took = speed(done.bytes, begin.elapsed());
        tell(
            verb,
            &format!("{} into {DATABASE}.{TABLE} as version {}, {took}", count(done.files, "entry"), done.version),
        )
    }

    async fn back_up(&self) -> Result<String> {
        let place = self.home.join("repository");
        let repository = CreateRepositoryRequest {
            name: REPOSITORY.to_owned(),
            location: access(&place)?.location,
            properties: Default::default(),
            broker: None,
            read_only: false,
        };
        self.client.create_repository(&repository).await?;
        let request = BackupRequest {
            database: DATABASE.to_owned(),
            label: LABEL.to_owned(),
            repository: REPOSITORY.to_owned(),
            selection: Selection::All,
            properties: Default::default(),
        };
        let started = self.client.backup(&request).await?;
        let job = self.follow(&started).await?;
        let stored = looked_at(&place).await?;
        let took = speed(job.bytes_total, lasted(&job));
        tell("back up", &format!("{DATABASE}.{LABEL} to a repository of {}, {took}", stored.summary()))?;
        let unknown = || Failure::fatal(Kind::Internal, "the backup has ended without a timestamp");
        Ok(job.timestamp.ok_or_else(unknown)?)
    }

    async fn restore(&self, table: &str, timestamp: &str) -> Result<()> {
        let alias = (table != TABLE).then(|| table.to_owned());
        let object = ObjectSelection { table: TABLE.to_owned(), partitions: Vec::new(), alias };
        let request = RestoreRequest {
            database: DATABASE.to_owned(),
            into: None,
            label: LABEL.to_owned(),
            repository: REPOSITORY.to_owned(),
            selection: Selection::Only(vec![object]),
            properties: [("backup_timestamp".to_owned(), timestamp.to_owned())].into(),
        };
        let started = self.client.restore(&request).await?;
        let job = self.follow(&started).await?;
        tell("restore", &format!("{DATABASE}.{table} from {timestamp}, {}", speed(job.bytes_total, lasted(&job))))
    }

    async fn compare(&self, table: &str, input: &Path) -> Result<Vec<String>> {
        let target = self.home.join("export").join(table);
        let request = ExportRequest {
            database: DATABASE.to_owned(),
            table: table.to_owned(),
            partition: None,
            target: access(&target)?,
        };
        let (begin, busy) = (Instant::now(), progress::busy("exporting and comparing"));
        let done = self.client.export(&request).await?;
        let took = speed(done.bytes, begin.elapsed());
        let input = input.to_owned();
        let differences = blocking(move || compare::differences(&input, &target)).await?;
        drop(busy);
        let verdict = match differences.len() {
            0 => "contents, kinds, link targets and permissions are the same".to_owned(),
            found => count(found as u64, "difference"),
        };
        tell(
            "compare",
            &format!("{} of {DATABASE}.{table} written out, {took}: {verdict}", count(done.files, "entry")),
        )?;
        Ok(differences.into_iter().map(|difference| format!("{DATABASE}.{table}: {difference}")).collect())
    }

    /// Follows a job to its end, which must be good.
    async fn follow(&self, started: &Started) -> Result<JobView> {
        let job = wait::follow(&self.client, started, &mut Progress::new()).await?;
        match job.status.clone() {
            None => Ok(job),
            Some(failure) => Err(failure.context(format_args!("job {} is {}", job.id, job.state)).into()),
        }
    }
}

fn tell(verb: &str, what: &str) -> Result<()> {
    Ok(output::line(format!("{verb:>9}  {what}"))?)
}

fn lasted(job: &JobView) -> Duration {
    job.finished_time.map_or(Duration::ZERO, |finished| job.create_time.until(finished))
}

/// `1.0 MiB in 2.0 s, 512.0 KiB/s`.
fn speed(size: u64, took: Duration) -> String {
    let millis = took.as_millis().max(1);
    let rate = u64::try_from(u128::from(size) * 1000 / millis).unwrap_or(u64::MAX);
    format!("{} in {:.1} s, {}/s", bytes(size), took.as_secs_f64(), bytes(rate))
}

fn absolute(dir: &Path) -> std::result::Result<PathBuf, Failure> {
    dir.canonicalize().map_err(|error| Failure::io(format_args!("look at --input {}", dir.display()), &error))
}

fn access(dir: &Path) -> std::result::Result<StorageAccess, Failure> {
    let text = dir.to_str().ok_or_else(|| {
        Failure::fatal(Kind::InvalidArgument, format!("the path {} is not UTF-8: name another", dir.display()))
    })?;
    Ok(StorageAccess::direct(format!("file://{text}")))
}

async fn made(
    dir: PathBuf,
    make: impl FnOnce(&Path) -> std::result::Result<(), Failure> + Send + 'static,
) -> Result<PathBuf> {
    blocking(move || make(&dir).map(|()| dir)).await
}

async fn looked_at(dir: &Path) -> Result<Tree> {
    let dir = dir.to_owned();
    blocking(move || Tree::read(&dir)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, Failure> + Send + 'static,
) -> Result<T> {
    Ok(crate::server::blocking(work).await?)
}
