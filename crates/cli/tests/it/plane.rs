//! A plane that runs as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::run::{Folder, Ran};

/// `avouch up`, with addresses that the system chose.
pub(crate) struct Plane {
    pub(crate) folder: Folder,
    child: Child,
    /// Paths of sockets are short, and those of test folders are not.
    sockets: TempDir,
    pub(crate) greeting: String,
    /// A variable of the environment, where one is set.
    variable: Option<(&'static str, PathBuf)>,
}

impl Plane {
    /// Starts one in a folder of this name, which must be the test's own.
    pub(crate) fn start(name: &str, more: &[&str]) -> Self {
        Self::start_in(Folder::new(name), more, None)
    }

    /// As [`Plane::start`], with a variable of the environment.
    pub(crate) fn start_with(name: &str, more: &[&str], variable: (&'static str, PathBuf)) -> Self {
        Self::start_in(Folder::new(name), more, Some(variable))
    }

    /// As [`Plane::start`], as one that no closed terminal ends.
    pub(crate) fn start_to_outlive_the_terminal(name: &str) -> Self {
        let sockets = tempfile::tempdir().unwrap();
        let socket = sockets.path().join("agent.sock");
        let folder = Folder::new(name);
        let itself = folder.command(&arguments(&socket));
        let mut command = Command::new("nohup");
        command
            .arg(itself.get_program())
            .args(itself.get_args())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Self::spawn(folder, command, sockets, None)
    }

    fn start_in(folder: Folder, more: &[&str], variable: Option<(&'static str, PathBuf)>) -> Self {
        let sockets = tempfile::tempdir().unwrap();
        let socket = sockets.path().join("agent.sock");
        let command = [&arguments(&socket), more].concat();
        Self::of(folder, &command, sockets, variable)
    }

    /// Another server on the database of this one, without an agent, in a folder of this name.
    pub(crate) fn beside(&self, name: &str, more: &[&str]) -> Self {
        let folder = Folder::new(name);
        let key = "avouch-data/root.key";
        std::fs::create_dir(folder.path().join("avouch-data")).unwrap();
        std::fs::copy(self.folder.path().join(key), folder.path().join(key)).unwrap();
        let any = "127.0.0.1:0";
        let command = ["server", "run", "--listen", any, "--grpc-listen", any];
        let command = [&command, more].concat();
        Self::of(folder, &command, tempfile::tempdir().unwrap(), None)
    }

    /// Another `avouch up` on the database of this one, in a folder of this name, whose data is made
    /// ready first.
    pub(crate) fn up_beside(&self, name: &str, more: &[&str], ready: impl FnOnce(&Path)) -> Self {
        let folder = Folder::new(name);
        let data = folder.path().join("avouch-data");
        std::fs::create_dir(&data).unwrap();
        let key = "avouch-data/root.key";
        std::fs::copy(self.folder.path().join(key), folder.path().join(key)).unwrap();
        ready(&data);
        Self::start_in(folder, more, None)
    }

    fn of(
        folder: Folder,
        command: &[&str],
        sockets: TempDir,
        variable: Option<(&'static str, PathBuf)>,
    ) -> Self {
        let mut command = folder.command(command);
        command.envs(variable.clone());
        Self::spawn(folder, command, sockets, variable)
    }

    fn spawn(
        folder: Folder,
        mut command: Command,
        sockets: TempDir,
        variable: Option<(&'static str, PathBuf)>,
    ) -> Self {
        let mut child = command
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut greeting = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            greeting += &line;
            greeting.push('\n');
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(greeting.contains("Ctrl-C"), "it did not start: {log}");
        Self {
            folder,
            child,
            sockets,
            greeting,
            variable,
        }
    }

    /// Ends it with a signal, and starts it again on what it left.
    pub(crate) fn again(mut self, signal: Signal, more: &[&str]) -> Self {
        self.signal(signal);
        let folder = Folder::at(self.folder.path());
        let variable = self.variable.clone();
        drop(self);
        Self::start_in(folder, more, variable)
    }

    /// Sends a signal and waits for the end; gives its exit code, if it had one.
    pub(crate) fn signal(&mut self, signal: Signal) -> Option<i32> {
        self.send(signal);
        self.child.wait().unwrap().code()
    }

    /// Sends a signal.
    pub(crate) fn send(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // It stays a process until it is waited for, so its number is nobody else's.
        kill(process, signal).unwrap();
    }

    /// A command that talks to it.
    pub(crate) fn run(&self, command: &[&str]) -> Ran {
        let socket = self.socket();
        let socket = ["--socket", socket.to_str().unwrap()];
        match command.first() {
            Some(&"fetch") => self.folder.run(&[command, &socket].concat()),
            Some(&"verify" | &"up") => self.folder.run(command),
            // What manages it finds the operator's credential in the folder.
            _ => self
                .folder
                .run(&[command, &["--server", &self.http()]].concat()),
        }
    }

    /// Where it serves HTTP.
    pub(crate) fn http(&self) -> String {
        let mut lines = self.greeting.lines();
        let address = lines.find_map(|line| line.trim().strip_prefix("HTTP"));
        address.unwrap().trim().to_owned()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.sockets.path().join("agent.sock")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn arguments(socket: &Path) -> Vec<&str> {
    let socket = socket.to_str().unwrap();
    let any = "127.0.0.1:0";
    vec![
        "up",
        "--listen",
        any,
        "--grpc-listen",
        any,
        "--socket",
        socket,
        "--log",
        "info",
    ]
}
