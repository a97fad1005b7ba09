//! With certificates, only those who are vouched for are let in.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tabvault::client::Client;
use tabvault::config::{ClientConfig, StandaloneConfig, TlsConfig};
use tabvault::server::standalone::Standalone;
use tabvault_common::durable;
use tabvault_common::failure::Kind;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for this machine, signed by `ca`, in files in `dir`.
fn identity(ca: &CertifiedIssuer<'static, KeyPair>, dir: &Path, name: &str) -> TlsConfig {
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, ca).unwrap();
    let file = |kind: &str, pem: String| {
        let path = dir.join(format!("{name}.{kind}.pem"));
        durable::write_file(&path, pem.as_bytes()).unwrap();
        path
    };
    TlsConfig {
        cert: Some(file("cert", certificate.pem())),
        key: Some(file("key", key.serialize_pem())),
        ca: Some(file("ca", ca.pem())),
        ..TlsConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_and_clients_are_let_in_by_certificate_only() {
    tabvault::tls::install_provider();
    let home = tempfile::tempdir().unwrap();
    let ours = authority();
    let server = identity(&ours, home.path(), "server");
    let mut config = StandaloneConfig {
        data: home.path().join("data"),
        backends: Some(1),
        grpc: "127.0.0.1:0".parse().unwrap(),
        http: "127.0.0.1:0".parse().unwrap(),
        mysql: "127.0.0.1:0".parse().unwrap(),
        tls: server.clone(),
        ..StandaloneConfig::default()
    };
    config.validate().unwrap();
    // Ready means that the agent was let in.
    let cluster = Standalone::start(&config).await.unwrap();
    let fe = vec![format!("https://{}", cluster.grpc())];
    let password_file = Some(config.fe().root_password_file());
    let client = |tls: TlsConfig| ClientConfig {
        fe: fe.clone(),
        tls,
        password_file: password_file.clone(),
        ..ClientConfig::default()
    };

    let known = client(identity(&ours, home.path(), "client"));
    let backends = Client::connect(&known).await.unwrap().list_backends().await.unwrap();
    assert!(backends[0].alive);

    // In TLS 1.3 a client learns only with its first request that it was turned away.
    for stranger in [
        client(TlsConfig { cert: None, key: None, ..known.tls.clone() }),
        client(TlsConfig { ca: server.ca.clone(), ..identity(&authority(), home.path(), "stranger") }),
    ] {
        let refusal = match Client::connect(&stranger).await {
            Ok(client) => client.list_backends().await.unwrap_err(),
            Err(failure) => failure,
        };
        assert_eq!(refusal.kind, Kind::Unreachable, "{refusal}");
    }

    let mistrust = client(identity(&authority(), home.path(), "mistrust"));
    let refusal = Client::connect(&mistrust).await.unwrap_err();
    assert!(refusal.message.contains("invalid peer certificate"), "{refusal}");

    let clear = ClientConfig { fe: vec![format!("http://{}", cluster.grpc())], ..ClientConfig::default() };
    let refusal = match Client::connect(&clear).await {
        Ok(client) => client.list_backends().await.unwrap_err(),
        Err(failure) => failure,
    };
    assert_eq!(refusal.kind, Kind::Unreachable, "{refusal}");
    cluster.shutdown().await;

    // Certificates open the door to other machines.
    config.grpc = "0.0.0.0:0".parse().unwrap();
    config.validate().unwrap();
}
