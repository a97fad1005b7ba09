//! Who may talk to a coordinator: users with their password, agents with their token.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tabvault_common::durable;

use crate::program::{Cluster, refused, said, tabvault};

fn shows(mut command: Command) -> Command {
    command.args(["show", "backends"]);
    command
}

fn answer(command: &mut Command) -> std::process::Output {
    command.output().unwrap()
}

#[test]
fn a_client_needs_the_password_and_is_told_how_to_give_it() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(home.path(), 1);
    refused(
        &answer(&mut shows(cluster.stranger())),
        1,
        "no password is given: name a file that holds it with --password-file",
    );
    let wrong = answer(shows(cluster.stranger()).env("TABVAULT_PASSWORD", "hunter2"));
    refused(&wrong, 1, "Access denied for user 'root'");
    assert!(!said(&wrong).contains("hunter2"));
    refused(&answer(shows(cluster.as_root()).args(["--user", "nobody"])), 1, "Access denied for user 'nobody'");
    refused(&answer(shows(cluster.as_root()).env("TABVAULT_USER", "a:b")), 2, "--user `a:b`: give a user's name");

    let password = std::fs::read_to_string(&cluster.password_file).unwrap();
    assert!(answer(shows(cluster.stranger()).env("TABVAULT_PASSWORD", password.trim())).status.success());
    let flag = answer(
        shows(cluster.stranger()).env("TABVAULT_PASSWORD", "wrong").arg("--password-file").arg(&cluster.password_file),
    );
    assert!(flag.status.success(), "{}", said(&flag));
    refused(&answer(shows(cluster.stranger()).args(["--password-file", "/nowhere"])), 1, "read /nowhere: No such file");
    for secret in ["root.password", "agent.token"] {
        let mode = std::fs::metadata(home.path().join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}

#[test]
fn the_password_of_root_stays_and_can_be_set_at_a_start() {
    let home = tempfile::tempdir().unwrap();
    let first = Cluster::start(home.path(), 1);
    let password = std::fs::read_to_string(&first.password_file).unwrap();
    drop(first);
    let second = Cluster::start(home.path(), 1);
    assert_eq!(std::fs::read_to_string(&second.password_file).unwrap(), password);
    assert!(answer(&mut shows(second.as_root())).status.success());
    drop(second);
    let third = Cluster::start_with(home.path(), 1, |command| {
        command.env("TABVAULT_ROOT_PASSWORD", "mine");
    });
    assert!(answer(shows(third.stranger()).env("TABVAULT_PASSWORD", "mine")).status.success());
    assert!(!answer(shows(third.stranger()).env("TABVAULT_PASSWORD", password.trim())).status.success());
    assert!(!third.password_file.exists());
}

#[test]
fn an_agent_needs_the_clusters_token() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&home.path().join("cluster"), 1);
    let token = home.path().join("cluster/agent.token");
    let wrong = home.path().join("wrong.token");
    durable::write_file(&wrong, b"guessed\n").unwrap();
    // Nothing of what it says is on stdout but its readiness; why it is not attached is at its health.
    let attached = |change: &dyn Fn(&mut Command)| {
        let mut command = tabvault();
        command.args(["be", "--host", "other", "--http", "127.0.0.1:0", "--log", "warn", "--data"]);
        command.arg(home.path().join("be")).args(["--fe", &format!("http://{}", cluster.grpc)]);
        change(&mut command);
        crate::program::Agent::start(command).attached()
    };
    let told = attached(&|_| {});
    assert!(told.contains("the agent shows no token"), "{told}");
    let told = attached(&|command| {
        command.arg("--agent-token-file").arg(&wrong);
    });
    assert!(told.contains("the agent's token is not this cluster's") && !told.contains("guessed"), "{told}");
    let told = attached(&|command| {
        command.arg("--agent-token-file").arg(&token);
    });
    assert!(told.contains("attached to http://"), "{told}");
    let text = std::fs::read_to_string(&token).unwrap();
    let told = attached(&|command| {
        command.env("TABVAULT_AGENT_TOKEN", text.trim());
    });
    assert!(told.contains("attached to http://"), "{told}");
}
