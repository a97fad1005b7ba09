//! Flags win over environment variables, those over the file, and the file over the defaults.

use clap::Parser;
use std::path::Path;
use tabvault::cli::{Cli, Command};
use tabvault::config::{FileConfig, StandaloneConfig};
use tabvault_common::durable;
use tabvault_common::secret::Secret;

use crate::program::{refused, run, said, tabvault};

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    durable::write_file(file.path(), text.as_bytes()).unwrap();
    file
}

/// Nothing listens on these ports: the refusal names the one that was chosen.
fn chosen(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    let told = said(&output);
    let address = told.split("http://").nth(1).unwrap_or_else(|| panic!("{told}"));
    address.split(": ").next().unwrap().to_owned()
}

#[test]
fn the_first_that_says_something_wins() {
    let config = file("[client]\nfe = [\"http://127.0.0.1:3\"]\n");
    let show = || {
        let mut command = tabvault();
        command.args(["show", "backends"]);
        command
    };
    let with_file = || {
        let mut command = show();
        command.arg("--config").arg(config.path());
        command
    };
    assert_eq!(chosen(&mut with_file()), "127.0.0.1:3");
    assert_eq!(chosen(show().env("TABVAULT_CONFIG", config.path())), "127.0.0.1:3");
    assert_eq!(chosen(with_file().env("TABVAULT_FE", "http://127.0.0.1:2")), "127.0.0.1:2");
    let flag = ["--fe", "http://127.0.0.1:1"];
    assert_eq!(chosen(with_file().env("TABVAULT_FE", "http://127.0.0.1:2").args(flag)), "127.0.0.1:1");
}

#[test]
fn several_addresses_are_tried_in_turn_and_all_are_named() {
    let output = run("show backends --fe http://127.0.0.1:1,http://127.0.0.1:2");
    refused(&output, 1, "cannot reach the coordinator at http://127.0.0.1:1: tcp connect error: Connection refused");
    refused(&output, 1, "nor at http://127.0.0.1:2: ");
}

#[test]
fn a_file_that_cannot_be_meant_so_is_refused_with_its_line() {
    let show = |path: &Path| tabvault().args(["show", "backends", "--config"]).arg(path).output().unwrap();
    for (text, words) in [
        (
            "\n[client]\nfee = 1\n",
            ", line 3: unknown field `fee`, expected one of `fe`, `output`, `user`, `password_file`",
        ),
        ("[standalone]\nbackends = \"x\"\n", ", line 2: invalid type: string \"x\", expected usize"),
        ("[client\n", ", line 1: "),
        ("[what]\n", ", line 1: unknown field `what`"),
    ] {
        let config = file(text);
        let output = show(config.path());
        refused(&output, 2, words);
        refused(&output, 2, &config.path().display().to_string());
    }
    refused(&show(Path::new("/nowhere/config.toml")), 2, "configuration file /nowhere/config.toml: No such file");
}

#[test]
fn a_filter_that_cannot_be_read_is_refused() {
    refused(&run("show backends --log a=b=c"), 2, "--log `a=b=c`");
}

fn resolved(line: &str, text: &str) -> StandaloneConfig {
    let config = file(text);
    let args = line.split_whitespace().map(str::to_owned).chain(["--config".to_owned()]);
    let cli = Cli::try_parse_from(args.chain([config.path().display().to_string()])).unwrap();
    let read = FileConfig::load(&cli.global).unwrap();
    let Command::Standalone(args) = cli.command else { panic!("not standalone") };
    StandaloneConfig::resolve(&args, &read).unwrap()
}

#[test]
fn a_standalone_takes_what_flags_leave_out_from_the_file_and_the_rest_from_the_defaults() {
    let text = "
        [standalone]
        data = '/from/file'
        backends = 5
        grpc = '127.0.0.1:1'
        [agent]
        memory_budget = 67108864
        bytes_per_second = 1000
        [coordinator]
        kept_jobs = 7
        max_jobs_per_database = 3
        max_snapshot_details = 5000
        load_directories = ['/mnt/in']
        [tls]
        domain = 'tabvault'";
    let config = resolved("tabvault standalone --backends 4 --grpc 127.0.0.1:2", text);
    assert_eq!(config.data, Path::new("/from/file"));
    assert_eq!((config.backends, config.grpc.port(), config.http.port()), (Some(4), 2, 8030));
    let be = config.be(2, "http://127.0.0.1:2".to_owned(), Secret::new("token"));
    assert_eq!((be.host.as_str(), be.data), ("be2", vec!["/from/file/be2".into()]));
    assert_eq!(be.tuning.settings().bytes_per_second, Some(1000));
    assert_eq!((be.tuning.memory_budget, be.tls.domain.as_deref()), (64 << 20, Some("tabvault")));
    let fe = config.fe();
    let tuning = fe.tuning.config();
    assert_eq!((fe.data, tuning.kept_jobs), ("/from/file/fe".into(), 7));
    assert_eq!((tuning.jobs_per_database, tuning.max_snapshot_details), (3, 5000));
    assert_eq!(tuning.load_directories, ["/mnt/in"]);
}
