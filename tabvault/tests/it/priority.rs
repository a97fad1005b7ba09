//! An agent gives way to the database beside it.

use tabvault_common::durable;

use crate::program::{Agent, refused, tabvault};

fn agent(config: &str) -> (tempfile::TempDir, std::process::Command) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.toml");
    durable::write_file(&file, config.as_bytes()).unwrap();
    let mut command = tabvault();
    command.args(["be", "--http", "127.0.0.1:0", "--fe", "http://127.0.0.1:1", "--data"]).arg(home.path().join("data"));
    command.arg("--config").arg(file).env("TABVAULT_AGENT_TOKEN", "token");
    (home, command)
}

#[test]
fn all_threads_of_an_agent_are_as_nice_as_its_configuration_says() {
    let own = rustix::process::getpriority_process(None).unwrap();
    for (config, nice) in [("", 10), ("[agent]\nnice = 15\n", 15), ("[agent]\nnice = 0\n", 0)] {
        let (_home, command) = agent(config);
        let agent = Agent::start(command);
        let threads = agent.nice();
        assert!(threads.len() > 1 && threads.iter().all(|found| *found == nice.max(own)), "{config}: {threads:?}");
    }
}

#[test]
fn an_agent_takes_half_of_the_cores_and_says_so_from_its_start() {
    let half = std::thread::available_parallelism().unwrap().get().div_ceil(2).to_string();
    for (config, cores) in [("", half.as_str()), ("[agent]\ncpu_cores = 0\n", "0")] {
        let (_home, command) = agent(config);
        let metrics = Agent::start(command).get("/metrics");
        let line = format!("tabvault_agent_limit_cpu_cores {cores}");
        assert!(metrics.lines().any(|shown| shown == line), "{config}: {metrics}");
    }
}

#[test]
fn a_nice_value_that_would_put_an_agent_before_others_is_refused() {
    let (_home, mut command) = agent("[agent]\nnice = -5\n");
    refused(&command.output().unwrap(), 1, "agent.nice = -5: give a number from 0 to 19");
}
