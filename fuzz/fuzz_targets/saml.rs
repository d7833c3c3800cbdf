//! SAML documents: one that has a signature as it is, one that has none with the signature that
//! fits it; and the same text as metadata.

#![no_main]

use std::sync::{Arc, OnceLock};

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::saml::{XmlFound, XmlSignature};
use avouch_core::decide;
use avouch_core::id::{Digest, TenantId};
use avouch_core::model::federation::SamlAnchor;
use avouch_core::question::Profile;
use avouch_core::verdict::{Need, Verdict};
use avouch_core::view::View;
use avouch_fuzz::{LaxVerifier, check, check_reason, fixtures};
use avouch_testkit::key::Key;
use avouch_testkit::saml::{SamlForge, stand_in};
use avouch_testkit::saml_hostile::{AUDIENCE, RECIPIENT, anchor};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let metadata = json!({"saml": {"metadata": text}});
    let members = metadata.as_object().expect("it is an object");
    if let Err(reason) = SamlAnchor::read_at("anchor", members) {
        check_reason(&reason);
    }
    let document = if text.contains("<ds:Signature ") {
        text.to_owned()
    } else {
        SamlForge::saying(text).sign(&Key::ed25519("fuzz"))
    };
    let credential = Credential::Saml(document);
    let mut question = fixtures::question(credential, Profile::Private, Vec::new());
    question.context.audiences = vec![AUDIENCE.to_owned()];
    question.context.recipients = vec![RECIPIENT.to_owned()];
    let lax = LaxVerifier::default();
    let verdict = decide(&question, view(), &lax, &mut Budget::default());
    if let Verdict::Undetermined(needs) = verdict {
        let facts = needs.iter().filter_map(told);
        question.context.xml_signatures = facts.collect();
    }
    check(&question, view(), fixtures::limits());
});

/// Believed where a signature is as long as it must be, since the verifier walks past it.
fn view() -> &'static View {
    static VIEW: OnceLock<Arc<View>> = OnceLock::new();
    VIEW.get_or_init(|| {
        let anchor = anchor();
        let members = anchor.as_object().expect("it is an object");
        let kind = SamlAnchor::read_at("anchor", members).expect("it is an anchor");
        let anchor = Anchor {
            name: "anchor".to_owned(),
            kind: AnchorKind::Saml(kind),
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: TenantId::local(),
            source: None,
        };
        let epoch = Digest::of(b"fuzz");
        let (crls, unusable) = (Vec::new(), Vec::new());
        Arc::new(View::new(
            TenantId::local(),
            vec![anchor],
            crls,
            unusable,
            epoch,
        ))
    })
}

fn told(need: &Need) -> Option<XmlSignature> {
    let Need::XmlSignature(wanted) = need else {
        return None;
    };
    let found = match stand_in(&wanted.document) {
        Some((signed_info, content)) => XmlFound::Held {
            signed_info,
            content,
        },
        None => XmlFound::NotHeld,
    };
    Some(XmlSignature {
        of: wanted.digest(),
        found,
    })
}
