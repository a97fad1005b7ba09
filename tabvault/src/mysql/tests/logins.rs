use std::time::Duration;

use mysql_common::constants::CapabilityFlags;
use mysql_common::packets::AuthPlugin;
use tokio::time::Instant;

use super::client::{Client, Said, World};
use super::stub::PASSWORD;

const NATIVE: AuthPlugin<'static> = AuthPlugin::MysqlNativePassword;
const SHA2: AuthPlugin<'static> = AuthPlugin::CachingSha2Password;

fn denied(user: &str, host: &str, using: &str) -> Said {
    Said::Error {
        code: 1045,
        sqlstate: "28000".to_owned(),
        message: format!("Access denied for user '{user}'@'{host}' (using password: {using})"),
    }
}

/// What a request to switch says: the plugin and the salt.
fn switched(packet: &[u8]) -> (String, Vec<u8>) {
    assert_eq!(packet[0], 0xfe, "a request to switch: {packet:?}");
    let (name, salt) = packet[1..].split_at(packet[1..].iter().position(|byte| *byte == 0).unwrap());
    assert_eq!(salt.len(), 22, "a salt of 20 bytes between zeros");
    (String::from_utf8(name.to_vec()).unwrap(), salt[1..21].to_vec())
}

async fn encrypted(world: &World) -> Client {
    let mut client = world.connect();
    client.greeted().await;
    client.encrypt(&world.trusted).await
}

