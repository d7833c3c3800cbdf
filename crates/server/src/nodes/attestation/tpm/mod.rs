//! A TPM: the attestor names who makes TPMs, or the TPMs themselves, and the node shows keys of one.
//!
//! ```text
//! anchor ─ certifies ─► endorsement key ─ is beside ─► attestation key ─ vouches for ─► key of the node
//!          the core      the TPM can open what          statements that answer
//!          decides       was sealed for both            this challenge
//! ```
//!
//! What is shown proves nothing until the node has opened what was sealed: only then is it known
//! that the attestation key is in the TPM of the endorsement key, and that what it signed is true.
//! So that comes first, and nobody learns by the certificate of another what is trusted here.

mod seal;

use std::collections::{BTreeMap, BTreeSet};

use avouch_api::grpc::node::evidence::Shown;
use avouch_api::grpc::node::{TpmPossession, TpmStatement};
use avouch_api::members::Members;
use avouch_core::anchor::AnchorKind;
use avouch_core::credential::Credential;
use avouch_core::credential::tpm::{
    About, LONGEST_STRUCTURE, Maker, PublicArea, Role, STATIC_REGISTERS, Statement,
    StatementProblem, is_endorsement, registers_digest,
};
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::AwsLc;
use avouch_core::id::Digest;
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::view::View;
use avouch_store::Selector;
use serde_json::Value;

use super::{Attestation, Attested, Facts, Method, Moment, attestor, bug, check_sizes, decision};
use crate::fault::Refused;
use crate::tenant::Tenant;

pub use seal::{Opened, Sealing};

/// The most certificates that are looked at, and their bytes together.
const MOST_CERTIFICATES: usize = 6;
const MOST_BYTES: usize = 32 << 10;

/// The most endorsement keys of one attestor: what is longer is read for callers who have shown
/// nothing yet, and belongs under a certificate.
const MOST_KEYS: usize = 2_000;

/// What is said to be in the TPM that has the key of the node: where a private key is kept, as
/// anchors say it (`key_origin`).
const KEY_STORAGE: (&str, &str) = ("key_storage", "tpm");

/// The fact that names the key of the node, which it keeps for as long as it is a member.
const NODE_KEY: &str = "tpm:node_key";

/// Whom an attestor believes.
pub(super) struct Tpm {
    /// Who makes TPMs; whoever has a key of the list, if there is none.
    makers: Option<View>,
    /// The digests of the endorsement keys that are taken; all that are certified, if there is none.
    keys: BTreeSet<Digest>,
    /// The registers whose values become facts.
    registers: BTreeSet<u8>,
    /// The values that are taken of a register.
    values: BTreeMap<u8, Vec<Digest>>,
    require_revocation: bool,
}

impl Tpm {
    pub(super) fn read(mut members: Members, tenant: &Tenant) -> Result<Self, Reason> {
        let keys = members.text_list("endorsement_keys")?;
        if keys.len() > MOST_KEYS {
            return Err(members.refuse("endorsement_keys", "names too many"));
        }
        let keys = keys.iter().map(|text| {
            let detail = "must be SHA-256 digests of keys, each 64 hexadecimal digits";
            Digest::from_hex(text).ok_or_else(|| members.refuse("endorsement_keys", detail))
        });
        let keys = keys.collect::<Result<BTreeSet<_>, _>>()?;
        let vouches = |kind: &AnchorKind| matches!(kind, AnchorKind::Certificate(_));
        let names_makers = members.names_left().any(|name| name == "trust");
        let makers = if names_makers || keys.is_empty() {
            Some(attestor::trust(&mut members, tenant, vouches)?)
        } else {
            None
        };
        let read = Self {
            makers,
            keys,
            registers: registers(&mut members)?,
            values: values(&mut members)?,
            require_revocation: members.flag("require_revocation")?.unwrap_or(false),
        };
        members.finish()?;
        Ok(read)
    }

