//! The server as the command calls it.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use avouch_server::tls::SpiffePeer;
use rustls::CertificateError;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Request, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};
use zeroize::Zeroizing;

use super::arguments::Remote;
use super::secured::Secured;
use crate::fault::{Fault, Refusal};

/// The file of the operator's credential in the folder of the plane.
const CREDENTIAL_FILE: &str = "operator.jwt";

/// The longest credential in bytes.
const LONGEST_CREDENTIAL: u64 = 64 << 10;

/// How long a call may take.
const LONGEST_CALL: Duration = Duration::from_secs(60);

/// The longest answer in bytes.
const LONGEST_ANSWER: u64 = 256 << 20;

/// A server, and what is shown to it.
pub(super) struct Client {
    agent: Agent,
    server: String,
    /// None where a certificate is shown, or nothing.
    credential: Option<Zeroizing<String>>,
    /// What knows why an X.509-SVID of the server is not believed.
    peer: Option<Arc<SpiffePeer>>,
}

impl Client {
    /// Reads the credential; nothing is sent yet.
    pub(super) fn open(remote: &Remote) -> Result<Self, Fault> {
        Self::showing(remote, credential)
    }

    /// As [`Client::open`], but without a credential where there is none: for what anyone may ask.
    pub(super) fn open_for_anyone(remote: &Remote) -> Result<Self, Fault> {
        Self::showing(remote, |folder| {
            match folder.join(CREDENTIAL_FILE).exists() {
                true => credential(folder),
                false => Ok(None),
            }
        })
    }

    fn showing(
        remote: &Remote,
        credential: impl FnOnce(&Path) -> Result<Option<Zeroizing<String>>, Fault>,
    ) -> Result<Self, Fault> {
        let server = remote.address();
        let is_secure = check_server(&server)?;
        let shows_certificate = remote.as_workload.is_some() || remote.cert.is_some();
        if shows_certificate && !is_secure {
            return Err(Fault::Usage(format!(
                "--server {server}: a certificate is shown over TLS only; name the server with https"
            )));
        }
        let secured = match is_secure {
            true => Some(Secured::of(remote)?),
            false => None,
        };
        Ok(Self {
            peer: secured.as_ref().and_then(Secured::peer),
            agent: agent(secured),
            server,
            credential: match shows_certificate {
                true => None,
                false => credential(&remote.data)?,
            },
        })
    }

