//! Users over a store in memory.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::durable;

use super::*;
use crate::store::MemoryStore;

struct Bench {
    store: Arc<MemoryStore>,
    clock: ManualClock,
    users: Users,
    dir: tempfile::TempDir,
}

async fn bench() -> Bench {
    let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::new(Time(1_000_000)));
    let users = started(&store, &clock).await;
    Bench { store, clock, users, dir: tempfile::tempdir().unwrap() }
}

/// As after a start of the coordinator.
async fn started(store: &Arc<MemoryStore>, clock: &ManualClock) -> Users {
    let users = Users::new(store.clone(), Arc::new(clock.clone()), Secret::new("token")).unwrap();
    users.lead(store.lead().await.unwrap());
    users
}

impl Bench {
    fn file(&self) -> PathBuf {
        self.dir.path().join("root.password")
    }

    async fn login(&self, user: &str, password: &str) -> Result<Identity> {
        self.users.authenticate(user, &Proof::Password(Secret::new(password))).await
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

fn on(database: &str) -> Privilege {
    Privilege::Load(database.to_owned())
}

fn somebody(user: &str) -> Identity {
    Identity { user: user.to_owned() }
}

#[tokio::test]
async fn a_user_logs_in_with_the_password_and_with_no_other() {
    let bench = bench().await;
    assert!(bench.users.create("ann", &secret("right"), false).await.unwrap());
    assert_eq!(bench.login("ann", "right").await.unwrap(), somebody("ann"));
    for (user, password) in [("ann", "wrong"), ("ann", ""), ("Ann", "right"), ("bob", "right"), ("a/b", "x")] {
        let refusal = bench.login(user, password).await.unwrap_err();
        assert_eq!(refusal, Failure::fatal(Kind::Unauthenticated, format!("Access denied for user '{user}'")));
    }
}

#[tokio::test]
async fn a_user_exists_once_and_if_not_exists_changes_nothing() {
    let bench = bench().await;
    bench.users.create("ann", &secret("right"), false).await.unwrap();
    assert_eq!(bench.users.create("ann", &secret("x"), false).await.unwrap_err().kind, Kind::AlreadyExists);
    assert!(!bench.users.create("ann", &secret("x"), true).await.unwrap());
    bench.login("ann", "right").await.unwrap();
}

#[tokio::test]
async fn names_and_passwords_that_cannot_be_are_refused() {
    let bench = bench().await;
    for name in ["", "1a", "a b", "a/b", "a'b", "ü", "-a", &"a".repeat(65)] {
        let refusal = bench.users.create(name, &secret("x"), false).await.unwrap_err();
        assert_eq!(refusal.kind, Kind::InvalidArgument, "{name}");
    }
    for name in ["_", "a.b-c_D1", &"a".repeat(64)] {
        assert!(bench.users.create(name, &secret("x"), false).await.unwrap(), "{name}");
    }
    for password in ["", &"x".repeat(MAX_PASSWORD + 1)] {
        assert_eq!(bench.users.create("b", &secret(password), false).await.unwrap_err().kind, Kind::InvalidArgument);
    }
}

#[tokio::test]
async fn a_new_password_counts_at_once_and_the_old_one_no_more() {
    let bench = bench().await;
    bench.users.create("ann", &secret("old"), false).await.unwrap();
    bench.users.grant("ann", &on("d")).await.unwrap();
    bench.login("ann", "old").await.unwrap();
    bench.users.set_password("ann", &secret("new")).await.unwrap();
    assert!(bench.login("ann", "old").await.is_err());
    bench.login("ann", "new").await.unwrap();
    assert_eq!(bench.users.grants("ann").await.unwrap(), ["GRANT LOAD_PRIV ON `d`.* TO 'ann'"]);
    assert_eq!(bench.users.set_password("bob", &secret("x")).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn who_is_dropped_cannot_log_in_and_may_nothing_any_more() {
    let bench = bench().await;
    bench.users.create("ann", &secret("right"), false).await.unwrap();
    bench.users.grant("ann", &Privilege::Admin).await.unwrap();
    let ann = bench.login("ann", "right").await.unwrap();
    bench.users.authorize(&ann, &Privilege::Admin).await.unwrap();
    assert!(bench.users.drop_user("ann", false).await.unwrap());
    assert!(bench.login("ann", "right").await.is_err());
    assert_eq!(bench.users.authorize(&ann, &Privilege::Admin).await.unwrap_err(), denied(&Privilege::Admin));
    assert_eq!(bench.users.drop_user("ann", false).await.unwrap_err().kind, Kind::NotFound);
    assert!(!bench.users.drop_user("ann", true).await.unwrap());
}

#[tokio::test]
async fn privileges_are_what_was_granted_and_not_revoked() {
    let bench = bench().await;
    let (users, ann) = (&bench.users, somebody("ann"));
    users.create("ann", &secret("x"), false).await.unwrap();
    let may = async |privilege: Privilege| users.authorize(&ann, &privilege).await.is_ok();
    assert!(!may(Privilege::Admin).await && !may(on("d")).await);
    users.grant("ann", &on("d")).await.unwrap();
    users.grant("ann", &on("d")).await.unwrap();
    assert!(may(on("d")).await && !may(on("e")).await && !may(Privilege::Admin).await);
    users.grant("ann", &Privilege::Admin).await.unwrap();
    assert!(may(on("e")).await && may(Privilege::Admin).await);
    assert_eq!(
        users.grants("ann").await.unwrap(),
        ["GRANT ADMIN_PRIV ON *.* TO 'ann'", "GRANT LOAD_PRIV ON `d`.* TO 'ann'"]
    );
    users.revoke("ann", &Privilege::Admin).await.unwrap();
    users.revoke("ann", &on("d")).await.unwrap();
    assert!(!may(on("d")).await && !may(Privilege::Admin).await);
    assert_eq!(users.revoke("ann", &on("d")).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(users.grant("bob", &on("d")).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(users.grants("bob").await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn a_user_is_granted_a_bounded_number_of_databases() {
    let bench = bench().await;
    bench.users.create("ann", &secret("x"), false).await.unwrap();
    for n in 0..MAX_GRANTS {
        bench.users.grant("ann", &on(&format!("d{n}"))).await.unwrap();
    }
    assert_eq!(bench.users.grant("ann", &on("d")).await.unwrap_err().kind, Kind::ResourceExhausted);
    assert_eq!(bench.users.grants("ann").await.unwrap().len(), MAX_GRANTS);
}

#[tokio::test]
async fn root_is_made_once_with_a_password_that_only_its_owner_can_read() {
    let bench = bench().await;
    let founded = bench.users.found_root(&bench.file(), None).await.unwrap();
    assert_eq!(founded.password_file, Some(bench.file()));
    assert_eq!(std::fs::metadata(bench.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let root = bench.login("root", &text(&bench.file())).await.unwrap();
    bench.users.authorize(&root, &Privilege::Admin).await.unwrap();
    let password = text(&bench.file());
    let again = started(&bench.store, &bench.clock).await;
    assert_eq!(again.found_root(&bench.file(), None).await.unwrap(), founded);
    assert_eq!(text(&bench.file()), password);
    // Who has read it may remove it, and who has another password is not sent to it.
    bench.store.lead().await.unwrap();
    let later = started(&bench.store, &bench.clock).await;
    later.set_password(ROOT, &secret("mine")).await.unwrap();
    assert_eq!(later.found_root(&bench.file(), None).await.unwrap().password_file, None);
    std::fs::remove_file(bench.file()).unwrap();
    assert_eq!(later.found_root(&bench.file(), None).await.unwrap().password_file, None);
    assert!(!bench.file().exists());
}

#[tokio::test]
async fn a_crash_between_roots_file_and_record_locks_nobody_out() {
    let bench = bench().await;
    // Another leads: the file is written and the record is refused.
    bench.store.lead().await.unwrap();
    let stale = bench.users.found_root(&bench.file(), None).await.unwrap_err();
    assert_eq!(stale.kind, Kind::Stale);
    let password = text(&bench.file());
    let next = started(&bench.store, &bench.clock).await;
    next.found_root(&bench.file(), None).await.unwrap();
    assert_eq!(text(&bench.file()), password);
    next.authenticate("root", &Proof::Password(secret(&password))).await.unwrap();
}

#[tokio::test]
async fn a_given_password_is_roots_from_every_start_on() {
    let bench = bench().await;
    bench.users.found_root(&bench.file(), None).await.unwrap();
    let founded = bench.users.found_root(&bench.file(), Some(&secret("given"))).await.unwrap();
    assert_eq!(founded.password_file, None);
    assert!(!bench.file().exists());
    bench.login("root", "given").await.unwrap();
    bench.users.set_password(ROOT, &secret("other")).await.unwrap();
    bench.users.found_root(&bench.file(), Some(&secret("given"))).await.unwrap();
    bench.login("root", "given").await.unwrap();
    assert_eq!(bench.users.grants(ROOT).await.unwrap(), ["GRANT ADMIN_PRIV ON *.* TO 'root'"]);
}

#[tokio::test]
async fn root_stays_and_stays_an_administrator() {
    let bench = bench().await;
    bench.users.found_root(&bench.file(), Some(&secret("x"))).await.unwrap();
    assert_eq!(bench.users.drop_user(ROOT, true).await.unwrap_err().kind, Kind::FailedPrecondition);
    let refusal = bench.users.revoke(ROOT, &Privilege::Admin).await.unwrap_err();
    assert_eq!(refusal.kind, Kind::FailedPrecondition);
    bench.users.authorize(&somebody(ROOT), &Privilege::Admin).await.unwrap();
}

#[tokio::test]
async fn after_failures_in_a_row_even_the_right_password_must_wait_a_second() {
    let bench = bench().await;
    bench.users.create("ann", &secret("right"), false).await.unwrap();
    for user in ["ann", "nobody"] {
        for _ in 0..5 {
            assert_eq!(bench.login(user, "wrong").await.unwrap_err().kind, Kind::Unauthenticated);
        }
        assert_eq!(bench.login(user, "right").await.unwrap_err().kind, Kind::RateLimited);
    }
    bench.clock.advance(Duration::from_secs(1));
    bench.login("ann", "right").await.unwrap();
    // It is remembered: nobody who guesses stops those who work.
    for _ in 0..5 {
        let _ = bench.login("ann", "wrong").await;
    }
    bench.login("ann", "right").await.unwrap();
}

#[tokio::test]
async fn the_proof_of_mysql_counts_for_users_only() {
    use sha1::{Digest, Sha1};
    let bench = bench().await;
    bench.users.create("ann", &secret("right"), false).await.unwrap();
    let salt = [3; 20];
    let once = Sha1::digest(b"right");
    let mask = Sha1::new().chain_update(salt).chain_update(Sha1::digest(once)).finalize();
    let response: Vec<u8> = once.iter().zip(&mask).map(|(a, b)| a ^ b).collect();
    let proof = Proof::MysqlNative { salt, response };
    bench.users.authenticate("ann", &proof).await.unwrap();
    assert!(bench.users.authenticate("bob", &proof).await.is_err());
    let empty = Proof::MysqlNative { salt, response: Vec::new() };
    assert!(bench.users.authenticate("ann", &empty).await.is_err());
    assert!(bench.users.authenticate("bob", &empty).await.is_err());
}

#[tokio::test]
async fn agents_need_the_token() {
    let bench = bench().await;
    bench.users.agent(Some(&secret("token"))).await.unwrap();
    for token in [None, Some(secret("")), Some(secret("toke")), Some(secret("token1"))] {
        assert_eq!(bench.users.agent(token.as_ref()).await.unwrap_err().kind, Kind::Unauthenticated);
    }
}

#[tokio::test]
async fn nothing_shows_a_secret() {
    let bench = bench().await;
    bench.users.create("ann", &secret("hunter2"), false).await.unwrap();
    let (_, record) = bench.users.get("ann").await.unwrap().unwrap();
    let [salt, hash] = record.password.identity();
    let shown = format!("{:?} {:?} {:?}", bench.users, record.password, record.native);
    assert!(!shown.contains(salt) && !shown.contains(hash) && !shown.contains("token"), "{shown}");
    let stored = bench.store.get("user/ann").await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains("hunter2"));
}

#[tokio::test]
async fn a_damaged_record_is_named_and_not_shown() {
    let bench = bench().await;
    bench.users.create("ann", &secret("x"), false).await.unwrap();
    let epoch = Epoch(bench.users.epoch.load(Ordering::Relaxed));
    let put = vec![("user/ann".to_owned(), Bytes::from_static(b"{\"password\":\"hunter2\"}"))];
    bench.store.commit(epoch, Transaction { put, ..Transaction::default() }).await.unwrap();
    let failure = bench.login("ann", "x").await.unwrap_err();
    assert_eq!(failure, Failure::fatal(Kind::Corrupt, "the job store's record of user 'ann' is damaged"));
}

#[test]
fn a_file_of_a_password_with_white_space_around_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.password");
    durable::write_file(&path, b" word \n").unwrap();
    assert_eq!(crate::auth::secret_file::read(&path).unwrap(), Some(secret("word")));
}