    /// Whether the endorsement key is one that the attestor takes; gives what is known of the TPM.
    fn judge_endorsement(
        &self,
        shown: &TpmPossession,
        endorsement: &PublicArea,
        moment: &Moment<'_>,
        facts: &mut Facts,
    ) -> Result<(), Refused> {
        let key = Digest::of(endorsement.key_info());
        let is_listed = self.keys.is_empty() || self.keys.contains(&key);
        if !is_listed {
            let key = key.to_string();
            return Err(Reason::IssueTpmKeyUnknown { key }.into());
        }
        facts.note("tpm:ek", &key.to_string());
        let Some(makers) = &self.makers else {
            return Ok(());
        };
        let leaf = shown.certificates.first();
        let leaf =
            leaf.ok_or_else(|| malformed("there is no certificate of the endorsement key"))?;
        let leaf = Certificate::parse(leaf).map_err(|detail| Reason::CertificateMalformed {
            position: "certificate of the endorsement key".to_owned(),
            detail,
        })?;
        if leaf.public_key() != Ok(endorsement.key()) {
            let key = key.to_string();
            return Err(Reason::IssueTpmKey { key }.into());
        }
        if !is_endorsement(&leaf) {
            return Err(Reason::IssueTpmCertificate {}.into());
        }
        let question = Question {
            tenant: moment.tenant.id().clone(),
            credential: Credential::X509(shown.certificates.clone()),
            profile: Profile::Private,
            purpose: Purpose::Any,
            now: moment.now,
            context: Context {
                require_revocation: self.require_revocation,
                ..Context::default()
            },
        };
        let identity = decision::identity(&question, makers)?;
        let maker = Maker::of(&leaf);
        for (name, value) in [
            ("tpm:manufacturer", &maker.manufacturer),
            ("tpm:model", &maker.model),
            ("tpm:version", &maker.version),
        ] {
            if let Some(value) = value {
                facts.note(name, value);
            }
        }
        if let AnchorKind::Certificate(anchor) = &identity.anchor().anchor.kind {
            facts.note("tpm:ca:fingerprint", &anchor.sha256().to_string());
        }
        Ok(())
    }

    /// Whether the registers have values that the attestor takes.
    fn judge_registers(&self, registers: &Registers, facts: &mut Facts) -> Result<(), Reason> {
        for (number, accepted) in &self.values {
            let seen = registers.0.get(number);
            let seen = seen.ok_or(Reason::IssueTpmRegisters {
                detail: "a register that the attestor looks at is not among what was measured",
            })?;
            if !accepted.contains(seen) {
                return Err(Reason::IssueTpmRegister {
                    register: u32::from(*number),
                    seen: seen.to_string(),
                    accepted: accepted.iter().map(ToString::to_string).collect(),
                });
            }
        }
        for number in self.registers.iter().chain(self.values.keys()) {
            if let Some(value) = registers.0.get(number) {
                facts.note(&format!("tpm:pcr:{number}"), &value.to_string());
            }
        }
        Ok(())
    }
}

/// What is said of a register that whoever runs the machine can set back.
const NUMBERS: &str =
    "must be numbers from 0 to 15: the other registers are set back without a restart";

/// Reads the member `pcrs`.
fn registers(members: &mut Members) -> Result<BTreeSet<u8>, Reason> {
    let list = members.list("pcrs")?.unwrap_or_default();
    let numbers = list.iter().map(|one| {
        let number = one.as_u64().and_then(|number| u8::try_from(number).ok());
        let number = number.filter(|number| *number < STATIC_REGISTERS);
        number.ok_or_else(|| members.refuse("pcrs", NUMBERS))
    });
    numbers.collect()
}

/// Reads the member `pcr_values`.
fn values(members: &mut Members) -> Result<BTreeMap<u8, Vec<Digest>>, Reason> {
    let Some(object) = members.members("pcr_values")? else {
        return Ok(BTreeMap::new());
    };
    let detail = "must name values, each 64 hexadecimal digits, \
                  for numbers from 0 to 15: the other registers are set back without a restart";
    let read = |(name, values): (String, Value)| {
        let number = name.parse::<u8>().ok()?;
        // In one way only: `07` would be another `7`.
        let is_firm = number < STATIC_REGISTERS && number.to_string() == name;
        let number = is_firm.then_some(number)?;
        let values = values.as_array()?.iter();
        let values = values.map(|value| Digest::from_hex(value.as_str()?));
        let values = values.collect::<Option<Vec<_>>>()?;
        (!values.is_empty()).then_some((number, values))
    };
    let values = object.rest().into_iter().map(read).collect::<Option<_>>();
    values.ok_or_else(|| members.refuse("pcr_values", detail))
}

