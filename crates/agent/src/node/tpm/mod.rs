//! The TPM of this machine: what it says of itself, and a key of the node that never leaves it.
//!
//! Commands are written and read by `tpm2-protocol`; a node needs no other program and no library
//! of C. The keys that are made are flushed when they are let go.

mod device;
mod key;
mod templates;

use std::path::Path;

use avouch_api::grpc::node::{TpmSealed, TpmStatement};
use der::asn1::AnyRef;
use der::{Decode, Encode, SliceReader};
use tpm2_protocol::basic::{TpmHandle, TpmInt32, TpmUint16, TpmUint32};
use tpm2_protocol::data::{
    Tpm2bData, Tpm2bDigest, Tpm2bEncryptedSecret, Tpm2bIdObject, Tpm2bNonce, Tpm2bPublic,
    Tpm2bSensitiveCreate, TpmAlgId, TpmRh, TpmSe, TpmSt, TpmlPcrSelection, TpmsAttest,
    TpmsAuthCommand, TpmsPcrSelect, TpmsPcrSelection, TpmtPublic, TpmtSigScheme, TpmtSignature,
    TpmtSymDefObject, TpmtTkHashcheck,
};
use tpm2_protocol::frame::{
    TpmActivateCredentialCommand, TpmActivateCredentialResponse, TpmCertifyCommand,
    TpmCertifyResponse, TpmCreatePrimaryCommand, TpmCreatePrimaryResponse, TpmFlushContextCommand,
    TpmFlushContextResponse, TpmNvReadCommand, TpmNvReadPublicCommand, TpmNvReadPublicResponse,
    TpmNvReadResponse, TpmPcrReadCommand, TpmPcrReadResponse, TpmPolicySecretCommand,
    TpmPolicySecretResponse, TpmQuoteCommand, TpmQuoteResponse, TpmSignCommand, TpmSignResponse,
    TpmStartAuthSessionCommand, TpmStartAuthSessionResponse,
};
use tpm2_protocol::{TpmMarshal, TpmWriter};

use device::Device;
use templates::EndorsementKind;

pub(super) use device::TpmFault;
pub use key::TpmKey;

/// Where a TPM keeps the certificates of its endorsement keys (EK Credential Profile 2.2.1.4), the
/// key that is made faster first.
const CERTIFICATES: [(u32, EndorsementKind); 2] = [
    (0x01c0_000a, EndorsementKind::P256),
    (0x01c0_0002, EndorsementKind::Rsa2048),
];

/// How much of a certificate is read at once: what every TPM gives.
const PART: u16 = 512;

/// The longest certificate that is read.
const LONGEST_CERTIFICATE: u16 = 8 << 10;

/// The registers that are measured: those of the firmware and of the operating system. The others
/// are for debugging and for what the processor starts late.
const MEASURED: [u8; 3] = [0xff, 0xff, 0];

/// How often registers are read that change meanwhile.
const MOST_READINGS: usize = 5;

/// The longest structure that is sent.
const LONGEST: usize = 2 << 10;

/// A TPM with the keys that were made in it.
pub(crate) struct Tpm {
    device: Device,
    loaded: Vec<TpmHandle>,
}

/// A key that is in a TPM at the moment.
#[derive(Clone)]
pub(crate) struct Loaded {
    handle: TpmHandle,
    /// A `TPMT_PUBLIC`.
    pub(super) public: Vec<u8>,
}

/// What was measured.
pub(super) struct Measured {
    /// The values of the registers, in their order.
    pub(super) registers: Vec<Vec<u8>>,
    /// What the TPM says of them.
    pub(super) statement: TpmStatement,
}

impl Tpm {
    pub(super) fn open(path: &Path) -> Result<Self, TpmFault> {
        Ok(Self {
            device: Device::open(path)?,
            loaded: Vec::new(),
        })
    }

    /// The certificate of an endorsement key, as its maker has left it in the TPM.
    pub(super) fn certificate(&mut self) -> Option<Vec<u8>> {
        let mut certificates = CERTIFICATES.into_iter();
        certificates.find_map(|(index, _)| self.stored(TpmHandle::new(index)).ok().flatten())
    }

    /// Makes the endorsement key, on a curve or of RSA.
    pub(super) fn endorsement_key(&mut self, on_curve: bool) -> Result<Loaded, TpmFault> {
        let kind = if on_curve {
            EndorsementKind::P256
        } else {
            EndorsementKind::Rsa2048
        };
        self.create(templates::endorsement(kind)?)
    }

