//! What happens once a job was accepted.

use std::time::{Duration, Instant};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::view::cells::ResultSet;
use tabvault_common::view::{BackupState, JobKind, JobView};

use crate::cli::OutputFormat;
use crate::client::{Client, Started};
use crate::commands::Session;
use crate::error::Result;
use crate::output;
use crate::progress::Progress;

/// A coordinator that cannot be reached for so long is given up. The job goes on without us.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells the number of the job `what`.
///
/// # Errors
/// That stdout cannot be written to.
pub fn started(session: &Session, job: &Started, what: &str) -> Result<()> {
    notices(job);
    let row = output::row(vec![("JobId", Some(job.id.to_string()))]);
    Ok(output::done(session.output, &format!("{what}: job {} is running", job.id), &row)?)
}

/// Follows the job `what` until it has ended, and tells how.
///
/// # Errors
/// `Cancelled` with the job's status unless it is FINISHED.
pub async fn to_the_end(session: &Session, job: &Started, what: &str) -> Result<()> {
    notices(job);
    let mut progress = Progress::new();
    let end = tokio::select! {
        end = follow(&session.client, job, &mut progress) => end?,
        _ = tokio::signal::ctrl_c() => {
            let message = format!("{what}: not followed any more; job {} goes on, `tabvault watch` shows it", job.id);
            return Err(Failure::fatal(Kind::Cancelled, message).into());
        }
    };
    if end.state != BackupState::Finished.as_str() {
        if session.output == OutputFormat::Json {
            output::print(session.output, &summary(&end))?;
        }
        return Err(Failure::fatal(
            Kind::Cancelled,
            format!("{what}: job {} is {}: {}", end.id, end.state, status(&end)),
        )
        .into());
    }
    let took = end.finished_time.map_or(Duration::ZERO, |finished| end.create_time.until(finished));
    let sentence = format!(
        "{what}: {}, {} in {:.1} s, timestamp {}",
        end.state,
        output::bytes(end.bytes_total),
        took.as_secs_f64(),
        end.timestamp.as_deref().unwrap_or("unknown")
    );
    Ok(output::done(session.output, &sentence, &summary(&end))?)
}

/// The job's last view. Outlives restarts of the coordinator.
///
/// # Errors
/// The coordinator could not be reached for too long, or does not know the job.
pub async fn follow(client: &Client, job: &Started, progress: &mut Progress) -> std::result::Result<JobView, Failure> {
    let mut heard = Instant::now();
    loop {
        let broken = match follow_once(client, job, progress, &mut heard).await {
            Ok(end) => return Ok(end),
            Err(failure) => failure,
        };
        if broken.kind != Kind::Unreachable || heard.elapsed() > PATIENCE {
            return Err(broken.context(format_args!("follow job {}", job.id)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow_once(
    client: &Client,
    job: &Started,
    progress: &mut Progress,
    heard: &mut Instant,
) -> std::result::Result<JobView, Failure> {
    let mut watch = client.watch_job(job.id).await?;
    while let Some(news) = watch.next().await? {
        *heard = Instant::now();
        for view in news.into_iter().filter(|view| view.id == job.id) {
            progress.update(&view);
            if view.ended {
                return Ok(view);
            }
        }
    }
    // A coordinator that shuts down ends the stream before the job has ended.
    Err(Failure::transient(Kind::Unreachable, "the coordinator has stopped telling of it"))
}

fn notices(job: &Started) {
    for notice in &job.notices {
        output::note(format!("note: {notice}"));
    }
}

fn summary(job: &JobView) -> ResultSet {
    let label = match job.kind {
        JobKind::Backup => "SnapshotName",
        JobKind::Restore => "Label",
    };
    output::row(vec![
        ("JobId", Some(job.id.to_string())),
        (label, Some(job.label.clone())),
        ("Timestamp", job.timestamp.clone()),
        ("DbName", Some(job.database.clone())),
        ("State", Some(job.state.clone())),
        ("Status", Some(status(job))),
    ])
}

/// As SHOW BACKUP and SHOW RESTORE print it.
fn status(job: &JobView) -> String {
    job.status
        .as_ref()
        .map_or_else(|| "[OK]".to_owned(), |failure| format!("[{}, msg: {}]", failure.kind.as_str(), failure.message))
}