impl Attestation for Tpm {
    fn sealing(&self, shown: &Shown) -> Result<Option<Sealing>, Refused> {
        let shown = possession(shown)?;
        check_size(shown)?;
        let endorsement = area(&shown.endorsement_key, Role::Endorsement)?;
        let attestation = area(&shown.attestation_key, Role::Attestation)?;
        let sealing = Sealing::of(&endorsement, &attestation);
        let sealing = sealing.map_err(|_| bug("nothing can be sealed for a TPM"))?;
        Ok(Some(sealing))
    }

    fn check(&self, shown: &Shown, moment: &Moment<'_>) -> Result<Attested, Refused> {
        let shown = possession(shown)?;
        check_size(shown)?;
        let endorsement = area(&shown.endorsement_key, Role::Endorsement)?;
        let attestation = area(&shown.attestation_key, Role::Attestation)?;
        let opened = moment.opened;
        if !opened.is_some_and(|opened| opened.is_by(&endorsement, &attestation)) {
            return Err(Reason::IssueTpmNotActivated {}.into());
        }
        let node = area(&shown.node_key, Role::Signing)?;
        if node.key_info() != moment.node_key {
            return Err(Reason::IssueTpmNodeKey {}.into());
        }
        let nonce = Digest::of(moment.statement);
        let about = "the key of the node";
        let certified = said(shown.certified.as_ref(), &attestation, nonce, about)?;
        if !matches!(&certified.about, About::Key { name } if name.as_slice() == node.name()) {
            return Err(Reason::IssueTpmNodeKey {}.into());
        }
        let about = "what was measured";
        let measured = said(shown.quoted.as_ref(), &attestation, nonce, about)?;
        let registers = Registers::of(&measured, &shown.registers)?;
        let mut facts = Facts::default();
        facts.note(KEY_STORAGE.0, KEY_STORAGE.1);
        facts.note(NODE_KEY, &Digest::of(node.key_info()).to_string());
        facts.note("tpm:firmware", &format!("{:016x}", certified.firmware));
        self.judge_endorsement(shown, &endorsement, moment, &mut facts)?;
        self.judge_registers(&registers, &mut facts)?;
        // The endorsement key of a TPM stays whatever becomes of the machine, and so does the node.
        let key = Digest::of(endorsement.key_info()).to_string();
        Ok(Attested {
            name: key.chars().take(40).collect(),
            facts,
            made: None,
        })
    }
}

fn possession(shown: &Shown) -> Result<&TpmPossession, Reason> {
    match shown {
        Shown::Tpm(shown) => Ok(shown),
        Shown::K8sPsat(_) | Shown::Sshpop(_) | Shown::X509pop(_) => {
            Err(malformed("it is of another method"))
        }
    }
}

/// Whether a node that is known keeps its key in a TPM, and asks for an identity with another.
pub(crate) fn leaves_its_key(facts: &BTreeSet<Selector>, key_info: &[u8]) -> bool {
    let (name, value) = KEY_STORAGE;
    let has = |name: &str, value: &str| {
        let fact = Selector::parse(&format!("{name}:{value}"));
        fact.is_some_and(|fact| facts.contains(&fact))
    };
    has(name, value) && !has(NODE_KEY, &Digest::of(key_info).to_string())
}

/// The values of registers, by their numbers.
struct Registers(BTreeMap<u8, Digest>);

