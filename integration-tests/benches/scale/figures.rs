//! What was measured, for people and as JSON.

use std::fmt;
use std::time::Duration;

use super::agents::Counts;
use super::front::Usage;

/// One job at one scale.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(super) struct Figures {
    pub(super) what: String,
    pub(super) tablets: u64,
    pub(super) agents: usize,
    /// From the statement to the first SHOW that says FINISHED.
    pub(super) wall_s: f64,
    /// User and system time of the coordinator.
    pub(super) cpu_s: f64,
    pub(super) cpu_us_per_tablet: f64,
    /// Largest resident set of the coordinator.
    pub(super) peak_rss_bytes: u64,
    /// Bytes that the coordinator handed to write calls: the journal, the snapshot's meta and info, and its answers.
    pub(super) written_bytes: u64,
    /// The database's files afterwards.
    pub(super) metadata_bytes: u64,
    /// Messages from the agents and to them, and their bytes.
    pub(super) messages_in: u64,
    pub(super) messages_out: u64,
    pub(super) message_bytes_in: u64,
    pub(super) message_bytes_out: u64,
    pub(super) tasks: u64,
    pub(super) show: Percentiles,
    pub(super) killed_in: Option<String>,
    /// From the SIGKILL until calls are answered again.
    pub(super) recovery_listens_s: Option<f64>,
    /// From the SIGKILL until an agent has a task again.
    pub(super) recovery_s: Option<f64>,
}

/// How long answers took.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(super) struct Percentiles {
    pub(super) samples: usize,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Percentiles {
    pub(super) fn of(mut spans: Vec<Duration>) -> Self {
        spans.sort_unstable();
        let at = |part: f64| {
            let last = spans.len().saturating_sub(1);
            spans.get((last as f64 * part).round() as usize).map_or(0.0, |span| span.as_secs_f64() * 1e3)
        };
        Self { samples: spans.len(), p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

impl Figures {
    pub(super) fn new(what: &str, tablets: u64, agents: usize) -> Self {
        Self { what: what.to_owned(), tablets, agents, ..Self::default() }
    }

    pub(super) fn set_usage(&mut self, used: &Usage) {
        self.cpu_s = used.cpu_s;
        self.cpu_us_per_tablet = used.cpu_s * 1e6 / self.tablets as f64;
        self.peak_rss_bytes = used.peak_bytes;
        self.written_bytes = used.written_bytes;
    }

    pub(super) fn set_counts(&mut self, counts: &Counts) {
        self.messages_in = counts.sent;
        self.messages_out = counts.received;
        self.message_bytes_in = counts.bytes_sent;
        self.message_bytes_out = counts.bytes_received;
        self.tasks = counts.tasks;
    }

    pub(super) fn head() -> String {
        format!(
            "{:<16}{:>9}{:>9}{:>9}{:>10}{:>9}{:>10}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}",
            "",
            "tablets",
            "wall s",
            "cpu s",
            "us/tablet",
            "RSS MiB",
            "writ. MiB",
            "meta MiB",
            "msgs in",
            "msgs out",
            "show p50",
            "show p99",
            "recov. s"
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{:<16}{:>9}{:>9.1}{:>9.1}{:>10.1}{:>9.0}{:>10.0}{:>10.0}{:>9}{:>9}{:>9.1}{:>9.1}",
            self.what,
            self.tablets,
            self.wall_s,
            self.cpu_s,
            self.cpu_us_per_tablet,
            mib(self.peak_rss_bytes),
            mib(self.written_bytes),
            mib(self.metadata_bytes),
            self.messages_in,
            self.messages_out,
            self.show.p50_ms,
            self.show.p99_ms,
        )?;
        match self.recovery_s {
            Some(recovery) => write!(f, "{recovery:>9.2}"),
            None => write!(f, "{:>9}", "-"),
        }
    }
}
