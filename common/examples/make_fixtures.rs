//! Freezes one object of every kind, and damaged ones, as fixtures of the present format version:
//! `cargo run -p tabvault-common --example make_fixtures -- common/tests/fixtures/v1`.
//!
//! A fixture that is there is left alone: fixtures are added, never edited.

use std::error::Error;
use std::path::Path;

use tabvault_common::durable;

#[path = "../tests/repo/samples.rs"]
mod samples;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("expected the directory of fixtures")?;
    let dir = Path::new(&dir);
    let info = samples::snapshot()?.encode()?;
    let manifest = samples::manifest()?.bytes;
    let meta = samples::meta()?.bytes;
    let pack = samples::pack()?.bytes;
    for (name, bytes) in [
        ("repo_info", samples::repo_info().encode()?),
        ("intent", samples::intent()?.encode()?),
        ("info", info.clone()),
        ("tombstone", samples::tombstone().encode()?),
        ("meta", meta.clone()),
        ("manifest", manifest.clone()),
        ("pack", pack.clone()),
        ("object.zst", samples::large_object()?.1.into()),
        ("damaged/info_digit_changed", replaced(&info, "\"id\": 42", "\"id\": 43")?.into()),
        ("damaged/info_reformatted", serde_json::to_vec(&serde_json::from_slice::<serde_json::Value>(&info)?)?.into()),
        ("damaged/info_cut_off", info.slice(..info.len() / 2)),
        ("damaged/info_of_a_newer_version", newer()?),
        ("damaged/meta_without_end", lines(&meta, |lines| lines.truncate(4))?.into()),
        ("damaged/meta_cut_off", meta.slice(..meta.len() - 9)),
        ("damaged/manifest_leaving_its_tablet", lines(&manifest, |lines| leave_the_tablet(lines))?.into()),
        ("damaged/manifest_leaving_the_repository", lines(&manifest, |lines| leave_the_repository(lines))?.into()),
        ("damaged/manifest_missing_a_file", lines(&manifest, |lines| drop(lines.remove(4)))?.into()),
        ("damaged/manifest_cut_off", manifest.slice(..manifest.len() - 9)),
        ("damaged/pack_entry_changed", changed(&pack, 20).into()),
        ("damaged/pack_footer_changed", changed(&pack, pack.len() - 20).into()),
        ("damaged/pack_cut_off", pack.slice(..pack.len() - 1)),
    ] {
        let path = dir.join(name);
        durable::create_dir_all(path.parent().unwrap_or(dir))?;
        durable::create_file(&path, &bytes)?;
    }
    Ok(())
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(std::str::from_utf8(bytes)?.replace(from, to).into_bytes())
}

fn newer() -> Result<bytes::Bytes, Box<dyn Error>> {
    let mut value = serde_json::to_value(samples::snapshot()?)?;
    value["format_version"] = 2.into();
    Ok(tabvault_common::repo::sealed::seal("info", &value)?)
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    copy[at] ^= 1;
    copy
}

/// JSON Lines with other lines: what only somebody hostile, or a bug, can write.
fn lines(frame: &[u8], edit: impl FnOnce(&mut Vec<String>)) -> Result<Vec<u8>, Box<dyn Error>> {
    let text = String::from_utf8(zstd::decode_all(frame)?)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    edit(&mut lines);
    Ok(zstd::encode_all((lines.join("\n") + "\n").as_bytes(), 3)?)
}

fn leave_the_tablet(lines: &mut [String]) {
    lines[3] = lines[3].replace("data/0.dat", "../../../etc/cron.d/x");
}

fn leave_the_repository(lines: &mut [String]) {
    lines[3] = lines[3].replace("__data/", "../other/__data/");
}