impl Registers {
    /// The values that were shown, if they are what the TPM has vouched for.
    fn of(measured: &Statement, shown: &[Vec<u8>]) -> Result<Self, Reason> {
        let refuse = |detail| Reason::IssueTpmRegisters { detail };
        let About::Registers { numbers, digest } = &measured.about else {
            return Err(refuse("it says nothing about registers"));
        };
        let values = shown.iter().map(|value| {
            let value = <[u8; 32]>::try_from(value.as_slice()).ok();
            value.map(Digest::from_bytes)
        });
        let values = values.collect::<Option<Vec<_>>>();
        let values = values.ok_or_else(|| refuse("a value is none of SHA-256"))?;
        if values.len() != numbers.len() {
            return Err(refuse("there are more values than registers, or fewer"));
        }
        if registers_digest(&values).as_bytes().as_slice() != digest.as_slice() {
            return Err(refuse("the values are others"));
        }
        Ok(Self(numbers.iter().copied().zip(values).collect()))
    }
}

/// A key that was shown, if it is fit for its role.
fn area(bytes: &[u8], role: Role) -> Result<PublicArea, Reason> {
    let area = PublicArea::parse(bytes);
    let area = area.map_err(|detail| malformed(&format!("the {}: {detail}", role.name())))?;
    match area.unfit(role) {
        Some(detail) => Err(Reason::IssueTpmAttributes {
            role: role.name(),
            detail,
        }),
        None => Ok(area),
    }
}

/// What the TPM has said about something, in answer to this challenge.
fn said(
    statement: Option<&TpmStatement>,
    attestation: &PublicArea,
    nonce: Digest,
    about: &'static str,
) -> Result<Statement, Reason> {
    let statement =
        statement.ok_or_else(|| malformed(&format!("nothing is said about {about}")))?;
    let key = attestation.key();
    let read = Statement::read(&statement.said, &statement.signature, key, &AwsLc);
    let read = read.map_err(|problem| match problem {
        StatementProblem::Malformed(detail) => {
            malformed(&format!("what the TPM says about {about}: {detail}"))
        }
        StatementProblem::NotSigned => Reason::IssueTpmNotSigned { about },
    })?;
    if read.nonce != nonce.as_bytes() {
        return Err(Reason::IssueTpmStale { about });
    }
    Ok(read)
}

fn check_size(shown: &TpmPossession) -> Result<(), Reason> {
    let given = shown.certificates.len();
    if given > MOST_CERTIFICATES {
        return Err(Reason::Certificates {
            given,
            allowed: MOST_CERTIFICATES,
        });
    }
    let length = |statement: &Option<TpmStatement>| {
        let statement = statement.as_ref();
        statement.map_or(0, |one| one.said.len().max(one.signature.len()))
    };
    let certificates = shown.certificates.iter().map(Vec::len).sum();
    let registers = shown.registers.iter().map(Vec::len).sum();
    check_sizes(&[
        ("certificate chain", certificates, MOST_BYTES),
        (
            "endorsement key",
            shown.endorsement_key.len(),
            LONGEST_STRUCTURE,
        ),
        (
            "attestation key",
            shown.attestation_key.len(),
            LONGEST_STRUCTURE,
        ),
        ("key of the node", shown.node_key.len(), LONGEST_STRUCTURE),
        ("statement", length(&shown.certified), LONGEST_STRUCTURE),
        ("statement", length(&shown.quoted), LONGEST_STRUCTURE),
        ("registers", registers, LONGEST_STRUCTURE),
    ])
}

fn malformed(detail: &str) -> Reason {
    super::malformed(Method::Tpm, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_that_was_not_measured_is_not_the_one_that_is_wanted() {
        let zero = Digest::from_bytes([0; 32]);
        let attestor = Tpm {
            makers: None,
            keys: BTreeSet::from([zero]),
            registers: BTreeSet::new(),
            values: BTreeMap::from([(7, vec![zero])]),
            require_revocation: false,
        };
        let judged = |numbers: &[u8]| {
            let measured = numbers.iter().map(|number| (*number, zero));
            let measured = Registers(measured.collect());
            attestor.judge_registers(&measured, &mut Facts::default())
        };
        assert!(judged(&[0, 7]).is_ok());
        let refused = judged(&[0, 1]).map_err(|reason| reason.code());
        assert_eq!(refused, Err("issue.tpm_registers"));
    }
}
