//! What differs from run to run gets a name instead.

use super::outcome::Outcome;

/// Columns whose numbers the cluster gives.
const IDS: [&str; 6] = ["JobId", "PartitionId", "TabletId", "ReplicaId", "BackendId", "RepoId"];
/// Columns of what the machine has.
const SIZES: [&str; 2] = ["DataUsedCapacity", "AvailCapacity"];
/// Items of EXPLAIN that follow from where replicas are placed.
const PLACED: [&str; 2] = ["Packs", "Requests"];
/// Keys of Details with numbers that the cluster gives, or that follow from placement and from times.
const NUMBERS: [&str; 3] = ["id", "packs", "stored_bytes"];
/// Shapes of times and names that a clock or chance gives: `0` is a digit, `x` a hexadecimal one.
const SHAPES: [(&str, &str); 6] = [
    ("0000-00-00-00-00-00-000", "<timestamp>"),
    ("0000-00-00 00:00:00", "<time>"),
    ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "<uuid>"),
    ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "<digest>"),
    ("127.0.0.1:00000", "<address>"),
    ("backend 00000:", "backend <id>:"),
];

/// `outcome` with names for what differs; `known` are texts and their names.
pub(crate) fn outcome(outcome: Outcome, known: &[(String, &str)]) -> Outcome {
    let mask = |told: &str| text(told, known);
    match outcome {
        Outcome::Done { affected, notices } => {
            Outcome::Done { affected, notices: notices.iter().map(|notice| mask(notice)).collect() }
        }
        Outcome::Rows { columns, rows } => {
            let cell = |row: &[String], name: &str, cell: &str| match name {
                name if IDS.contains(&name) => "<id>".to_owned(),
                name if SIZES.contains(&name) => "<size>".to_owned(),
                "Port" => "<port>".to_owned(),
                "Details" => NUMBERS.iter().fold(mask(cell), |json, key| without_numbers(&json, key)),
                "Value" if row.first().is_some_and(|item| PLACED.contains(&item.as_str())) => "<number>".to_owned(),
                _ => mask(cell),
            };
            let masked =
                |row: &Vec<String>| columns.iter().zip(row).map(|(name, text)| cell(row, name, text)).collect();
            let rows = rows.iter().map(masked).collect();
            Outcome::Rows { columns, rows }
        }
        Outcome::Page(page) => Outcome::Page(page),
        Outcome::Refused(why) => Outcome::Refused(mask(&why)),
    }
}

/// `told` with names for what differs.
pub(crate) fn text(told: &str, known: &[(String, &str)]) -> String {
    let told = known.iter().fold(told.to_owned(), |told, (from, to)| told.replace(from, to));
    SHAPES.iter().fold(told, |told, (shape, name)| shaped(&told, shape, name))
}

fn shaped(told: &str, shape: &str, name: &str) -> String {
    let fits = |part: &[u8]| {
        part.iter().zip(shape.bytes()).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            _ => *byte == wanted,
        })
    };
    let (mut masked, mut rest) = (String::new(), told);
    while let Some(at) = rest.as_bytes().windows(shape.len()).position(fits) {
        masked.push_str(&rest[..at]);
        masked.push_str(name);
        rest = &rest[at + shape.len()..];
    }
    masked + rest
}

/// `json` with a name for the numbers behind `key`.
fn without_numbers(json: &str, key: &str) -> String {
    let key = format!("\"{key}\":");
    let mut parts = json.split(&key);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |masked, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        format!("{masked}{key}<number>{rest}")
    })
}
