//! What a TPM says and signs (`TPMS_ATTEST`, TPM 2.0 Library Part 2, 10.12.8).

use std::collections::BTreeSet;

use tpm2_protocol::TpmUnmarshal;
use tpm2_protocol::data::{TpmAlgId, TpmsAttest, TpmtSignature, TpmuAttest, TpmuSignature};

use super::public_area::padded;
use super::{LONGEST_STRUCTURE, REGISTERS};
use crate::crypto::{Hash, KeyKind, PublicKey, Scheme, Verifier};
use crate::id::Digest;

/// Something that a TPM said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What whoever asked had given it to say with it.
    pub nonce: Vec<u8>,
    /// The version of its firmware, which only its maker can read.
    pub firmware: u64,
    /// What it is about.
    pub about: About,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Another key is in the same TPM.
    Key {
        /// The name of that key.
        name: Vec<u8>,
    },
    /// What was measured.
    Registers {
        /// Which registers, of the bank of SHA-256.
        numbers: BTreeSet<u8>,
        /// The digest of their values, one after another.
        digest: Vec<u8>,
    },
}

/// Why a statement is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementProblem {
    /// It cannot be read.
    Malformed(&'static str),
    /// It is not signed with the key.
    NotSigned,
}

impl Statement {
    /// Reads what was signed with a key of a TPM. That the key signs nothing but what the TPM says,
    /// its public area says.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn read(
        bytes: &[u8],
        signature: &[u8],
        key: &PublicKey,
        crypto: &dyn Verifier,
    ) -> Result<Self, StatementProblem> {
        let malformed = StatementProblem::Malformed;
        if bytes.len() > LONGEST_STRUCTURE || signature.len() > LONGEST_STRUCTURE {
            return Err(malformed("it is too long"));
        }
        let signature = TpmtSignature::unmarshal(signature);
        let (signature, rest) = signature.map_err(|_| malformed("its signature is none"))?;
        if !rest.is_empty() {
            return Err(malformed("something follows its signature"));
        }
        let signed = plain(&signature.signature, key.kind());
        let (scheme, signature) = signed.ok_or(StatementProblem::NotSigned)?;
        let checked = crypto.verify(key, scheme, bytes, &signature);
        checked.map_err(|_| StatementProblem::NotSigned)?;
        Self::parse(bytes).map_err(malformed)
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        // That a TPM made it, its first four bytes say: a restricted key signs nothing from outside
        // that begins so (Part 1, 31.2).
        let read = TpmsAttest::unmarshal(bytes);
        let (attest, rest) = read.map_err(|_| "it is nothing that a TPM says")?;
        if !rest.is_empty() {
            return Err("something follows it");
        }
        let about = match attest.attested {
            TpmuAttest::Certify(certified) => About::Key {
                name: certified.name.to_vec(),
            },
            TpmuAttest::Quote(quote) => {
                let mut numbers = BTreeSet::new();
                for selection in quote.pcr_select.iter() {
                    if selection.hash != TpmAlgId::Sha256 {
                        return Err("it is about registers of another bank than that of SHA-256");
                    }
                    numbers.extend(selected(&selection.pcr_select));
                }
                About::Registers {
                    numbers,
                    digest: quote.pcr_digest.to_vec(),
                }
            }
            _ => return Err("it is about neither a key nor registers"),
        };
        Ok(Self {
            nonce: attest.extra_data.to_vec(),
            firmware: attest.firmware_version.value(),
            about,
        })
    }
}

/// The digest of the values of registers, one after another (Part 3, 18.4).
pub fn registers_digest<'a>(values: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let values: Vec<u8> = values
        .into_iter()
        .flat_map(|value| *value.as_bytes())
        .collect();
    Digest::of(&values)
}

/// The numbers of the bits that are set, the lowest of each octet first (Part 2, 10.6.1).
fn selected(bits: &[u8]) -> impl Iterator<Item = u8> + '_ {
    (0..REGISTERS).filter(|number| {
        let octet = bits.get(usize::from(number / 8)).copied().unwrap_or(0);
        octet & (1 << (number % 8)) != 0
    })
}

/// A signature in the form in which it is checked.
fn plain(signature: &TpmuSignature, kind: KeyKind) -> Option<(Scheme, Vec<u8>)> {
    match (signature, kind) {
        (TpmuSignature::Ecdsa(numbers), KeyKind::P256 | KeyKind::P384) => {
            let size = if kind == KeyKind::P256 { 32 } else { 48 };
            let mut fixed = padded(&numbers.signature_r, size)?;
            fixed.extend(padded(&numbers.signature_s, size)?);
            (numbers.hash == TpmAlgId::Sha256).then_some((Scheme::EcdsaFixed(Hash::Sha256), fixed))
        }
        (TpmuSignature::Rsassa(one), KeyKind::Rsa(_)) if one.hash == TpmAlgId::Sha256 => {
            Some((Scheme::RsaPkcs1(Hash::Sha256), one.sig.to_vec()))
        }
        _ => None,
    }
}
