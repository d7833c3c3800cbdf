//! SVIDs over mutual TLS, each with its intent on disk before it is signed. The client is another
//! process, so the processor time is the server's alone.

use avouch_issuer::signer::{Signer, SigningKind, SoftwareKey};
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::deployment;
use crate::measure::{ROUNDS, is_wanted, least_microseconds, report, round};

/// What is asked for: the order, how many in one call, how many calls at once, how many in all.
const ROWS: [(&str, &str, usize, usize, usize, &str); 5] = [
    (
        "X.509-SVIDs, batches of 50",
        "x509",
        50,
        8,
        40_000,
        "wanted 10,000",
    ),
    (
        "X.509-SVIDs, one by one",
        "x509",
        1,
        64,
        12_800,
        "wanted 4,000",
    ),
    (
        "JWT-SVIDs, batches of 50",
        "jwt",
        50,
        8,
        40_000,
        "wanted 12,000",
    ),
    (
        "JWT-SVIDs, batches of 250",
        "jwt",
        250,
        8,
        40_000,
        "wanted 12,000",
    ),
    ("JWT-SVIDs, one by one", "jwt", 1, 64, 25_600, ""),
];

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    deployment::write_entries(&plane, 0, 1_000, "node-1");
    let runtime = Runtime::new().unwrap();
    let (address, _stop) = runtime.block_on(deployment::serve(&plane));
    let identity = deployment::enrol(&plane, "node-1");
    let mut client = Client::start(&address, &identity);
    println!(
        "SVIDs over mutual TLS with intents in SQLite, {ROUNDS} rounds: median (least to most); processor time is that of the server process, in user and in kernel mode"
    );
    println!(
        "  beside it: SPIRE 1.16 signs some 2,400 X.509-SVIDs per processor second (measured before, not here)"
    );
    for (name, order, batch, at_once, count, limit) in
        ROWS.into_iter().filter(|row| is_wanted(row.0))
    {
        let order = format!("{order} {batch} {count} {at_once}");
        client.order(&order);
        raw();
        let rounds: Vec<_> = (0..ROUNDS)
            .map(|_| round(|| drop(client.order(&order))))
            .collect();
        let name = format!("{name} ({at_once} at once)");
        report(&name, count, &rounds, limit);
    }
}

/// What the two things take that no one can do without.
fn raw() {
    let key = SoftwareKey::generate(SigningKind::P256).unwrap();
    let message = [0x30; 700];
    let signature = key.sign(&message).unwrap();
    let signs = least_microseconds(|| {
        key.sign(&message).unwrap();
    });
    let checks = least_microseconds(|| key.check(&message, &signature).unwrap());
    println!("  now one P-256 signature takes {signs:.1} us here, and checking it {checks:.1} us");
}
