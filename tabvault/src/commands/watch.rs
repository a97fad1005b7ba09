//! `tabvault watch`.

use tabvault_common::view::{JobKind, JobView, cells};

use crate::cli::OutputFormat;
use crate::cli::clients::WatchArgs;
use crate::commands::Session;
use crate::config::FileConfig;
use crate::error::Result;
use crate::output;
use crate::progress::Progress;

/// Follows running jobs until it is stopped. As JSON: a line for each change, with the running jobs' cells.
///
/// # Errors
/// That the coordinator cannot be reached.
pub async fn run(args: &WatchArgs, file: &FileConfig) -> Result<()> {
    let session = Session::open(&args.client, file).await?;
    let mut watch = session.client.watch_all(args.db.as_deref()).await?;
    let mut progress = Progress::new();
    let mut last: Option<Vec<JobView>> = None;
    while let Some(jobs) = watch.next().await? {
        if last.as_ref() == Some(&jobs) {
            continue;
        }
        match session.output {
            OutputFormat::Json => output::line(lines(&jobs))?,
            OutputFormat::Table | OutputFormat::Vertical | OutputFormat::Csv => {
                if jobs.is_empty() {
                    progress.say("no job is running");
                }
                progress.retain(&jobs);
                jobs.iter().for_each(|job| progress.update(job));
            }
        }
        last = Some(jobs);
    }
    Ok(())
}

/// Backups and restores have different columns: an array of each.
fn lines(jobs: &[JobView]) -> String {
    let of = |kind| jobs.iter().filter(|job| job.kind == kind).cloned().collect::<Vec<_>>();
    let backups = output::json(&cells::backups(&of(JobKind::Backup)));
    let restores = output::json(&cells::restores(&of(JobKind::Restore), false));
    format!("{{\"backups\":{backups},\"restores\":{restores}}}")
}
