//! No bytes make the server panic or hang, at whatever stage they come.

use std::future::Future;

use mysql_common::constants::CapabilityFlags;
use mysql_common::packets::AuthPlugin;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Client, USUAL, World};
use super::stub::PASSWORD;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test);
}

/// Sends `bytes`, as they are, says no more, reads all that comes, and sees that the server ends.
async fn throw(mut client: Client, bytes: Vec<u8>) {
    let (mut read, mut write) = tokio::io::split(&mut client.stream);
    let send = async {
        // An error means that the server has left already.
        let _ = write.write_all(&bytes).await;
        let _ = write.shutdown().await;
    };
    let mut said = Vec::new();
    let receive = read.read_to_end(&mut said);
    let _ = tokio::join!(send, receive);
    client.leave().await;
}

fn framed(packets: &[Vec<u8>], mut number: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
        bytes.extend([length[0], length[1], length[2], number]);
        bytes.extend(packet);
        number = number.wrapping_add(1);
    }
    bytes
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// A command that exists, or any, with a body that may begin well.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![2_u8, 3, 4, 14, 17, 22, 23, 24, 25, 26, 27, 28, 31]);
    let begin = prop::sample::select(vec![
        &b""[..],
        b"SHOW TABLES FROM ",
        b"\x01\0\0\0",
        b"\x01\0\0\0\0\x01\0\0\0",
        b"alice\0\x14",
    ]);
    (prop_oneof![known, any::<u8>()], begin, bytes(60))
        .prop_filter("it goes on", |(command, ..)| *command != 1)
        .prop_map(|(command, begin, rest)| [&[command][..], begin, &rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn in_the_place_of_a_login(bytes in bytes(200)) {
        run(async {
            let mut client = World::with_tls().connect();
            client.greeted().await;
            throw(client, bytes).await;
        });
    }

    #[test]
    fn within_a_login(flags: u32, rest in bytes(120)) {
        run(async {
            let mut client = World::new().connect();
            client.greeted().await;
            let capabilities = (flags | CapabilityFlags::CLIENT_PROTOCOL_41.bits()).to_le_bytes();
            let login = [&capabilities[..], &[0; 28], b"alice\0", &rest].concat();
            throw(client, framed(&[login], 1)).await;
        });
    }

    #[test]
    fn in_the_place_of_tls(bytes in bytes(200)) {
        run(async {
            let mut client = World::with_tls().connect();
            client.greeted().await;
            let capabilities = (USUAL | CapabilityFlags::CLIENT_SSL).bits().to_le_bytes();
            client.send(&[&capabilities[..], &[0; 28]].concat()).await;
            throw(client, bytes).await;
        });
    }

    #[test]
    fn in_the_place_of_a_proof(answer in bytes(64), sha2: bool) {
        run(async {
            let mut client = World::new().connect();
            client.greeted().await;
            let plugin = if sha2 { AuthPlugin::CachingSha2Password } else { AuthPlugin::Ed25519 };
            client.introduce("alice", plugin, &answer, None).await;
            client.receive().await.unwrap();
            throw(client, framed(&[answer], 3)).await;
        });
    }

    #[test]
    fn in_the_place_of_commands(bytes in bytes(300)) {
        run(async { throw(World::new().alice().await, bytes).await });
    }

    #[test]
    fn within_commands(commands in prop::collection::vec(command(), 1..6)) {
        run(async {
            let mut client = World::new().connect();
            client.capabilities |= CapabilityFlags::CLIENT_MULTI_STATEMENTS;
            client.login("alice", PASSWORD, None).await;
            client.command(22, b"SHOW BACKUP FROM shop WHERE SnapshotName = ?").await;
            let bytes = commands.iter().flat_map(|command| framed(std::slice::from_ref(command), 0)).collect();
            throw(client, bytes).await;
        });
    }
}
