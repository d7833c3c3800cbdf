//! `verify --batch` with one thread and with two on the same file, and the memory that a long file
//! takes: `cargo bench -p avouch`, or with another number of lines, `cargo bench -p avouch -- 1000`.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures time, and looks at the memory of another process now and then"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::key::Key;
use avouch_testkit::question::QuestionForge;
use avouch_testkit::world::{Authority, pem};

/// Lines of the file that is decided on again and again.
const LINES: usize = 100_000;

/// Lines of the long file.
const MANY: usize = 1_000_000;

/// Leaves that differ; the file has them in turn.
const LEAVES: usize = 4_096;

/// How often each contestant has its turn.
const ROUNDS: usize = 5;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let asked = arguments.iter().find_map(|argument| argument.parse().ok());
    let directory = std::env::temp_dir().join(format!("avouch-batch-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let done = run(&directory, asked.unwrap_or(LINES), asked.unwrap_or(MANY));
    fs::remove_dir_all(&directory)?;
    done
}

fn run(directory: &Path, lines: usize, many: usize) -> std::io::Result<()> {
    let batch = Batch::new(directory)?;
    let few = batch.write("few.jsonl", lines)?;
    println!("verify --batch on {lines} lines, {ROUNDS} turns each, by the wall");
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(batch.decide(&few, 1)?.seconds);
        two.push(batch.decide(&few, 2)?.seconds);
    }
    for (name, seconds) in [("one thread", &mut one), ("two threads", &mut two)] {
        seconds.sort_by(f64::total_cmp);
        println!(
            "  {name:<12} {:>8.2} s  ({:.2} to {:.2})  {:>9.0} lines/s",
            seconds[ROUNDS / 2],
            seconds[0],
            seconds[ROUNDS - 1],
            lines as f64 / seconds[ROUNDS / 2],
        );
    }
    println!(
        "  ratio {:.2}, wanted 1.8",
        one[ROUNDS / 2] / two[ROUNDS / 2]
    );
    println!("peak memory with two threads");
    for (name, count) in [("few.jsonl", lines / 10), ("many.jsonl", many)] {
        let path = batch.write(name, count)?;
        let ran = batch.decide(&path, 2)?;
        println!(
            "  {count:>9} lines  {:>6} KiB resident  {:>8.1} s",
            ran.peak_kib, ran.seconds
        );
    }
    Ok(())
}

/// What is trusted, and the questions in turn.
struct Batch {
    directory: PathBuf,
    trust: PathBuf,
    questions: Vec<String>,
}

/// How long it took, and the most memory it held.
struct Ran {
    seconds: f64,
    peak_kib: u64,
}

impl Batch {
    fn new(directory: &Path) -> std::io::Result<Self> {
        let root = Authority::root_with("Example Root", Key::p256("root"), |forge| forge);
        let issuing = root.intermediate_with("Example CA", Key::p256("issuing"), |forge| forge);
        let trust = directory.join("root.pem");
        fs::write(&trust, pem("CERTIFICATE", &root.certificate))?;
        let key = Key::p256("leaf");
        let questions = (0..LEAVES).map(|number| {
            let host = format!("host-{number}.example.com");
            let leaf = issuing.issue(CertificateForge::server_with(&host, &key));
            let mut question = QuestionForge::x509(&[&leaf, &issuing.certificate])
                .expect("dns", &host)
                .to_json();
            // All are asked under the one trust that is given for the whole batch.
            if let Some(members) = question.as_object_mut() {
                members.remove("trust");
            }
            question.to_string()
        });
        Ok(Self {
            directory: directory.to_path_buf(),
            trust,
            questions: questions.collect(),
        })
    }

    fn write(&self, name: &str, lines: usize) -> std::io::Result<PathBuf> {
        let path = self.directory.join(name);
        let mut file = BufWriter::new(File::create(&path)?);
        for question in self.questions.iter().cycle().take(lines) {
            writeln!(file, "{question}")?;
        }
        file.flush()?;
        Ok(path)
    }

    fn decide(&self, questions: &Path, threads: usize) -> std::io::Result<Ran> {
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_avouch"))
            .args(["verify", "--jobs", &threads.to_string(), "--trust"])
            .arg(&self.trust)
            .arg("--batch")
            .arg(questions)
            .stdout(Stdio::null())
            .spawn()?;
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut peak_kib = 0;
        loop {
            peak_kib = peak_kib.max(peak(&status));
            match child.try_wait()? {
                Some(exit) if exit.success() => break,
                Some(exit) => return Err(std::io::Error::other(format!("it ended with {exit}"))),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        Ok(Ran {
            seconds: start.elapsed().as_secs_f64(),
            peak_kib,
        })
    }
}

/// The most memory that a process has held so far, or 0 where the system does not tell.
fn peak(status: &Path) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = line.and_then(|line| line.split_whitespace().next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
