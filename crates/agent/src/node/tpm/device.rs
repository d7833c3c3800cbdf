//! The way to a TPM: a device of the kernel, or the socket of a TPM in software.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tpm2_protocol::TpmWriter;
use tpm2_protocol::constant::TPM_MAX_COMMAND_SIZE;
use tpm2_protocol::data::{TpmRc, TpmRcBase, TpmSt, TpmsAuthCommand};
use tpm2_protocol::frame::{TpmFrame, TpmResponse, TpmUnmarshalBody, tpm_marshal_command};

/// Where a response says how long it is, and where its header ends (Part 1, 18.2).
const SIZE: std::ops::Range<usize> = 2..6;
const HEADER: usize = 10;

/// How long a TPM may take: one of the slow kind needs half a minute for a key of RSA.
const LONGEST_COMMAND: Duration = Duration::from_secs(90);

/// How often, and after which time, a busy TPM is asked again.
const MOST_TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Why a TPM does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TpmFault {
    /// There is no way to it.
    #[error("{}: {source}", path.display())]
    Unreachable {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It refuses a command.
    #[error("the TPM refuses {command}: {code}")]
    Refused {
        /// Which one.
        command: String,
        /// Its answer.
        code: String,
    },
    /// It answers what cannot be read.
    #[error("the TPM answers what cannot be read")]
    Unreadable,
}

impl From<tpm2_protocol::TpmError> for TpmFault {
    fn from(_: tpm2_protocol::TpmError) -> Self {
        Self::Unreadable
    }
}

/// A connection to a TPM.
pub(super) struct Device {
    path: PathBuf,
    way: Way,
}

enum Way {
    File(File),
    Socket(UnixStream),
}

impl Device {
    pub(super) fn open(path: &Path) -> Result<Self, TpmFault> {
        let way = Way::open(path).map_err(|source| unreachable(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            way,
        })
    }

    /// Has the TPM do something.
    pub(super) fn run<C: TpmFrame, R: TpmUnmarshalBody>(
        &mut self,
        command: &C,
        sessions: &[TpmsAuthCommand],
    ) -> Result<R, TpmFault> {
        let tag = if sessions.is_empty() {
            TpmSt::NoSessions
        } else {
            TpmSt::Sessions
        };
        let mut buffer = [0; TPM_MAX_COMMAND_SIZE];
        let mut writer = TpmWriter::new(&mut buffer);
        tpm_marshal_command(command, tag, sessions, &mut writer)?;
        let bytes = writer.as_bytes().to_vec();
        for _ in 0..MOST_TRIES {
            let answer = self.transmit(&bytes);
            let answer = answer.map_err(|source| unreachable(&self.path, source))?;
            let response = TpmResponse::cast(&answer)?;
            match response.rc()? {
                TpmRc::Fmt0(TpmRcBase::Success) => return Ok(response.unmarshal()?),
                code if is_busy(code) => pause(),
                code => {
                    return Err(TpmFault::Refused {
                        command: command.cc().to_string(),
                        code: code.to_string(),
                    });
                }
            }
        }
        Err(TpmFault::Refused {
            command: command.cc().to_string(),
            code: "it is busy".to_owned(),
        })
    }

    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.way.write_all(command)?;
        let mut answer = Vec::with_capacity(TPM_MAX_COMMAND_SIZE);
        let mut part = [0; TPM_MAX_COMMAND_SIZE];
        loop {
            let count = self.way.read(&mut part)?;
            answer.extend_from_slice(part.get(..count).unwrap_or_default());
            let size = answer
                .get(SIZE)
                .and_then(|size| <[u8; 4]>::try_from(size).ok());
            let size = size.map_or(HEADER, |size| {
                usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX)
            });
            if count == 0 || size > TPM_MAX_COMMAND_SIZE || answer.len() > size {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if answer.len() >= HEADER && answer.len() == size {
                return Ok(answer);
            }
        }
    }
}

impl Way {
    fn open(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.file_type().is_socket() {
            let socket = UnixStream::connect(path)?;
            socket.set_read_timeout(Some(LONGEST_COMMAND))?;
            return Ok(Self::Socket(socket));
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self::File(file))
    }
}

impl Read for Way {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Socket(socket) => socket.read(buffer),
        }
    }
}

impl Write for Way {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Socket(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a busy TPM says no more than to ask again"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// Whether a TPM has something else to do first (Part 2, 6.6.3).
fn is_busy(code: TpmRc) -> bool {
    matches!(
        code,
        TpmRc::Fmt0(TpmRcBase::Retry | TpmRcBase::Yielded | TpmRcBase::Testing)
    )
}

fn unreachable(path: &Path, source: io::Error) -> TpmFault {
    TpmFault::Unreachable {
        path: path.to_owned(),
        source,
    }
}
