//! What other people's programs had a TPM make: `tpm2-tools` 5.4 with `swtpm` 0.7.

use super::*;
use crate::crypto::{AwsLc, KeyKind};
use crate::id::{Digest, hex};

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("vectors/", $name)).as_slice()
    };
}

fn area(bytes: &[u8]) -> PublicArea {
    PublicArea::parse(bytes).unwrap()
}

#[test]
fn keys_are_read_as_the_tpm_names_them() {
    let attestation = area(vector!("attestation_key"));
    assert_eq!(attestation.key().kind(), KeyKind::P256);
    assert_eq!(
        hex(attestation.name()),
        "000bdab2bfcf83fcf22504aff1bf573a29edbd397fab2fb2caba07519e2f47269d66"
    );
    assert_eq!(attestation.unfit(Role::Attestation), None);
    let of_rsa = area(vector!("attestation_key_rsa"));
    assert_eq!(of_rsa.key().kind(), KeyKind::Rsa(2048));
    assert_eq!(
        hex(of_rsa.name()),
        "000ba4b82fed1863325475c97dba86b869589e370472a9ed736992e6916e7a605f4c"
    );
    for endorsement in [vector!("endorsement_key"), vector!("endorsement_key_p256")] {
        assert_eq!(area(endorsement).unfit(Role::Endorsement), None);
    }
    assert_eq!(area(vector!("node_key")).unfit(Role::Signing), None);
}

#[test]
fn a_key_has_one_role() {
    let (endorsement, attestation) = (vector!("endorsement_key"), vector!("attestation_key"));
    assert!(area(endorsement).unfit(Role::Attestation).is_some());
    assert!(area(endorsement).unfit(Role::Signing).is_some());
    assert!(area(attestation).unfit(Role::Endorsement).is_some());
    assert!(area(vector!("node_key")).unfit(Role::Attestation).is_some());
    // Without any one of its attributes it is fit for nothing: may not leave, was made there, is
    // restricted, signs.
    for bit in [1, 4, 5, 16, 18] {
        let mut bytes = attestation.to_vec();
        bytes[7 - bit / 8] ^= 1 << (bit % 8);
        assert!(area(&bytes).unfit(Role::Attestation).is_some(), "{bit}");
    }
}

#[test]
fn what_a_tpm_signs_is_read_with_its_key_alone() {
    let key = area(vector!("attestation_key"));
    let read = |said: &[u8], signature: &[u8]| Statement::read(said, signature, key.key(), &AwsLc);
    let (quote, signature) = (vector!("quote"), vector!("quote_signature"));
    let said = read(quote, signature).unwrap();
    assert_eq!(said.nonce, [0x00, 0x11, 0x22, 0x33]);
    assert_eq!(said.firmware, 0x2019_1023_0016_3636);
    let zero = Digest::from_bytes([0; 32]);
    let digest = registers_digest(&[zero; 3]);
    let about = About::Registers {
        numbers: [0, 1, 7].into(),
        digest: digest.as_bytes().to_vec(),
    };
    assert_eq!(said.about, about);
    let (certified, certifying) = (vector!("certified"), vector!("certified_signature"));
    let about = About::Key {
        name: area(vector!("node_key")).name().to_vec(),
    };
    assert_eq!(read(certified, certifying).unwrap().about, about);
    let other = area(vector!("attestation_key_rsa"));
    let (of_rsa, signing) = (vector!("quote_rsa"), vector!("quote_rsa_signature"));
    let said = Statement::read(of_rsa, signing, other.key(), &AwsLc).unwrap();
    assert!(matches!(said.about, About::Registers { numbers, .. } if numbers.contains(&23)));

    let not_signed = Err(StatementProblem::NotSigned);
    assert_eq!(read(quote, certifying), not_signed);
    assert_eq!(read(of_rsa, signing), not_signed);
    for index in 0..quote.len() {
        let mut changed = quote.to_vec();
        changed[index] ^= 1;
        assert_eq!(read(&changed, signature), not_signed, "{index}");
    }
}

#[test]
fn what_is_cut_or_followed_is_no_structure() {
    let key = area(vector!("attestation_key"));
    let (quote, signature) = (vector!("quote"), vector!("quote_signature"));
    for whole in [vector!("attestation_key"), vector!("endorsement_key")] {
        for end in 0..whole.len() {
            assert!(PublicArea::parse(&whole[..end]).is_err(), "{end}");
        }
        assert!(PublicArea::parse(&[whole, &[0]].concat()).is_err());
    }
    assert!(PublicArea::parse(&[0; LONGEST_STRUCTURE + 1]).is_err());
    for end in 0..signature.len() {
        assert!(Statement::read(quote, &signature[..end], key.key(), &AwsLc).is_err());
    }
    let longer = [signature, &[0]].concat();
    assert!(Statement::read(quote, &longer, key.key(), &AwsLc).is_err());
}
