//! Compiles every file of `proto/tabvault/v1` with protox, so that no protoc is needed.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Messages with properties of a storage, or with statements that may set passwords.
const WITH_SECRETS: [&str; 4] = [
    ".tabvault.v1.StorageAccess",
    ".tabvault.v1.CreateRepositoryRequest",
    ".tabvault.v1.AlterRepositoryRequest",
    ".tabvault.v1.ExecuteRequest",
];

#[expect(clippy::disallowed_methods, reason = "what cargo builds again need not be durable")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("proto");
    let mut files: Vec<PathBuf> =
        fs::read_dir(root.join("tabvault/v1"))?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|ext| ext == "proto"));
    files.sort();
    println!("cargo:rerun-if-changed=proto");

    let descriptors = protox::compile(&files, [root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Reflection serves the descriptors themselves.
    fs::write(out.join("tabvault.v1.bin"), protox::prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .bytes(".")
        // Equal values have equal encodings.
        .btree_map(".")
        // Their `Debug` is written by hand in `src/redacted.rs`: what they carry may be secret.
        .skip_debug(WITH_SECRETS)
        .compile_fds(descriptors)?;
    Ok(())
}
