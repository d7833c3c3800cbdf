//! HTTPS servers of other people, good or hostile, on loopback: real sockets and real TLS.
//!
//! A server answers each request by what a function writes, byte for byte, so that it can be wrong
//! in any way one asks for. Unlike the rest of the kit these certificates are valid today: whoever
//! connects reads the clock of the machine.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::asn1;
use crate::certificate::CertificateForge;
use crate::extension;
use crate::key::{Key, algorithm_identifier};
use crate::name::GeneralName;
use crate::world::Authority;

/// From when and until when certificates of servers are valid.
pub const VALID: (&str, &str) = ("2020-01-01T00:00:00Z", "2049-01-01T00:00:00Z");

/// Longer than anybody should wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// A root whose certificate is valid today.
pub fn root(name: &str) -> Authority {
    let key = Key::ed25519(name);
    Authority::root_with(name, key, |forge| forge.valid(VALID.0, VALID.1))
}

/// What a server shows: certificates, its own first, and the key of that.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The certificates.
    pub chain: Vec<Vec<u8>>,
    /// The key: an Ed25519 one.
    pub key: Key,
}

impl Shown {
    /// A certificate under `root` for these names; those that are addresses stand in it as such.
    pub fn under(root: &Authority, names: &[&str]) -> Self {
        Self::valid(root, names, VALID.0, VALID.1)
    }

    /// As [`Shown::under`], valid from and until other moments.
    pub fn valid(root: &Authority, names: &[&str], from: &str, until: &str) -> Self {
        let key = Key::ed25519(names.first().copied().unwrap_or("nobody"));
        let names: Vec<GeneralName> = names
            .iter()
            .map(|name| match name.parse::<std::net::IpAddr>() {
                Ok(_) => GeneralName::ip(name),
                Err(_) => GeneralName::dns(name),
            })
            .collect();
        let forge = CertificateForge::bare("server", &key)
            .valid(from, until)
            .with(extension::key_usage(&[
                extension::KeyUsage::DigitalSignature,
            ]))
            .with(extension::extended_key_usage(&[extension::SERVER_AUTH]))
            .with(extension::subject_alternative_names(&names));
        Self {
            chain: vec![root.issue(forge)],
            key,
        }
    }

    /// With one more certificate behind the others.
    #[must_use]
    pub fn followed_by(mut self, certificate: &[u8]) -> Self {
        self.chain.push(certificate.to_vec());
        self
    }

    fn config(&self) -> Arc<ServerConfig> {
        let chain = self.chain.iter().cloned().map(CertificateDer::from);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(ed25519_pkcs8(&self.key)));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(chain.collect(), key)
            .expect("the key is that of the certificate");
        Arc::new(config)
    }
}

/// The PKCS#8 form of an Ed25519 key (RFC 8410 7).
pub fn ed25519_pkcs8(key: &Key) -> Vec<u8> {
    asn1::sequence([
        asn1::number(0),
        algorithm_identifier("1.3.101.112", None),
        asn1::octet_string(&asn1::octet_string(key.private())),
    ])
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The path and what is behind the question mark.
    pub path: String,
    /// The fields of the head, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Where an answer is written.
pub trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// An HTTPS server.
pub struct HttpsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    /// What is shown in turn, and whose turn it is.
    shown: Mutex<(Vec<Arc<ServerConfig>>, usize)>,
    received: Mutex<Vec<Received>>,
    connections: Mutex<u64>,
    is_stopped: AtomicBool,
}

impl HttpsServer {
    /// A server at any free port that shows this and answers by what `answer` writes.
    pub fn start(
        shown: &Shown,
        answer: impl Fn(&Received, &mut dyn Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared {
            shown: Mutex::new((vec![shown.config()], 0)),
            received: Mutex::default(),
            connections: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        });
        let answer = Arc::new(answer);
        let accepting = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for socket in listener.incoming().flatten() {
                    if shared.is_stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    *lock(&shared.connections) += 1;
                    let (shared, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                    // Who breaks off is part of what is tested.
                    std::thread::spawn(move || drop(serve(socket, &shared, answer.as_ref())));
                }
            })
        };
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// A server that answers every request with this.
    pub fn always(shown: &Shown, status: u16, fields: &[(&str, &str)], body: &str) -> Self {
        let answer = response(status, fields, body.as_bytes());
        Self::start(shown, move |_, wire| wire.write_all(&answer))
    }

    /// Shows something else from the next connection on.
    pub fn show(&self, shown: &Shown) {
        self.show_in_turn(std::slice::from_ref(shown));
    }

    /// Shows these one after another, each for one connection, and then again: as several machines
    /// behind one name do.
    pub fn show_in_turn(&self, shown: &[Shown]) {
        let configs = shown.iter().map(Shown::config).collect();
        *lock(&self.shared.shown) = (configs, 0);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The address of a path, by the name `localhost`.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port())
    }

    /// What has been asked so far.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// How many connections there have been, with or without a request.
    pub fn connections(&self) -> u64 {
        *lock(&self.shared.connections)
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes whoever accepts.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

/// An answer with its length.
pub fn response(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    head += "connection: close\r\n\r\n";
    let mut response = head.into_bytes();
    response.extend_from_slice(body);
    response
}

/// Waits, as a slow server does.
pub fn pause(duration: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    receiver
        .recv_timeout(duration)
        .expect_err("nobody sends anything");
}

fn serve(
    socket: TcpStream,
    shared: &Shared,
    answer: &(dyn Fn(&Received, &mut dyn Wire) -> io::Result<()> + Send + Sync),
) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let config = {
        let mut shown = lock(&shared.shown);
        let turn = shown.1;
        shown.1 += 1;
        let config = shown.0.get(turn % shown.0.len());
        Arc::clone(config.expect("something is shown"))
    };
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    let received = read(&mut stream)?;
    lock(&shared.received).push(received.clone());
    answer(&received, &mut stream)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn read(stream: &mut dyn Read) -> io::Result<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next(), words.next());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Received {
        method: method.ok_or(io::ErrorKind::InvalidData)?,
        path: path.ok_or(io::ErrorKind::InvalidData)?,
        headers,
        body,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
