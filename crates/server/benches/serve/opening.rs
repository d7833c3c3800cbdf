//! The start of a server on a folder that is there, in a process of its own: what was left behind by
//! writing it is not counted.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::deployment;
use crate::measure::{memory, percentile};

/// What it took.
pub(crate) struct Opened {
    /// Milliseconds.
    pub(crate) median: f64,
    pub(crate) most: f64,
    /// The most of all turns, in MiB.
    pub(crate) memory: u64,
}

/// Opens it that often, each time until so many of its tenants are served: what a tenant owns is read
/// when it is asked for, so without that nothing would be counted but the names.
pub(crate) fn open_elsewhere(folder: &Path, turns: usize, used: usize) -> Opened {
    let (mut times, mut most) = (Vec::new(), 0);
    for _ in 0..turns {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        command.args(["--bench", "open"]).arg(folder);
        let output = command.arg(used.to_string()).output();
        let answer: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        times.push(Duration::from_secs_f64(answer["seconds"].as_f64().unwrap()));
        most = most.max(answer["memory"].as_u64().unwrap());
    }
    Opened {
        median: percentile(&mut times, 0.5),
        most: percentile(&mut times, 1.0),
        memory: most,
    }
}

/// The tenant of this number.
pub(crate) fn name(number: usize) -> String {
    match number {
        0 => deployment::TENANT.to_owned(),
        number => format!("tenant-{number}"),
    }
}

/// Opens it here, uses so many tenants, and says what it took.
pub(crate) fn run(folder: &Path, used: usize) {
    let started = Instant::now();
    let plane = deployment::open(folder);
    for number in 0..used {
        let tenant = plane.tenant_named(&name(number)).unwrap().unwrap();
        // As the first who verifies a token of it would.
        plane.jwks(&tenant).unwrap();
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{}", json!({ "seconds": seconds, "memory": memory() }));
    drop(plane);
}
