//! The programs that tabvault is compared to, as their users run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tabvault_integration_tests::bench::measure::{Taken, shell};
use tabvault_integration_tests::bench::resources::bytes_below;
use tabvault_integration_tests::bench::rgw::{ACCESS_KEY, SECRET_KEY};

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The first backup.
    Backup,
    /// A second one, with nothing changed.
    Unchanged,
    /// A third one, with one file in a hundred changed.
    Changed,
    /// The first backup, brought back to where nothing is.
    Restore,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [Self::Backup, Self::Unchanged, Self::Changed, Self::Restore];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Restore => "restore",
        }
    }
}

/// A program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// `cp -r`.
    Cp,
    /// `tar | zstd -1 -T2`.
    Tar,
    Restic,
    Rclone,
    Borg,
}

/// Where a peer works.
#[derive(Debug)]
pub(crate) struct Place {
    /// A directory of its own.
    pub(crate) dir: PathBuf,
    /// What is backed up.
    pub(crate) source: PathBuf,
    /// An S3 server and a name in its bucket `bench`; else all is local.
    pub(crate) s3: Option<(String, String)>,
}

impl Place {
    /// Where it lands, if that is local.
    pub(crate) fn repository(&self) -> PathBuf {
        self.dir.join("repository")
    }

    fn out(&self) -> PathBuf {
        self.dir.join("out")
    }
}

impl Peer {
    pub(crate) const ALL: [Self; 5] = [Self::Cp, Self::Tar, Self::Restic, Self::Rclone, Self::Borg];
    /// Those that speak S3.
    pub(crate) const S3: [Self; 2] = [Self::Restic, Self::Rclone];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cp => "cp -r",
            Self::Tar => "tar | zstd",
            Self::Restic => "restic",
            Self::Rclone => "rclone",
            Self::Borg => "borg",
        }
    }

    /// The first word of its name: the program.
    pub(crate) fn word(self) -> &'static str {
        self.name().split(' ').next().unwrap_or_default()
    }

    /// Whether it can do it in another way than by a first backup.
    pub(crate) fn can(self, operation: Operation) -> bool {
        match operation {
            Operation::Backup | Operation::Restore => true,
            Operation::Unchanged | Operation::Changed => !matches!(self, Self::Cp | Self::Tar),
        }
    }

    /// Makes its repository, which is not measured.
    pub(crate) fn prepare(self, place: &Place) {
        std::fs::create_dir_all(place.repository()).expect("make a directory");
        let script = match self {
            Self::Cp | Self::Tar => return,
            Self::Restic => "restic -q init",
            Self::Rclone => r#"rclone -q mkdir "$REMOTE""#,
            Self::Borg => "borg init -e none",
        };
        let _ = shell(&mut bash(script, place), &place.dir);
    }

    /// Does it, and makes it durable.
    pub(crate) fn run(self, operation: Operation, place: &Place) -> Taken {
        let taken = shell(&mut bash(self.script(operation), place), &place.dir);
        if operation == Operation::Restore {
            let (before, after) = (bytes_below(&place.source), bytes_below(&place.out()));
            assert_eq!(before, after, "{} restores other bytes than there were", self.name());
        }
        taken
    }

    fn script(self, operation: Operation) -> &'static str {
        use Operation::{Backup, Changed, Restore, Unchanged};
        match (self, operation) {
            (Self::Cp, Restore) => "cp -r repository/tree out",
            (Self::Cp, _) => r#"cp -r "$SOURCE" repository/tree"#,
            (Self::Tar, Restore) => "mkdir out && zstd -dqc repository/tar.zst | tar -C out -xf -",
            (Self::Tar, _) => r#"tar -C "$SOURCE" -cf - . | zstd -q -1 -T2 -o repository/tar.zst"#,
            (Self::Restic, Backup) => r#"cd "$SOURCE" && restic -q backup --tag first ."#,
            (Self::Restic, Unchanged | Changed) => r#"cd "$SOURCE" && restic -q backup --tag later ."#,
            (Self::Restic, Restore) => "restic -q restore latest --tag first --target out",
            (Self::Rclone, Restore) => r#"rclone -q copy "$REMOTE" out"#,
            (Self::Rclone, _) => r#"rclone -q copy "$SOURCE" "$REMOTE""#,
            (Self::Borg, Backup) => r#"cd "$SOURCE" && borg create ::first ."#,
            (Self::Borg, Unchanged) => r#"cd "$SOURCE" && borg create ::unchanged ."#,
            (Self::Borg, Changed) => r#"cd "$SOURCE" && borg create ::changed ."#,
            (Self::Borg, Restore) => "mkdir out && cd out && borg extract ::first",
        }
    }
}

/// A script in the peer's directory, with caches and settings of its own.
fn bash(script: &str, place: &Place) -> Command {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(&place.dir).stdin(Stdio::null()).stdout(Stdio::null());
    let local = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let (restic, rclone) = match &place.s3 {
        None => (local(&place.repository()), local(&place.repository())),
        Some((endpoint, name)) => (format!("s3:{endpoint}/bench/{name}"), format!("bench:bench/{name}")),
    };
    command.env("RESTIC_REPOSITORY", restic).env("RESTIC_PASSWORD", "bench");
    command.env("RESTIC_CACHE_DIR", place.dir.join("cache"));
    command.env("BORG_REPO", place.repository()).env("BORG_BASE_DIR", place.dir.join("borg"));
    command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    // With a bundle of certificates, which plain HTTP does not need, rclone refuses to start.
    command.env_remove("AWS_CA_BUNDLE");
    // An empty name: no file of the user's.
    command.env("SOURCE", &place.source).env("REMOTE", rclone).env("RCLONE_CONFIG", "");
    if let Some((endpoint, _)) = &place.s3 {
        let settings = [
            ("TYPE", "s3"),
            ("PROVIDER", "Ceph"),
            ("ENV_AUTH", "true"),
            ("ENDPOINT", endpoint),
            ("REGION", "us-east-1"),
        ];
        command.envs(settings.map(|(name, value)| (format!("RCLONE_CONFIG_BENCH_{name}"), value)));
    }
    command
}
