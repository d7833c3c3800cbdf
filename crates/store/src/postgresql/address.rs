//! Where the database is, and how the connection to it is protected.
//!
//! `sslmode` and `sslrootcert` are read here, with the meaning that `libpq` gives them, except that
//! nothing is encrypted for someone who is not known: there is no mode that would take any
//! certificate, and none that would do without one where it was to be had.

use std::net::IpAddr;
use std::time::Duration;

use postgres::Config;
use postgres::config::{Host, SslMode};

use super::tls::{Checked, Tls};
use crate::fault::Fault;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long nothing may be heard of a server at the other end of a network.
const SILENCE: Duration = Duration::from_secs(30);

/// A database, and what its server must show.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    /// None where the connection is not encrypted.
    pub(super) tls: Option<Tls>,
}

impl Address {
    /// Reads an address. No fault tells what is in it, which may be a password.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let options = Options::take(text);
        let mut config: Config = options
            .rest
            .parse()
            .map_err(|_| denied("the address is not postgres://USER:PASSWORD@HOST/DATABASE"))?;
        let stays = stays_on_this_machine(&config);
        let checked = match options.mode.as_deref() {
            None | Some("disable") if stays => None,
            Some("disable") => {
                return Err(denied(
                    "sslmode=disable is for a database on this machine; leave it out, and the \
                     connection is encrypted",
                ));
            }
            None | Some("verify-full") => Some(Checked::ChainAndName),
            Some("verify-ca") => Some(Checked::Chain),
            Some("require") if options.roots.is_some() => Some(Checked::Chain),
            Some("require") => {
                return Err(denied(
                    "sslmode=require does not say who must answer; add sslrootcert=FILE, or ask \
                     for sslmode=verify-full",
                ));
            }
            Some(_) => {
                return Err(denied(
                    "sslmode is one of disable, require, verify-ca and verify-full",
                ));
            }
        };
        let tls = match checked {
            Some(checked) => {
                config.ssl_mode(SslMode::Require);
                Some(Tls::new(options.roots.as_deref(), checked)?)
            }
            None => {
                config.ssl_mode(SslMode::Disable);
                None
            }
        };
        Ok(Self { config, tls })
    }
}

impl Address {
    /// With what makes a connection break that nobody answers on, where the address does not say
    /// when.
    pub(super) fn kept_alive(mut self) -> Self {
        if self.config.get_connect_timeout().is_none() {
            self.config.connect_timeout(CONNECT_TIMEOUT);
        }
        if self.config.get_tcp_user_timeout().is_none() {
            self.config.tcp_user_timeout(SILENCE);
        }
        self.config.keepalives_idle(SILENCE);
        self.config.application_name("avouch");
        self
    }
}

fn denied(why: &str) -> Fault {
    Fault::Denied(why.to_owned())
}

fn stays_on_this_machine(config: &Config) -> bool {
    let named = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    });
    named && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// An address without what only this module understands.
struct Options {
    rest: String,
    mode: Option<String>,
    roots: Option<String>,
}

impl Options {
    fn take(text: &str) -> Self {
        let mut options = Self {
            rest: String::new(),
            mode: None,
            roots: None,
        };
        let is_url = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        match text.split_once('?') {
            Some((place, query)) if is_url => {
                let others: Vec<&str> = query.split('&').filter(|one| !options.note(one)).collect();
                options.rest = format!("{place}?{}", others.join("&"));
            }
            Some(_) | None if is_url => options.rest = text.to_owned(),
            Some(_) | None => {
                let words = words(text).into_iter();
                let others: Vec<&str> = words.filter(|one| !options.note(one)).collect();
                options.rest = others.join(" ");
            }
        }
        options
    }

    /// Whether it is one of ours, which is kept then.
    fn note(&mut self, option: &str) -> bool {
        let Some((name, value)) = option.split_once('=') else {
            return false;
        };
        let value = value.trim_matches('\'').to_owned();
        match name {
            "sslmode" => self.mode = Some(value),
            "sslrootcert" => self.roots = Some(value),
            _ => return false,
        }
        true
    }
}

/// The words of a list of options, in which quoted values may have spaces.
fn words(text: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let words = text.split(|character: char| {
        let was_escaped = is_escaped;
        is_escaped = character == '\\' && !was_escaped;
        if character == '\'' && !was_escaped {
            is_quoted = !is_quoted;
        }
        character.is_ascii_whitespace() && !is_quoted
    });
    words.filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_encrypted(address: &str) -> Option<bool> {
        let read = Address::parse(address).ok()?;
        assert_eq!(
            read.config.get_ssl_mode() == SslMode::Require,
            read.tls.is_some()
        );
        Some(read.tls.is_some())
    }

    #[test]
    fn an_unencrypted_connection_stays_on_this_machine() {
        for (address, encrypted) in [
            ("postgres://u@localhost/d", Some(false)),
            ("postgres://u@127.0.0.1:5433/d", Some(false)),
            ("postgres://u@[::1]/d", Some(false)),
            ("host=/run/postgresql user=u", Some(false)),
            ("postgres://u@localhost/d?sslmode=disable", Some(false)),
            ("host=db.example.com sslmode=disable user=u", None),
            ("postgres://u@db.example.com/d?sslmode=disable", None),
            ("postgres://u@db.example.com/d?sslmode=prefer", None),
            ("postgres://u@db.example.com/d?sslmode=require", None),
            (
                "postgres://u@localhost,db.example.com/d?sslmode=disable",
                None,
            ),
            (
                "postgres://u@localhost/d?hostaddr=192.0.2.1&sslmode=disable",
                None,
            ),
            ("postgres://u@localhost/d?sslmode=require", None),
            ("postgres://u@db.example.com/d?sslrootcert=/missing", None),
        ] {
            assert_eq!(is_encrypted(address), encrypted, "{address}");
        }
    }

    #[test]
    fn what_leaves_the_machine_is_checked_unless_told_how() {
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("roots.pem");
        let root = avouch_testkit::world::Authority::root("Example Root");
        std::fs::write(
            &roots,
            avouch_testkit::world::pem("CERTIFICATE", &root.certificate),
        )
        .unwrap();
        let roots = roots.display();
        for address in [
            format!("postgres://u@db.example.com/d?sslrootcert={roots}"),
            format!("postgres://u@db.example.com/d?sslmode=require&sslrootcert={roots}"),
            format!("postgres://u@localhost/d?sslmode=verify-full&sslrootcert={roots}&port=5"),
            format!("host=db.example.com user=u sslrootcert='{roots}' sslmode=verify-ca"),
            format!(r"password='a \' b' sslrootcert={roots} host=db.example.com user=u"),
        ] {
            assert_eq!(is_encrypted(&address), Some(true), "{address}");
        }
    }
}
