//! `openssl verify`, which is a program: what one certificate more costs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use avouch_testkit::world::pem;

use crate::worlds::{HOST, World};

/// How many leaves are given to one run.
const LEAVES: usize = 2_000;

/// How often each run is done; the quickest counts.
const RUNS: usize = 9;

pub(crate) const TITLE: &str = "`openssl verify`, the same leaf and intermediate";

/// Measures and prints, or says why not.
pub(crate) fn beside() {
    println!("\n{TITLE} (quickest of {RUNS} runs)");
    match measure() {
        Ok(microseconds) => println!(
            "  {:<52} {microseconds:>9.3} us/op, by the wall, beyond the start of the program;\n  \
             it reads each leaf from its own file",
            version()
        ),
        Err(why) => println!("  cannot be run here: {why}"),
    }
}

fn measure() -> Result<f64, std::io::Error> {
    let directory = std::env::temp_dir().join(format!("avouch-bench-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let measured = run_both(&directory);
    fs::remove_dir_all(&directory)?;
    measured
}

fn run_both(directory: &Path) -> Result<f64, std::io::Error> {
    let world = World::new();
    let write = |name: &str, der: &[u8]| fs::write(directory.join(name), pem("CERTIFICATE", der));
    write("root.pem", &world.root.certificate)?;
    write("issuing.pem", &world.issuing.certificate)?;
    let names: Vec<String> = (0..LEAVES).map(|number| format!("{number}.pem")).collect();
    for (name, leaf) in names.iter().zip(world.leaves.iter().cycle()) {
        write(name, leaf)?;
    }
    let few = quickest(directory, &names[..1])?;
    let many = quickest(directory, &names)?;
    Ok((many - few) * 1e6 / (LEAVES - 1) as f64)
}

fn quickest(directory: &Path, leaves: &[String]) -> Result<f64, std::io::Error> {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let mut command = Command::new("openssl");
        command
            .current_dir(directory)
            .args(["verify", "-CAfile", "root.pem", "-untrusted", "issuing.pem"])
            .args(["-purpose", "sslserver", "-verify_hostname", HOST])
            .args(["-attime", &crate::worlds::now().unix().to_string()])
            .args(leaves)
            .stdout(Stdio::null());
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
        let start = Instant::now();
        if !command.status()?.success() {
            return Err(std::io::Error::other("it refuses a leaf"));
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn version() -> String {
    let output = Command::new("openssl").arg("version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}
