//! What a certification request asks for beside its key: what would not be given is refused, what
//! promises nothing is passed over.

use avouch_core::id::SpiffeId;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::signing_request::SigningRequest;
use avouch_testkit::asn1;
use avouch_testkit::extension::{
    ANY_EXTENDED_KEY_USAGE, CLIENT_AUTH, CODE_SIGNING, Extension, KeyUsage, SERVER_AUTH,
    authority_key_id, basic_constraints, extended_key_usage, key_usage, subject_alternative_names,
    subject_key_id,
};
use avouch_testkit::key::Key;
use avouch_testkit::name::{GeneralName, Name};

const ID: &str = "spiffe://demo.avouch.test/api";

/// What is given to [`ID`] with the name `api.test`, for a request of these extensions.
fn given(extensions: &[Extension]) -> Result<PublicHalf, String> {
    let subject = Name::common_name("someone else");
    let der = Key::p256("a").signing_request_for(&subject, extensions);
    let given = SigningRequest::read(&der).and_then(|request| {
        request.for_svid(&SpiffeId::parse(ID).unwrap(), &["api.test".to_owned()])
    });
    given.map_err(|reason| format!("{}: {}", reason.code(), reason.sentence()))
}

fn names(names: &[GeneralName]) -> Extension {
    subject_alternative_names(names)
}

#[test]
fn a_request_may_ask_for_what_is_given_anyway() {
    let key = Key::p256("a");
    for extensions in [
        vec![],
        vec![names(&[GeneralName::uri(ID)])],
        vec![names(&[GeneralName::uri(ID), GeneralName::dns("API.test")])],
        vec![basic_constraints(false, None)],
        vec![key_usage(&[
            KeyUsage::DigitalSignature,
            KeyUsage::NonRepudiation,
            KeyUsage::KeyEncipherment,
            KeyUsage::KeyAgreement,
        ])],
        vec![extended_key_usage(&[SERVER_AUTH, CLIENT_AUTH])],
        vec![subject_key_id(&[7]), authority_key_id(&[8])],
    ] {
        let given = given(&extensions);
        assert_eq!(given.unwrap().info(), key.public_key_info());
    }
}

#[test]
fn a_request_for_more_than_is_given_is_refused() {
    for (extension, what) in [
        (
            names(&[
                GeneralName::uri(ID),
                GeneralName::uri("spiffe://demo.avouch.test/admin"),
            ]),
            "the URI spiffe://demo.avouch.test/admin",
        ),
        (
            names(&[GeneralName::uri("https://a.test/")]),
            "the URI https://a.test/",
        ),
        (
            names(&[GeneralName::dns("api.test"), GeneralName::dns("*.test")]),
            "the DNS name *.test",
        ),
        (names(&[GeneralName::ip("10.0.0.7")]), "an IP address"),
        (
            names(&[GeneralName::email("a@api.test")]),
            "an address of mail",
        ),
        (
            names(&[GeneralName::RegisteredId("1.2.3".to_owned())]),
            "a name of another kind",
        ),
        (basic_constraints(true, None), "to be a CA"),
        (
            key_usage(&[KeyUsage::DigitalSignature, KeyUsage::KeyCertSign]),
            "the key usage KeyCertSign",
        ),
        (
            extended_key_usage(&[CLIENT_AUTH, CODE_SIGNING]),
            "the extended key usage 1.3.6.1.5.5.7.3.3",
        ),
        (
            extended_key_usage(&[ANY_EXTENDED_KEY_USAGE]),
            "the extended key usage 2.5.29.37.0",
        ),
        (
            Extension::raw("1.2.3.4", asn1::null()),
            "the extension 1.2.3.4",
        ),
    ] {
        let wanted = format!(
            "issue.request_refused: The certification request asks for {what}, which is not given to {ID}."
        );
        assert_eq!(given(&[extension]).unwrap_err(), wanted);
    }
}

#[test]
fn an_extension_that_cannot_be_read_is_refused() {
    for oid in ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"] {
        let refused = given(&[Extension::raw(oid, b"none".to_vec())]).unwrap_err();
        assert!(refused.starts_with("issue.request_malformed"), "{refused}");
    }
}
