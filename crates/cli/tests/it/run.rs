//! Running the program in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, io, thread};

use avouch_testkit::world::pem;
use serde_json::Value;

/// A folder in which the program runs, so that it says `leaf.pem` and not where that is.
pub(crate) struct Folder {
    path: PathBuf,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    /// An empty folder of this name, which must be the test's own.
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        match fs::remove_dir_all(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => panic!("{why}"),
            _ => fs::create_dir_all(&path).unwrap(),
        }
        Self { path }
    }

    /// A folder that is there.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path.join(name), content).unwrap();
        self
    }

    /// Writes certificates as PEM.
    pub(crate) fn certificates(&self, name: &str, ders: &[&[u8]]) -> &Self {
        let blocks: Vec<String> = ders.iter().map(|der| pem("CERTIFICATE", der)).collect();
        self.file(name, blocks.concat())
    }

    /// The program with these arguments and nothing of our environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_avouch"));
        command
            .args(arguments)
            .current_dir(&self.path)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// What a person and a program are told when they give the same arguments, together.
    pub(crate) fn both(&self, arguments: &[&str]) -> String {
        let human = self.run(arguments);
        let json = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(human.code, json.code);
        format!("{}\n{}", human.told(), json.told())
    }

    /// Runs with `input` on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        let writer = thread::spawn(move || io::Write::write_all(&mut stdin, &input));
        let ran = Ran::of(child.wait_with_output().unwrap());
        // A program that has said all it will may close its input early.
        let _ = writer.join().unwrap();
        ran
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Standard output as a JSON value a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Exit code and output with the ids of decisions left out, which differ at each run.
    pub(crate) fn told(&self) -> String {
        let mut told = format!("exit {}\n", self.code);
        for (name, text) in [("", &self.out), ("standard error:\n", &self.err)] {
            if !text.is_empty() {
                told.push_str(name);
                told.push_str(&without_decisions(text));
            }
        }
        told
    }
}

fn without_decisions(text: &str) -> String {
    let mut left = text.to_owned();
    let is_of_id = |character: char| character.is_ascii_hexdigit() || character == '-';
    for word in text.split(|character| !is_of_id(character)) {
        // Of version 7, as ours are (RFC 9562 5.7).
        if word.len() == 36 && word.get(14..15) == Some("7") {
            left = left.replace(word, "[decision]");
        }
    }
    left
}
