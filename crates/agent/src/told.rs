//! How a program that serves is told to stop.

use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The bit of SIGHUP in a mask of signals (`proc_pid_status(5)`): the first.
const HANGUP: u64 = 1;

/// The signals by which it is told to stop, from when on they are listened for: until then each ends the
/// process at once.
#[derive(Debug)]
pub struct Told {
    interrupt: Signal,
    terminate: Signal,
    /// A closed terminal; `None` where whoever started it has said that it is to outlive one.
    hangup: Option<Signal>,
}

impl Told {
    /// Listens from now on. To be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the system does not let signals be heard.
    pub fn listen() -> io::Result<Self> {
        let hangup = (!is_hangup_ignored()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.transpose()?,
        })
    }

    /// When the first of them comes.
    pub async fn awaited(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether `nohup(1)` or the like started it. Listening would undo that.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANGUP != 0)
}
