//! The certificate of a host of SSH and its key: the attestor names the authorities, and the node
//! signs the statement as `ssh-keygen -Y sign` would.
//!
//! Keys and certificates are read by the core, which reads them as credentials, too.

use avouch_api::attestation::SSH_NAMESPACE;
use avouch_api::grpc::node::SshPossession;
use avouch_api::grpc::node::evidence::Shown;
use avouch_api::members::Members;
use avouch_core::credential::ssh::{NoKey, SshCertificate, SshKey, SshKind};
use avouch_core::crypto::AwsLc;
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use ssh_key::SshSig;
use ssh_key::encoding::Decode;

use super::{Attestation, Attested, Facts, Method, Moment, check_sizes};
use crate::fault::Refused;

/// The longest certificate in bytes: two keys of RSA with 8192 bits and 256 names fit.
const LONGEST_CERTIFICATE: usize = 32 << 10;

/// The longest signature in bytes: a key and a signature of RSA with 8192 bits fit.
const LONGEST_SIGNATURE: usize = 4 << 10;

/// The most authorities of one attestor.
const MOST_AUTHORITIES: usize = 64;

/// Whom an attestor believes.
pub(super) struct SshPop {
    authorities: Vec<SshKey>,
    /// Where all names of a host must lie; anywhere if there is none.
    domains: Vec<String>,
}

impl SshPop {
    pub(super) fn read(mut members: Members) -> Result<Self, Reason> {
        let texts = members.text_list("authorities")?;
        if texts.is_empty() {
            let detail = "names none, so no host would ever be believed";
            return Err(members.refuse("authorities", detail));
        }
        if texts.len() > MOST_AUTHORITIES {
            return Err(members.refuse("authorities", "names too many"));
        }
        let authorities = texts.iter().map(|text| {
            SshKey::parse(text).map_err(|no| {
                let detail = match no {
                    NoKey::Unread => {
                        "must be keys as in a file `.pub`: Ed25519, ECDSA or RSA".to_owned()
                    }
                    NoKey::Weak(why) => format!("has a key that is weak: {why}"),
                };
                members.refuse("authorities", &detail)
            })
        });
        let authorities = authorities.collect::<Result<Vec<_>, _>>()?;
        let domains = members.text_list("domains")?;
        members.finish()?;
        Ok(Self {
            authorities,
            domains: domains.iter().map(|one| one.to_ascii_lowercase()).collect(),
        })
    }

    /// Whether a certificate is of a host that the attestor believes, in the order of what costs
    /// least.
    fn judge(&self, host: &SshCertificate, now: Time) -> Result<(), Reason> {
        let found = match host.kind() {
            SshKind::Host if self.authorities.contains(host.key()) => {
                Some("the key of an authority")
            }
            SshKind::Host => None,
            SshKind::User => Some("the certificate of a user"),
        };
        if let Some(found) = found {
            return Err(Reason::IssueSshKind { found });
        }
        let authority = host.authority();
        if !self.authorities.contains(authority) {
            return Err(Reason::IssueSshAuthority {
                authority: authority.fingerprint(),
            });
        }
        if let Some(option) = host.critical_options().next() {
            return Err(Reason::IssueSshOption {
                option: option.chars().take(64).collect(),
            });
        }
        let (from, until) = (host.valid_from(), host.valid_until());
        if now < from || until <= now {
            return Err(Reason::IssueSshNotValid {
                from,
                until,
                at: now,
            });
        }
        self.judge_principals(host.principals())
    }

    /// A certificate for no one is not one for everyone, and a pattern is not a name.
    fn judge_principals(&self, principals: &[String]) -> Result<(), Reason> {
        let is_name = |name: &String| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte))
        };
        let lies_in = |name: &str, domain: &String| {
            name == domain
                || name
                    .strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        let is_taken = |name: &String| {
            let lower = name.to_ascii_lowercase();
            let mut domains = self.domains.iter();
            is_name(name) && (self.domains.is_empty() || domains.any(|one| lies_in(&lower, one)))
        };
        if !principals.is_empty() && principals.iter().all(is_taken) {
            return Ok(());
        }
        let accepted = if self.domains.is_empty() {
            vec!["names of hosts".to_owned()]
        } else {
            self.domains.clone()
        };
        let shown = principals.iter().take(8);
        let shown: Vec<String> = shown.map(|one| one.chars().take(128).collect()).collect();
        Err(Reason::IssueSshPrincipal {
            principals: if shown.is_empty() {
                vec!["nobody in particular".to_owned()]
            } else {
                shown
            },
            accepted,
        })
    }
}

impl Attestation for SshPop {
    fn check(&self, shown: &Shown, moment: &Moment<'_>) -> Result<Attested, Refused> {
        let Shown::Sshpop(shown) = shown else {
            return Err(malformed("it is of another method").into());
        };
        check_size(shown)?;
        let host = SshCertificate::parse(&shown.certificate).map_err(|why| malformed(&why))?;
        check_possession(&host, &shown.signature, moment.statement)?;
        self.judge(&host, moment.now)?;
        if !host.is_signed(&AwsLc) {
            return Err(Reason::IssueSshNotSigned {
                authority: host.authority().fingerprint(),
            }
            .into());
        }
        let mut facts = Facts::default();
        for name in host.principals() {
            facts.note("sshpop:principal", &name.to_ascii_lowercase());
        }
        facts.note("sshpop:key_id", host.key_id());
        facts.note("sshpop:serial", &host.serial().to_string());
        facts.note("sshpop:fingerprint", &host.key().fingerprint());
        facts.note("sshpop:ca:fingerprint", &host.authority().fingerprint());
        // The key of a host stays when it is certified anew, and so does the node.
        let key = host.key().to_bytes();
        let key = key.ok_or_else(|| malformed("its key cannot be written"))?;
        let name = Digest::of(&key).to_string().chars().take(40).collect();
        Ok(Attested {
            name,
            facts,
            made: None,
        })
    }
}

fn check_size(shown: &SshPossession) -> Result<(), Reason> {
    check_sizes(&[
        (
            "host certificate",
            shown.certificate.len(),
            LONGEST_CERTIFICATE,
        ),
        ("signature", shown.signature.len(), LONGEST_SIGNATURE),
    ])
}

/// Whether the statement was signed with the key of the host, and in our namespace: what the host
/// signs for its clients, or for anyone else, is nothing here.
fn check_possession(
    host: &SshCertificate,
    signature: &[u8],
    statement: &[u8],
) -> Result<(), Reason> {
    let proven = || {
        let mut rest = signature;
        let signed = SshSig::decode(&mut rest).ok().filter(|_| rest.is_empty())?;
        if signed.namespace() != SSH_NAMESPACE || !host.key().is(signed.public_key()) {
            return None;
        }
        let message = SshSig::signed_data(SSH_NAMESPACE, signed.hash_alg(), statement).ok()?;
        let key = host.key();
        key.has_signed(&message, signed.signature(), &AwsLc)
            .then_some(())
    };
    proven().ok_or(Reason::IssueAttestationNotProven {
        method: Method::SshPop.name(),
    })
}

fn malformed(detail: &str) -> Reason {
    super::malformed(Method::SshPop, detail)
}