    /// Makes the key that signs what the TPM says.
    pub(super) fn attestation_key(&mut self) -> Result<Loaded, TpmFault> {
        self.create(templates::attestation()?)
    }

    /// Makes the key of the node that has this number.
    pub(super) fn node_key(&mut self, unique: &[u8; 32]) -> Result<Loaded, TpmFault> {
        self.create(templates::node(unique)?)
    }

    /// Has one key say of another that it is in the same TPM.
    pub(super) fn certify(
        &mut self,
        key: &Loaded,
        by: &Loaded,
        nonce: &[u8; 32],
    ) -> Result<TpmStatement, TpmFault> {
        let command = TpmCertifyCommand {
            handles: [key.handle, by.handle],
            qualifying_data: Tpm2bData::try_from(nonce.as_slice())?,
            in_scheme: TpmtSigScheme::default(),
        };
        let answer: TpmCertifyResponse =
            self.device.run(&command, &[no_password(), no_password()])?;
        statement(&answer.certify_info.inner, &answer.signature)
    }

    /// Has a key say what was measured.
    pub(super) fn measured(&mut self, by: &Loaded, nonce: &[u8; 32]) -> Result<Measured, TpmFault> {
        let selection = selection(MEASURED)?;
        // The system measures what it starts, so the values may change before they are vouched for.
        let mut before = self.registers()?;
        for _ in 0..MOST_READINGS {
            let command = TpmQuoteCommand {
                handles: [by.handle],
                qualifying_data: Tpm2bData::try_from(nonce.as_slice())?,
                in_scheme: TpmtSigScheme::default(),
                pcr_select: selection,
            };
            let answer: TpmQuoteResponse = self.device.run(&command, &[no_password()])?;
            let registers = self.registers()?;
            if registers == before {
                return Ok(Measured {
                    registers,
                    statement: statement(&answer.quoted.inner, &answer.signature)?,
                });
            }
            before = registers;
        }
        Err(TpmFault::Refused {
            command: "to be measured".to_owned(),
            code: "its registers change all the time".to_owned(),
        })
    }

    /// Opens what was sealed for the endorsement key and for another one beside it.
    pub(super) fn open_sealed(
        &mut self,
        sealed: &TpmSealed,
        endorsement: &Loaded,
        attestation: &Loaded,
    ) -> Result<Vec<u8>, TpmFault> {
        let command = TpmStartAuthSessionCommand {
            handles: [handle(TpmRh::Null), handle(TpmRh::Null)],
            nonce_caller: Tpm2bNonce::try_from([0; 16].as_slice())?,
            encrypted_salt: Tpm2bEncryptedSecret::default(),
            session_type: TpmSe::Policy,
            symmetric: TpmtSymDefObject {
                algorithm: TpmAlgId::Null,
                ..TpmtSymDefObject::default()
            },
            auth_hash: TpmAlgId::Sha256,
        };
        let started: TpmStartAuthSessionResponse = self.device.run(&command, &[])?;
        let [session] = started.handles;
        self.loaded.push(session);
        let command = TpmPolicySecretCommand {
            handles: [handle(TpmRh::Endorsement), session],
            nonce_tpm: Tpm2bNonce::default(),
            cp_hash_a: Tpm2bDigest::default(),
            policy_ref: Tpm2bNonce::default(),
            expiration: TpmInt32::new(0),
        };
        let _: TpmPolicySecretResponse = self.device.run(&command, &[no_password()])?;
        let command = TpmActivateCredentialCommand {
            handles: [attestation.handle, endorsement.handle],
            credential_blob: Tpm2bIdObject::try_from(sealed.credential.as_slice())?,
            secret: Tpm2bEncryptedSecret::try_from(sealed.secret.as_slice())?,
        };
        let sessions = [no_password(), authorized(session)];
        let answer: TpmActivateCredentialResponse = self.device.run(&command, &sessions)?;
        // A session that was used is gone.
        self.loaded.retain(|one| *one != session);
        Ok(answer.cert_info.to_vec())
    }

    /// Signs a SHA-256 digest.
    fn sign(&mut self, key: &Loaded, digest: &[u8]) -> Result<TpmtSignature, TpmFault> {
        let command = TpmSignCommand {
            handles: [key.handle],
            digest: Tpm2bDigest::try_from(digest)?,
            in_scheme: TpmtSigScheme::default(),
            validation: TpmtTkHashcheck {
                tag: TpmSt::HashCheck,
                hierarchy: TpmRh::Null,
                digest: Tpm2bDigest::default(),
            },
        };
        let answer: TpmSignResponse = self.device.run(&command, &[no_password()])?;
        Ok(answer.signature)
    }