    /// Shows this credential and no other.
    pub(super) fn bearing(remote: &Remote, credential: Zeroizing<String>) -> Result<Self, Fault> {
        let server = remote.address();
        let secured = match check_server(&server)? {
            true => Some(Secured::of(remote)?),
            false => None,
        };
        Ok(Self {
            peer: secured.as_ref().and_then(Secured::peer),
            agent: agent(secured),
            server,
            credential: Some(credential),
        })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Fault> {
        self.call("GET", path, None)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Fault> {
        self.call("POST", path, Some(body))
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> Result<Value, Fault> {
        self.call("PUT", path, Some(body))
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, Fault> {
        self.call("DELETE", path, None)
    }

    /// What is there, and what it is called as it is now.
    pub(super) fn get_tagged(&self, path: &str) -> Result<(Value, String), Fault> {
        let (value, tag) = self.call_if("GET", path, None, None)?;
        Ok((value, tag.unwrap_or_default()))
    }

    /// Puts something in the place of what is there, if that is still called so.
    pub(super) fn put_if(&self, path: &str, body: &Value, tag: &str) -> Result<Value, Fault> {
        let answer = self.call_if("PUT", path, Some(body), Some(tag))?;
        Ok(answer.0)
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Fault> {
        let answer = self.call_if(method, path, body, None)?;
        Ok(answer.0)
    }

    fn call_if(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        tag: Option<&str>,
    ) -> Result<(Value, Option<String>), Fault> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("content-type", "application/json");
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        if let Some(credential) = &self.credential {
            request = request.header("authorization", format!("Bearer {}", credential.as_str()));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request
            .body(body)
            .map_err(|_| Fault::Usage(format!("`{path}` cannot be asked for")))?;
        let mut answer = self.agent.run(request).map_err(|error| self.away(&error))?;
        let status = answer.status();
        let tag = answer.headers().get("etag");
        let tag = tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let text = answer
            .body_mut()
            .with_config()
            .limit(LONGEST_ANSWER)
            .read_to_string()
            .map_err(|error| self.away(&error))?;
        if status.is_success() {
            if text.is_empty() {
                return Ok((Value::Null, tag));
            }
            let value = serde_json::from_str(&text).map_err(|_| self.foreign())?;
            return Ok((value, tag));
        }
        let problem: Value = serde_json::from_str(&text).map_err(|_| self.foreign())?;
        let member = |name: &str| problem.get(name)?.as_str().map(str::to_owned);
        let (Some(code), Some(sentence), Some(hint)) =
            (member("code"), member("detail"), member("hint"))
        else {
            return Err(self.foreign());
        };
        if MISDIRECTED.contains(&code.as_str()) {
            return Err(self.other(&format!("{sentence} {hint} ({code})")));
        }
        if status.is_client_error() {
            let refusal = Refusal {
                code,
                sentence,
                hint,
                answer: Some(problem),
            };
            return Err(refusal.into());
        }
        let request = member("decision").unwrap_or_default();
        Err(Fault::Run(format!(
            "{sentence} {hint} ({code}, request {request})"
        )))
    }

    fn away(&self, error: &ureq::Error) -> Fault {
        if let Some(why) = self.doubt(error) {
            return Fault::NotBelieved {
                server: self.server.clone(),
                why,
            };
        }
        if let Some(why) = misdirected(error) {
            return self.other(why);
        }
        Fault::NoServer {
            server: self.server.clone(),
            why: error.to_string(),
        }
    }

    fn other(&self, why: &str) -> Fault {
        Fault::OtherAddress {
            server: self.server.clone(),
            why: why.to_owned(),
        }
    }

    /// Why what the server has shown is not believed.
    fn doubt(&self, error: &ureq::Error) -> Option<String> {
        if let Some(reason) = self.peer.as_ref().and_then(|peer| peer.refused()) {
            return Some(reason.sentence().trim_end_matches('.').to_owned());
        }
        why_not_believed(error)
    }

    /// Whoever answers is no server of Avouch.
    pub(super) fn foreign(&self) -> Fault {
        Fault::Run(format!(
            "{} answers, but not as a server of Avouch does; is it another program?",
            self.server
        ))
    }
}

/// What a server of Avouch answers to plain HTTP where it speaks TLS.
const MISDIRECTED: [&str; 2] = ["server.tls_required", "server.nodes_only"];

/// What answers where neither TLS nor HTTP was found that was expected, if that is what ended a call.
fn misdirected(error: &ureq::Error) -> Option<&'static str> {
    let tls = match error {
        ureq::Error::Io(error) => error.get_ref().and_then(|held| held.downcast_ref()),
        ureq::Error::Rustls(error) => Some(error),
        // What is no HTTP.
        ureq::Error::Protocol(_) => {
            return Some(
                "what it says there is no HTTP; if it speaks TLS, name it with https://, and if that is its \
                 address for nodes, name the one for HTTP",
            );
        }
        _ => None,
    };
    matches!(tls, Some(rustls::Error::InvalidMessage(_)))
        .then_some("it speaks no TLS there; if it is on this machine, name it with http://")
}

/// Why the certificate that a server has shown is not believed, if that is what ended a call.
pub(super) fn why_not_believed(error: &ureq::Error) -> Option<String> {
    let ureq::Error::Io(error) = error else {
        return None;
    };
    let rustls::Error::InvalidCertificate(why) =
        error.get_ref()?.downcast_ref::<rustls::Error>()?
    else {
        return None;
    };
    Some(match why {
        CertificateError::BadSignature
        | CertificateError::UnknownIssuer
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "no authority that is trusted here has signed its certificate".to_owned()
        }
        CertificateError::Other(other) => match other.to_string() {
            // Also a bare self-signed one, as OpenSSL makes it unless it is told otherwise.
            ca if ca.contains("CaUsedAsEndEntity") => {
                "its certificate is one of an authority (CA:TRUE), which is believed of no server: start it with one \
                 that is not (OpenSSL: -addext basicConstraints=critical,CA:FALSE)"
                    .to_owned()
            }
            other => format!("its certificate is none of a server ({other})"),
        },
        other => other.to_string(),
    })
}

/// What calls a server, over TLS or without.
pub(super) fn agent(secured: Option<Secured>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A credential goes to the server that was named and to no other.
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(LONGEST_CALL))
        .build();
    match secured {
        Some(secured) => {
            let connector = TcpConnector::default().chain(secured);
            Agent::with_parts(config, connector, DefaultResolver::default())
        }
        None => config.into(),
    }
}

/// Whether the address is one of HTTPS. Any other must be on this machine: a credential that anyone
/// on the way can read is anyone's.
pub(super) fn check_server(server: &str) -> Result<bool, Fault> {
    let usage = |detail: &str| Err(Fault::Usage(format!("--server {server}: {detail}")));
    let uri = server.parse::<Uri>().ok();
    let uri = uri.filter(|uri| uri.path().len() <= 1 && uri.query().is_none());
    let authority = uri.as_ref().and_then(Uri::authority);
    let authority = authority.filter(|authority| !authority.as_str().contains('@'));
    let (Some(uri), Some(authority)) = (&uri, authority) else {
        return usage("an address looks like http://127.0.0.1:8080 or https://avouch.example.com");
    };
    match uri.scheme_str() {
        Some("https") => Ok(true),
        Some("http") if is_this_machine(authority.host()) => Ok(false),
        Some("http") => usage("your credential would cross the network unprotected; use https"),
        _ => usage("an address begins with http:// or https://"),
    }
}

/// Whether a host is this machine, whatever a resolver says.
pub(super) fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn credential(folder: &Path) -> Result<Option<Zeroizing<String>>, Fault> {
    let path = folder.join(CREDENTIAL_FILE);
    let fault = |why: String| Fault::Folder {
        path: path.clone(),
        why,
    };
    let open = File::open(&path).map_err(|error| {
        fault(format!(
            "{error}; the credential of the operator is in the folder of a plane that runs: start \
             one with `avouch up`, or name its folder with --data"
        ))
    })?;
    let text = secret(&path, &open)?;
    Ok(Some(Zeroizing::new(text.trim().to_owned())))
}

/// Reads what only its owner may read.
pub(super) fn secret(path: &Path, open: &File) -> Result<Zeroizing<String>, Fault> {
    let fault = |why: String| Fault::Folder {
        path: path.to_owned(),
        why,
    };
    let metadata = open.metadata().map_err(|error| fault(error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(fault(format!(
            "others may read this credential (mode {mode:04o}), so it is not used; `chmod 600` it, \
             and find out who has read it"
        )));
    }
    let mut text = Zeroizing::new(String::new());
    open.take(LONGEST_CREDENTIAL)
        .read_to_string(&mut text)
        .map_err(|error| fault(error.to_string()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::check_server;

    #[test]
    fn a_credential_is_sent_unprotected_to_this_machine_only() {
        for (server, is_secure) in [
            ("http://127.0.0.1:8080", false),
            ("http://localhost:1", false),
            ("http://[::1]:80", false),
            ("https://avouch.example.com", true),
        ] {
            assert_eq!(check_server(server).ok(), Some(is_secure), "{server}");
        }
        for server in [
            "http://10.0.0.1:8080",
            "http://localhost.example.com",
            "http://127.0.0.1@example.com",
            "https://user@example.com",
            "http://127.0.0.1/v1",
            "ftp://127.0.0.1",
            "127.0.0.1:8080",
        ] {
            assert!(check_server(server).is_err(), "{server}");
        }
    }
}
