//! The key that what is given is bound to, and how it is proved.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use avouch_agent::node::{KeyFault, NodeKey};
use base64ct::{Base64UrlUnpadded, Encoding, LineEnding};
use der::pem;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::clock;
use crate::fault::Fault;
use crate::input;
use crate::manage::client::secret;

/// A key of whoever asks.
pub(super) struct Holder {
    key: NodeKey,
}

impl Holder {
    /// Makes a key that is nowhere yet.
    pub(super) fn new() -> Result<Self, Fault> {
        Ok(Self {
            key: NodeKey::generate().map_err(failed)?,
        })
    }

    /// Reads the key of a file, or makes one and writes the file.
    pub(super) fn of(path: &Path) -> Result<Self, Fault> {
        let open = match File::open(path) {
            Ok(open) => open,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Self::made(path),
            Err(why) => return Err(input::fault_of(path, why)),
        };
        let text = secret(path, &open)?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .ok()
            .and_then(|key| NodeKey::read(key.secret_der()).ok());
        key.map(|key| Self { key }).ok_or_else(|| {
            Fault::Usage(format!(
                "{}: it holds no private key of the curve P-256 in PEM; name a file that is not \
                 there, and one is made",
                input::name_of(path)
            ))
        })
    }

    fn made(path: &Path) -> Result<Self, Fault> {
        let new = Self::new()?;
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(new.to_pem().as_bytes())?;
            file.sync_all()
        };
        write().map_err(|why: io::Error| Fault::Folder {
            path: path.to_owned(),
            why: why.to_string(),
        })?;
        Ok(new)
    }

    /// As PKCS#8 in PEM.
    pub(super) fn to_pem(&self) -> Zeroizing<String> {
        let text = pem::encode_string("PRIVATE KEY", LineEnding::LF, self.key.pkcs8());
        Zeroizing::new(text.unwrap_or_default())
    }

    /// A signing request in PEM, which names nobody: who it is for, the rule says.
    pub(super) fn signing_request(&self) -> Result<String, Fault> {
        to_pem(&self.key.signing_request().map_err(failed)?)
    }

    /// A signing request in PEM of a name (RFC 4514).
    pub(super) fn signing_request_of(&self, subject: &str) -> Result<String, Fault> {
        to_pem(&self.key.signing_request_of(subject).map_err(failed)?)
    }

    /// As a DER `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> &[u8] {
        self.key.public_key()
    }

    /// A proof for one request to this address (RFC 9449 4.2).
    pub(super) fn proof(&self, address: &str, nonce: Option<&str>) -> Result<String, Fault> {
        let [x, y] = self.key.coordinates().map_err(failed)?;
        let header = json!({
            "typ": "dpop+jwt", "alg": "ES256",
            "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y},
        });
        let mut claims = Map::from_iter([
            ("jti".to_owned(), clock::decision_id().into()),
            ("htm".to_owned(), "POST".into()),
            ("htu".to_owned(), address.into()),
            ("iat".to_owned(), clock::now().unix().into()),
        ]);
        if let Some(nonce) = nonce {
            claims.insert("nonce".to_owned(), nonce.into());
        }
        let [header, claims] = [header, Value::Object(claims)]
            .map(|part| Base64UrlUnpadded::encode_string(part.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign_token(signed.as_bytes()).map_err(failed)?;
        let signature = Base64UrlUnpadded::encode_string(&signature);
        Ok(format!("{signed}.{signature}"))
    }
}

fn to_pem(request: &[u8]) -> Result<String, Fault> {
    pem::encode_string("CERTIFICATE REQUEST", LineEnding::LF, request)
        .map_err(|error| Fault::Run(error.to_string()))
}

fn failed(fault: KeyFault) -> Fault {
    Fault::Run(fault.to_string())
}