    /// Makes a key in the endorsement hierarchy, whose statements say which firmware the TPM has.
    fn create(&mut self, template: TpmtPublic) -> Result<Loaded, TpmFault> {
        let command = TpmCreatePrimaryCommand {
            handles: [handle(TpmRh::Endorsement)],
            in_sensitive: Tpm2bSensitiveCreate::default(),
            in_public: Tpm2bPublic { inner: template },
            outside_info: Tpm2bData::default(),
            creation_pcr: TpmlPcrSelection::default(),
        };
        let answer: TpmCreatePrimaryResponse = self.device.run(&command, &[no_password()])?;
        let [handle] = answer.handles;
        self.loaded.push(handle);
        Ok(Loaded {
            handle,
            public: marshalled(&answer.out_public.inner)?,
        })
    }

    /// What is kept at an index; none if there is nothing.
    fn stored(&mut self, index: TpmHandle) -> Result<Option<Vec<u8>>, TpmFault> {
        let command = TpmNvReadPublicCommand { handles: [index] };
        let answer: TpmNvReadPublicResponse = self.device.run(&command, &[])?;
        let size = answer.nv_public.inner.data_size.value();
        if size > LONGEST_CERTIFICATE {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut offset = 0;
        while offset < size {
            let part = PART.min(size - offset);
            let command = TpmNvReadCommand {
                handles: [index, index],
                size: TpmUint16::new(part),
                offset: TpmUint16::new(offset),
            };
            let answer: TpmNvReadResponse = self.device.run(&command, &[no_password()])?;
            bytes.extend_from_slice(&answer.data);
            offset += part;
        }
        Ok(certificate(&bytes))
    }

    /// The values of the registers that are measured.
    fn registers(&mut self) -> Result<Vec<Vec<u8>>, TpmFault> {
        let mut values = Vec::new();
        // A TPM gives eight at once.
        for octet in 0..MEASURED.len() {
            let mut some = [0; 3];
            for (index, (to, from)) in some.iter_mut().zip(MEASURED).enumerate() {
                *to = if index == octet { from } else { 0 };
            }
            if some == [0; 3] {
                continue;
            }
            let command = TpmPcrReadCommand {
                pcr_selection_in: selection(some)?,
                handles: [],
            };
            let answer: TpmPcrReadResponse = self.device.run(&command, &[])?;
            values.extend(answer.pcr_values.iter().map(|value| value.to_vec()));
        }
        Ok(values)
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        for handle in std::mem::take(&mut self.loaded) {
            let command = TpmFlushContextCommand {
                handles: [],
                flush_handle: handle,
            };
            // What is not flushed here, the kernel flushes with the connection.
            drop(self.device.run::<_, TpmFlushContextResponse>(&command, &[]));
        }
    }
}

/// The certificate at the beginning: what follows it is padding.
fn certificate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    AnyRef::decode(&mut reader).ok()?.to_der().ok()
}

/// Registers of the bank of SHA-256.
fn selection(registers: [u8; 3]) -> Result<TpmlPcrSelection, TpmFault> {
    let mut selection = TpmlPcrSelection::default();
    selection.try_push(TpmsPcrSelection {
        hash: TpmAlgId::Sha256,
        pcr_select: TpmsPcrSelect::try_from(registers.as_slice())?,
    })?;
    Ok(selection)
}

fn statement(said: &TpmsAttest, signature: &TpmtSignature) -> Result<TpmStatement, TpmFault> {
    Ok(TpmStatement {
        said: marshalled(said)?,
        signature: marshalled(signature)?,
    })
}

/// The bytes of a structure, which are the same whoever writes them.
fn marshalled(structure: &impl TpmMarshal) -> Result<Vec<u8>, TpmFault> {
    let mut buffer = [0; LONGEST];
    let mut writer = TpmWriter::new(&mut buffer);
    structure.marshal(&mut writer)?;
    Ok(writer.as_bytes().to_vec())
}

fn handle(hierarchy: TpmRh) -> TpmHandle {
    TpmUint32::new(hierarchy.value())
}

/// The authorization by an empty password.
fn no_password() -> TpmsAuthCommand {
    authorized(handle(TpmRh::Pw))
}

/// The authorization by a session that holds no secret.
fn authorized(session: TpmHandle) -> TpmsAuthCommand {
    TpmsAuthCommand {
        session_handle: session,
        ..TpmsAuthCommand::default()
    }
}
