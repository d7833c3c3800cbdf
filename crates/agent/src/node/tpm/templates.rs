//! What a TPM makes its keys of. The same template gives the same key, for as long as nobody gives
//! the TPM another seed, so that no key has to be kept anywhere.

use tpm2_protocol::TpmResult;
use tpm2_protocol::basic::TpmUint16;
use tpm2_protocol::data::{
    Tpm2bDigest, Tpm2bEccParameter, Tpm2bPublicKeyRsa, TpmAlgId, TpmEccCurve, TpmaObject,
    TpmsEccParms, TpmsEccPoint, TpmsRsaParms, TpmsSchemeHash, TpmtEccScheme, TpmtPublic,
    TpmtSymDefObject, TpmuAsymScheme, TpmuPublicId, TpmuPublicParms, TpmuSymKeyBits, TpmuSymMode,
};

/// `PolicySecret` of the endorsement hierarchy, by which an endorsement key is used (EK Credential
/// Profile B.3.3).
const ENDORSEMENT_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// What sets our attestation key apart from those of others.
const ATTESTATION: &[u8; 32] = b"avouch node attestation key\0\0\0\0\0";

/// The kinds of endorsement keys that are certified by everyone who makes TPMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndorsementKind {
    /// ECC on P-256 (template L-2).
    P256,
    /// RSA with 2048 bits (template L-1).
    Rsa2048,
}

/// The templates L-1 and L-2 (EK Credential Profile B.3.3, B.3.4).
pub(super) fn endorsement(kind: EndorsementKind) -> TpmResult<TpmtPublic> {
    let symmetric = TpmtSymDefObject {
        algorithm: TpmAlgId::Aes,
        key_bits: TpmuSymKeyBits::Aes(TpmUint16::new(128)),
        mode: TpmuSymMode::Aes(TpmAlgId::Cfb),
    };
    let (object_type, parameters, unique) = match kind {
        EndorsementKind::P256 => {
            let parameters = TpmsEccParms {
                symmetric,
                curve_id: TpmEccCurve::NistP256,
                ..TpmsEccParms::default()
            };
            let unique = TpmsEccPoint {
                x: Tpm2bEccParameter::try_from([0; 32].as_slice())?,
                y: Tpm2bEccParameter::try_from([0; 32].as_slice())?,
            };
            let parameters = TpmuPublicParms::Ecc(parameters);
            (TpmAlgId::Ecc, parameters, TpmuPublicId::Ecc(unique))
        }
        EndorsementKind::Rsa2048 => {
            let parameters = TpmsRsaParms {
                symmetric,
                key_bits: TpmUint16::new(2048),
                ..TpmsRsaParms::default()
            };
            let unique = Tpm2bPublicKeyRsa::try_from([0; 256].as_slice())?;
            let parameters = TpmuPublicParms::Rsa(parameters);
            (TpmAlgId::Rsa, parameters, TpmuPublicId::Rsa(unique))
        }
    };
    Ok(TpmtPublic {
        object_type,
        name_alg: TpmAlgId::Sha256,
        object_attributes: of_this_tpm()
            | TpmaObject::ADMIN_WITH_POLICY
            | TpmaObject::RESTRICTED
            | TpmaObject::DECRYPT,
        auth_policy: Tpm2bDigest::try_from(ENDORSEMENT_POLICY.as_slice())?,
        parameters,
        unique,
    })
}

/// A key that signs what the TPM says, and nothing else.
pub(super) fn attestation() -> TpmResult<TpmtPublic> {
    signing(TpmaObject::RESTRICTED, ATTESTATION)
}

/// A key that signs for the node, another one for each number.
pub(super) fn node(unique: &[u8; 32]) -> TpmResult<TpmtPublic> {
    signing(TpmaObject::empty(), unique)
}

fn signing(also: TpmaObject, unique: &[u8; 32]) -> TpmResult<TpmtPublic> {
    let scheme = TpmtEccScheme {
        scheme: TpmAlgId::Ecdsa,
        details: TpmuAsymScheme::Hash(TpmsSchemeHash {
            hash_alg: TpmAlgId::Sha256,
        }),
    };
    let parameters = TpmsEccParms {
        symmetric: TpmtSymDefObject {
            algorithm: TpmAlgId::Null,
            ..TpmtSymDefObject::default()
        },
        scheme,
        curve_id: TpmEccCurve::NistP256,
        ..TpmsEccParms::default()
    };
    Ok(TpmtPublic {
        object_type: TpmAlgId::Ecc,
        name_alg: TpmAlgId::Sha256,
        // Nobody is locked out of a key that needs no password.
        object_attributes: of_this_tpm()
            | TpmaObject::USER_WITH_AUTH
            | TpmaObject::NO_DA
            | TpmaObject::SIGN_ENCRYPT
            | also,
        auth_policy: Tpm2bDigest::default(),
        parameters: TpmuPublicParms::Ecc(parameters),
        unique: TpmuPublicId::Ecc(TpmsEccPoint {
            x: Tpm2bEccParameter::try_from(unique.as_slice())?,
            y: Tpm2bEccParameter::default(),
        }),
    })
}

/// It was made by this TPM, and never leaves it.
fn of_this_tpm() -> TpmaObject {
    TpmaObject::FIXED_TPM | TpmaObject::FIXED_PARENT | TpmaObject::SENSITIVE_DATA_ORIGIN
}
