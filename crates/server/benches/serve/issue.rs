//! SVIDs over mutual TLS, each with its intent on disk before it is signed. The client is another
//! process, so the processor time is the server's alone.

use tokio::runtime::Runtime;

use crate::client::Client;
use crate::deployment;
use crate::measure::{ROUNDS, is_wanted};
use crate::signatures::{Signatures, row};

/// What is asked for.
struct Row {
    name: &'static str,
    order: &'static str,
    /// How many in one call.
    batch: usize,
    /// How many calls at once.
    at_once: usize,
    /// How many in all.
    count: usize,
    /// How many are wanted per second of the processor.
    aim: Option<f64>,
}

const ROWS: [Row; 5] = [
    Row {
        name: "X.509-SVIDs, batches of 50",
        order: "x509",
        batch: 50,
        at_once: 8,
        count: 40_000,
        aim: Some(10_000.0),
    },
    Row {
        name: "X.509-SVIDs, one by one",
        order: "x509",
        batch: 1,
        at_once: 64,
        count: 12_800,
        aim: Some(4_000.0),
    },
    Row {
        name: "JWT-SVIDs, batches of 50",
        order: "jwt",
        batch: 50,
        at_once: 8,
        count: 40_000,
        aim: Some(12_000.0),
    },
    Row {
        name: "JWT-SVIDs, batches of 250",
        order: "jwt",
        batch: 250,
        at_once: 8,
        count: 40_000,
        aim: Some(12_000.0),
    },
    Row {
        name: "JWT-SVIDs, one by one",
        order: "jwt",
        batch: 1,
        at_once: 64,
        count: 25_600,
        aim: None,
    },
];

/// Each is signed, and looked at before it is released.
const SIGNATURES: Signatures = Signatures {
    made: 1,
    checked: 1,
};

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
    for asked in ROWS.into_iter().filter(|row| is_wanted(row.name)) {
        let Row {
            batch,
            at_once,
            count,
            ..
        } = asked;
        let order = format!("{} {batch} {count} {at_once}", asked.order);
        client.order(&order);
        let name = format!("{} ({at_once} at once)", asked.name);
        row(&name, count, SIGNATURES, asked.aim, || {
            drop(client.order(&order))
        });
    }
}