#[tokio::test]
async fn the_right_password_opens_the_door() {
    let world = World::new();
    world.alice().await.leave().await;
    let mut client = world.connect();
    assert_eq!(client.login("empty", "", None).await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_hear_the_same_words() {
    let world = World::new();
    let tries = [("alice", "wrong", "YES"), ("alice", "", "NO"), ("nobody", PASSWORD, "YES"), ("", "", "NO")];
    for (user, password, using) in tries {
        let mut client = world.connect();
        assert_eq!(client.login(user, password, None).await, denied(user, "127.0.0.1", using));
        client.left().await;
    }
}

#[tokio::test]
async fn no_two_connections_have_the_same_salt() {
    let world = World::new();
    let (mut one, mut other) = (world.connect(), world.connect());
    one.greeted().await;
    other.greeted().await;
    assert_eq!(one.salt.len(), 20);
    assert!(one.salt.iter().all(|byte| (1..128).contains(byte)), "a salt is text: {:?}", one.salt);
    assert_ne!(one.salt, other.salt);
}

#[tokio::test]
async fn a_client_of_another_plugin_is_asked_to_switch() {
    let world = World::new();
    for (plugin, answer) in
        [(SHA2, vec![7; 32]), (AuthPlugin::Ed25519, Vec::new()), (AuthPlugin::Sha256Password, vec![0])]
    {
        let mut client = world.connect();
        client.greeted().await;
        client.introduce("alice", plugin, &answer, None).await;
        let (name, salt) = switched(&client.receive().await.unwrap());
        assert_eq!(name, "mysql_native_password");
        assert_ne!(salt, client.salt, "every question has a salt of its own");
        client.salt = salt;
        client.send(&client.native(PASSWORD)).await;
        assert_eq!(client.said().await, Said::done());
        client.leave().await;
    }
}

#[tokio::test]
async fn over_tls_native_password_needs_no_other_round() {
    let world = World::with_tls().afar();
    let mut client = encrypted(&world).await;
    client.introduce("alice", NATIVE, &client.native(PASSWORD), Some("shop")).await;
    assert_eq!(client.said().await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn over_tls_caching_sha2_sends_the_password_itself() {
    let world = World::with_tls().afar();
    let (right, wrong) = (format!("{PASSWORD}\0"), "wrong\0".to_owned());
    for (password, said) in [(right, Said::done()), (wrong, denied("alice", "10.0.0.7", "YES"))] {
        let mut client = encrypted(&world).await;
        client.introduce("alice", SHA2, &[7; 32], None).await;
        assert_eq!(client.receive().await.unwrap(), [1, 4], "the password is asked for");
        client.send(password.as_bytes()).await;
        assert_eq!(client.said().await, said);
        client.leave().await;
    }
}

#[tokio::test]
async fn caching_sha2_that_did_not_get_a_salt_of_its_own_is_given_one() {
    let world = World::with_tls();
    let mut client = encrypted(&world).await;
    client.introduce("alice", SHA2, &[], None).await;
    assert_eq!(switched(&client.receive().await.unwrap()).0, "caching_sha2_password");
    client.send(&[7; 32]).await;
    assert_eq!(client.receive().await.unwrap(), [1, 4]);
    client.send(format!("{PASSWORD}\0").as_bytes()).await;
    assert_eq!(client.said().await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn an_empty_password_of_caching_sha2_is_not_asked_for_twice() {
    let world = World::with_tls();
    for (user, said) in [("empty", Said::done()), ("alice", denied("alice", "127.0.0.1", "NO"))] {
        let mut client = encrypted(&world).await;
        client.introduce(user, SHA2, &[0], None).await;
        switched(&client.receive().await.unwrap());
        client.send(&[0]).await;
        assert_eq!(client.said().await, said);
        client.leave().await;
    }
}

#[tokio::test]
async fn a_password_without_its_end_is_no_password() {
    let world = World::with_tls();
    let mut client = encrypted(&world).await;
    client.introduce("alice", SHA2, &[7; 32], None).await;
    client.receive().await.unwrap();
    client.send(PASSWORD.as_bytes()).await;
    assert_eq!(client.said().await.code(), 1043);
    client.left().await;
}

#[tokio::test]
async fn from_another_machine_nobody_logs_in_in_clear_unless_that_is_allowed() {
    let mut world = World::with_tls().afar();
    let mut client = world.connect();
    let said = client.login("alice", PASSWORD, None).await;
    assert_eq!(said.code(), 3159, "{said:?}");
    client.left().await;
    world.settings.insecure = true;
    world.alice().await.leave().await;
}

#[tokio::test]
async fn tls_is_offered_only_where_there_is_a_certificate() {
    for (world, offered) in [(World::new(), false), (World::with_tls(), true)] {
        let mut client = world.connect();
        let greeting = client.greeted().await;
        assert_eq!(greeting.capabilities().contains(CapabilityFlags::CLIENT_SSL), offered);
    }
    // A client that asks although it was not offered.
    let mut client = World::new().connect();
    client.greeted().await;
    client.send(&[&(CapabilityFlags::CLIENT_SSL.bits()).to_le_bytes()[..], &[0; 28]].concat()).await;
    assert_eq!(client.said().await.code(), 1043);
    client.left().await;
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_where_it_asked_for_it_is_left() {
    let world = World::with_tls();
    let mut client = world.connect();
    client.greeted().await;
    client.send(&[&(CapabilityFlags::CLIENT_SSL.bits()).to_le_bytes()[..], &[0; 28]].concat()).await;
    client.send(b"\x03SELECT 1").await;
    client.leave().await;
}

#[tokio::test]
async fn a_login_chooses_a_database() {
    let world = World::new();
    let mut client = world.connect();
    client.capabilities |= CapabilityFlags::CLIENT_CONNECT_WITH_DB;
    assert_eq!(client.login("alice", PASSWORD, Some("shop")).await, Said::done());
    let said = client.query("SHOW DATABASES").await;
    let Said::Rows { rows, .. } = &said[0] else { panic!("{said:?}") };
    assert!(String::from_utf8_lossy(&rows[0]).contains("alice 1 Some(\"shop\")"), "{rows:?}");
    client.leave().await;

    let mut client = world.connect();
    client.capabilities |= CapabilityFlags::CLIENT_CONNECT_WITH_DB;
    assert_eq!(client.login("alice", PASSWORD, Some("missing")).await.code(), 1049);
    client.left().await;
}

#[tokio::test]
async fn what_was_not_offered_is_not_read() {
    // PyMySQL sets the flag of attributes and sends none where the server did not offer to take them.
    let world = World::new();
    let mut client = world.connect();
    client.capabilities |= CapabilityFlags::CLIENT_CONNECT_ATTRS;
    client.greeted().await;
    let mut packet = client.capabilities.bits().to_le_bytes().to_vec();
    packet.extend([0; 28]);
    packet.extend(b"alice\0\x14");
    packet.extend(client.native(PASSWORD));
    packet.extend(b"mysql_native_password\0");
    client.send(&packet).await;
    assert_eq!(client.said().await, Said::done());
    client.leave().await;
}

#[tokio::test]
async fn a_client_of_another_age_hears_that_it_cannot_be_understood() {
    let world = World::new();
    for packet in [&b"\x05\x00\x00\x00\x01alice\0"[..], b"", b"GET / HTTP/1.1"] {
        let mut client = world.connect();
        client.greeted().await;
        client.send(packet).await;
        assert_eq!(client.said().await.code(), 1043);
        client.left().await;
    }
}

#[tokio::test]
async fn users_that_cannot_be_read_are_no_wrong_password() {
    let mut client = World::new().connect();
    let said = client.login("broken", PASSWORD, None).await;
    assert_eq!(said.code(), 1105, "{said:?}");
    client.left().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_introduce_itself_is_put_out() {
    let world = World::new();
    let begun = Instant::now();
    let mut client = world.connect();
    client.greeted().await;
    assert_eq!(client.said().await.code(), 1043);
    assert_eq!(begun.elapsed().as_secs(), Duration::from_secs(10).as_secs());
    client.left().await;
}
