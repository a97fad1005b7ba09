//! How far jobs are, on stderr: bars on a terminal, else a line when a job's state changes and every few seconds.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tabvault_common::ids::JobId;
use tabvault_common::view::{JobKind, JobView};

use crate::output::{bytes, note};

/// Time between two lines about a job whose state does not change.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How often a bar turns while nothing is heard.
const TICK: Duration = Duration::from_millis(120);

/// Shows jobs while they run.
#[derive(Debug)]
pub struct Progress {
    show: Show,
}

#[derive(Debug)]
enum Show {
    Bars { all: MultiProgress, bars: BTreeMap<JobId, ProgressBar> },
    Lines(BTreeMap<JobId, Told>),
}

/// What was last said of a job.
#[derive(Debug)]
struct Told {
    state: String,
    at: Instant,
}

impl Progress {
    /// Bars if stderr is a terminal, else lines.
    #[must_use]
    pub fn new() -> Self {
        let show = if std::io::stderr().is_terminal() {
            Show::Bars { all: MultiProgress::new(), bars: BTreeMap::new() }
        } else {
            Show::Lines(BTreeMap::new())
        };
        Self { show }
    }

    /// Shows news of a job.
    pub fn update(&mut self, job: &JobView) {
        match &mut self.show {
            Show::Bars { all, bars } => {
                let bar = bars.entry(job.id).or_insert_with(|| all.add(new_bar()));
                draw(bar, job);
                if job.ended {
                    bar.finish();
                    bars.remove(&job.id);
                }
            }
            Show::Lines(told) => {
                let known = told.get(&job.id);
                let due = known.is_none_or(|known| known.state != job.state || known.at.elapsed() >= LINE_EVERY);
                if due {
                    note(line(job));
                    told.insert(job.id, Told { state: job.state.clone(), at: Instant::now() });
                }
                if job.ended {
                    told.remove(&job.id);
                }
            }
        }
    }

    /// Forgets jobs that are not among `running` any more.
    pub fn retain(&mut self, running: &[JobView]) {
        let runs = |id: &JobId| running.iter().any(|job| job.id == *id);
        match &mut self.show {
            Show::Bars { bars, .. } => bars.retain(|id, bar| {
                let keep = runs(id);
                if !keep {
                    bar.finish();
                }
                keep
            }),
            Show::Lines(told) => told.retain(|id, _| runs(id)),
        }
    }

    /// Says something between the bars.
    pub fn say(&self, text: &str) {
        match &self.show {
            // An error means that the terminal is gone.
            Show::Bars { all, .. } => drop(all.println(text)),
            Show::Lines(_) => note(text),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// Turns on a terminal while something runs of which no more is known; gone when it is dropped.
#[derive(Debug)]
pub struct Busy(ProgressBar);

/// Shows `text` while the answer lives.
#[must_use]
pub fn busy(text: impl Into<String>) -> Busy {
    // Hidden by itself where stderr is no terminal.
    let bar = ProgressBar::new_spinner().with_message(text.into());
    bar.enable_steady_tick(TICK);
    Busy(bar)
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{spinner} {prefix} [{bar:30}] {binary_bytes}/{binary_total_bytes} {msg}");
    // The template is a constant; were it wrong, the default would be shown.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.enable_steady_tick(TICK);
    bar
}

fn draw(bar: &ProgressBar, job: &JobView) {
    bar.set_prefix(format!("{} {}", name(job), job.state));
    bar.set_length(job.bytes_total);
    bar.set_position(job.bytes_done);
    bar.set_message(speed(job));
}

/// `backup 7 db.label UPLOADING: 1.0 MiB of 4.0 MiB, 512.0 KiB/s, 6 s left`.
fn line(job: &JobView) -> String {
    let mut text = format!("{} {}", name(job), job.state);
    if job.bytes_total > 0 {
        text.push_str(&format!(": {} of {}", bytes(job.bytes_done), bytes(job.bytes_total)));
        let speed = speed(job);
        if !speed.is_empty() {
            text.push_str(&format!(", {speed}"));
        }
    }
    text
}

fn name(job: &JobView) -> String {
    let kind = match job.kind {
        JobKind::Backup => "backup",
        JobKind::Restore => "restore",
    };
    format!("{kind} {} {}.{}", job.id, job.database, job.label)
}

fn speed(job: &JobView) -> String {
    if job.ended || job.bytes_per_second == 0 {
        return String::new();
    }
    let left = job.eta_s.map_or_else(String::new, |s| format!(", {s} s left"));
    format!("{}/s{left}", bytes(job.bytes_per_second))
}

#[cfg(test)]
mod tests {
    use tabvault_common::clock::Time;
    use tabvault_common::ids::JobUuid;

    use super::*;

    fn job() -> JobView {
        JobView {
            kind: JobKind::Backup,
            id: JobId(7),
            uuid: JobUuid::random(),
            label: "label".to_owned(),
            repository: "r".to_owned(),
            timestamp: None,
            database: "db".to_owned(),
            state: "UPLOADING".to_owned(),
            ended: false,
            objects: Vec::new(),
            create_time: Time(0),
            meta_prepared_time: None,
            snapshot_finished_time: None,
            transfer_finished_time: None,
            finished_time: None,
            unfinished_tasks: Vec::new(),
            progress: Vec::new(),
            task_errors: Vec::new(),
            status: None,
            timeout_s: 86400,
            bytes_done: 1 << 20,
            bytes_total: 4 << 20,
            bytes_per_second: 512 << 10,
            eta_s: Some(6),
            allow_load: false,
            replication_num: None,
        }
    }

    #[test]
    fn a_line_tells_bytes_rate_and_time_left_as_far_as_they_are_known() {
        assert_eq!(line(&job()), "backup 7 db.label UPLOADING: 1.00 MiB of 4.00 MiB, 512.00 KiB/s, 6 s left");
        let still = JobView { bytes_per_second: 0, eta_s: None, ..job() };
        assert_eq!(line(&still), "backup 7 db.label UPLOADING: 1.00 MiB of 4.00 MiB");
        let pending = JobView { bytes_total: 0, bytes_done: 0, state: "PENDING".to_owned(), ..still };
        assert_eq!(line(&pending), "backup 7 db.label PENDING");
        let ended = JobView { ended: true, state: "FINISHED".to_owned(), bytes_done: 4 << 20, ..job() };
        assert_eq!(line(&ended), "backup 7 db.label FINISHED: 4.00 MiB of 4.00 MiB");
    }

    #[test]
    fn a_job_that_does_not_change_is_told_once() {
        let mut progress = Progress { show: Show::Lines(BTreeMap::new()) };
        let lines = |progress: &Progress| match &progress.show {
            Show::Lines(told) => told.get(&JobId(7)).map(|told| (told.state.clone(), told.at)),
            Show::Bars { .. } => None,
        };
        progress.update(&job());
        let first = lines(&progress);
        assert!(first.is_some());
        progress.update(&JobView { bytes_done: 2 << 20, ..job() });
        assert_eq!(lines(&progress), first);
        progress.update(&JobView { state: "SAVE_META".to_owned(), ..job() });
        assert_ne!(lines(&progress), first);
        progress.retain(&[]);
        assert_eq!(lines(&progress), None);
    }
}
