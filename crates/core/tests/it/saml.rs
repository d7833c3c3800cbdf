//! SAML assertions: hostile input 58 and what only looks like it.
//!
//! What a signature covers is told by a stand-in here, which cuts it out of documents that the
//! testkit writes in the form that is signed; `crates/server/tests/it/saml.rs` asks `xmlsec1`.

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::saml::{XmlFound, XmlSignature};
use avouch_core::crypto::AwsLc;
use avouch_core::id::{Digest, TenantId};
use avouch_core::model::federation::SamlAnchor;
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::{Assurance, Effect, Identity, Need, Verdict};
use avouch_core::view::View;
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::saml::{self, SamlForge, response, stand_in};
use avouch_testkit::saml_hostile::{
    AUDIENCE, ISSUER, RECIPIENT, SUBJECT, anchor, forge, good, hostile, key, near_misses,
};
use avouch_testkit::token::NOW_SECONDS;
use avouch_testkit::world::{Authority, pem};
use serde_json::{Value, json};

use crate::token_ask::outcome;

/// A question about a document, with what is trusted.
struct Ask {
    question: Question,
    anchor: Value,
}

impl Ask {
    fn about(document: impl Into<String>) -> Self {
        Self {
            question: Question {
                tenant: TenantId::local(),
                credential: Credential::Saml(document.into()),
                profile: Profile::Private,
                purpose: Purpose::Any,
                now: Time::from_unix(NOW_SECONDS),
                context: Context {
                    audiences: vec![AUDIENCE.to_owned()],
                    recipients: vec![RECIPIENT.to_owned()],
                    ..Context::default()
                },
            },
            anchor: anchor(),
        }
    }

    /// About an assertion that the identity provider has signed.
    fn of(forge: &SamlForge) -> Self {
        Self::about(response(&forge.sign(&key())))
    }

    fn under(mut self, member: &str, value: Value) -> Self {
        self.anchor[member] = value;
        self
    }

    fn at(mut self, seconds: i64) -> Self {
        self.question.now = Time::from_unix(NOW_SECONDS + seconds);
        self
    }

    fn answering(mut self, request: &str) -> Self {
        self.question.context.in_response_to = Some(request.to_owned());
        self
    }

    fn decide_once(&self) -> Verdict {
        let members = self.anchor.as_object().unwrap();
        let kind = AnchorKind::Saml(SamlAnchor::read_at("anchor", members).unwrap());
        let anchor = Anchor {
            name: "anchor".to_owned(),
            kind,
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: TenantId::local(),
            source: None,
        };
        let epoch = Digest::of(b"a view of a test");
        let view = View::new(
            TenantId::local(),
            vec![anchor],
            Vec::new(),
            Vec::new(),
            epoch,
        );
        avouch_core::decide(&self.question, &view, &AwsLc, &mut Budget::default())
    }

    /// Decides, telling what it needs to know as `tell` does.
    fn decide_told(&mut self, tell: impl Fn(&str) -> XmlFound) -> Verdict {
        let verdict = self.decide_once();
        let Verdict::Undetermined(needs) = &verdict else {
            return verdict;
        };
        for need in needs {
            if let Need::XmlSignature(wanted) = need {
                self.question.context.xml_signatures.push(XmlSignature {
                    of: wanted.digest(),
                    found: tell(&wanted.document),
                });
            }
        }
        self.decide_once()
    }

    fn decide(&mut self) -> Verdict {
        self.decide_told(told)
    }

    #[track_caller]
    fn is(mut self, expected: &str) {
        assert_eq!(outcome(&self.decide()), expected);
    }

    fn identity(mut self) -> Identity {
        match self.decide() {
            Verdict::Accept(sealed) => sealed.preview().clone(),
            other => panic!("not accepted: {}", outcome(&other)),
        }
    }
}

fn told(document: &str) -> XmlFound {
    match stand_in(document) {
        Some((signed_info, content)) => XmlFound::Held {
            signed_info,
            content,
        },
        None => XmlFound::NotHeld,
    }
}

#[test]
fn hostile_58_each_is_refused_for_its_own_reason() {
    for (name, document, code) in hostile() {
        assert_eq!(outcome(&Ask::about(document).decide()), code, "{name}");
    }
}

#[test]
fn hostile_58_what_only_looks_like_it_is_believed() {
    for (name, document) in near_misses() {
        assert_eq!(outcome(&Ask::about(document).decide()), "accept", "{name}");
    }
}

#[test]
fn an_assertion_says_who_someone_is_and_how_they_signed_in() {
    let rule = json!([{"name": "operators", "facts": {
        "claims.department": "ops", "saml.authn_context": "https://refeds.org/profile/mfa"
    }}]);
    let identity = Ask::about(good()).under("rules", rule).identity();
    assert_eq!(identity.name(), format!("{ISSUER}#{SUBJECT}"));
    assert_eq!(identity.facts()["claims.department"], "ops");
    assert_eq!(identity.assurance(), Assurance::Bearer);
    assert_eq!(identity.valid_until(), Time::from_unix(NOW_SECONDS + 299));
    let rule = json!([{"name": "others", "facts": {"claims.department": "sales"}}]);
    Ask::about(good())
        .under("rules", rule)
        .is("policy.rule_not_matched");
}

#[test]
fn an_attribute_is_asked_for_one_of_its_values_however_many_it_has() {
    let of = |values: &[&str]| {
        let values = values.join("</saml:AttributeValue><saml:AttributeValue>");
        forge().with(">ops<", &format!(">{values}<"))
    };
    let asks = |values: &[&str], matcher: Value| {
        let rule = json!([{"name": "operators", "facts": {"claims.department": matcher}}]);
        Ask::of(&of(values)).under("rules", rule)
    };
    let has = || json!({"has": "ops"});
    let identity = asks(&["dev", "ops"], has()).identity();
    let lists: Vec<_> = identity.lists().collect();
    assert_eq!(lists.len(), 1, "{lists:?}");
    assert!(lists[0].1.contains("dev"), "{lists:?}");
    assert!(!identity.facts().contains_key("claims.department"));
    // Who is in one group only is in it all the same, and is told as before.
    let identity = asks(&["ops"], has()).identity();
    assert_eq!(identity.facts()["claims.department"], "ops");
    assert_eq!(identity.lists().count(), 0);
    for (values, matcher) in [
        (&["dev", "ops"][..], json!("ops")),
        (&["dev", "ops"], json!(["dev", "ops"])),
        (&["dev", "ops"], json!({"pattern": "*"})),
        (&["dev", "Ops"], has()),
        (&["dev", "ops,dev"], has()),
        (&["dev", "ops", ""], has()),
        (&["dev"], has()),
    ] {
        asks(values, matcher).is("policy.rule_not_matched");
    }
}

#[test]
fn what_is_not_known_of_a_signature_is_asked_for_and_never_assumed() {
    let ask = Ask::about(good());
    let Verdict::Undetermined(needs) = ask.decide_once() else {
        panic!("decided without it");
    };
    assert!(matches!(needs.as_slice(), [Need::XmlSignature(_)]));
    let shown = format!("{needs:?} {}", needs[0].sentence());
    assert!(!shown.contains(SUBJECT), "{shown}");
}

/// The program in the other process can be mistaken or taken over: nothing it says is believed.
#[test]
fn a_program_that_lies_about_what_was_signed_is_found_out() {
    let signature = "federation.saml_signature_invalid";
    let content = "federation.saml_signed_content";
    let held = |signed_info: Vec<u8>, content: Vec<u8>| XmlFound::Held {
        signed_info,
        content,
    };
    let (info, signed) = stand_in(&good()).unwrap();
    let evil = String::from_utf8(signed.clone()).unwrap();
    let evil = evil.replace(SUBJECT, "admin").into_bytes();
    let (other_info, other) = stand_in(&forge().with(saml::ID, "_a2").sign(&key())).unwrap();
    let mallory = forge()
        .with(SUBJECT, "admin")
        .sign(&Key::rsa(RsaTestKey::B));
    let (evil_info, evil_signed) = stand_in(&mallory).unwrap();
    for (name, found, code) in [
        ("not held", XmlFound::NotHeld, signature),
        ("other content", held(info.clone(), evil), signature),
        (
            "content of Mallory",
            held(evil_info, evil_signed),
            signature,
        ),
        ("nothing", held(info.clone(), Vec::new()), content),
        (
            "another assertion",
            held(other_info, other.clone()),
            content,
        ),
        (
            "content of another assertion",
            held(info.clone(), other),
            signature,
        ),
        (
            "no SignedInfo",
            held(b"<a/>".to_vec(), signed.clone()),
            content,
        ),
        ("no text", held(vec![0xff], signed.clone()), content),
    ] {
        let verdict = Ask::about(good()).decide_told(|_| found.clone());
        assert_eq!(outcome(&verdict), code, "{name}");
    }
    let verdict = Ask::about(good()).decide_told(|_| held(info.clone(), signed.clone()));
    assert_eq!(outcome(&verdict), "accept");
    // What was found out about one key says nothing about another.
    let mut ask = Ask::about(good());
    ask.decide();
    let other = Authority::root_with("Other", Key::rsa(RsaTestKey::B), |forge| forge);
    let certificate = pem("CERTIFICATE", &other.certificate);
    ask.anchor["saml"]["certificates"] = json!([certificate]);
    assert_eq!(outcome(&ask.decide_once()), "undetermined");
}

/// "The Fragile Lock": a canonical form that fails and is taken for an empty text, whose digest the
/// identity provider was made to sign.
#[test]
fn hostile_58_nothing_signed_is_nothing_said() {
    Ask::of(&forge().with(saml::ID, saml::VOID)).is("federation.saml_signed_content");
}

/// What a reader does with names that stand for namespaces grows with their square, for each element.
#[test]
fn hostile_58_a_small_document_does_not_take_a_reader_long() {
    let prefixes: String = (0..6_000).map(|n| format!(" xmlns:p{n}='a:{n}'")).collect();
    let elements = "<a xmlns=''/>".repeat(6_000);
    Ask::about(format!("<a{prefixes}>{elements}</a>")).is("limit.input_size");
    let attributes: String = (0..20_000).map(|n| format!(" b{n}=''")).collect();
    Ask::about(format!("<a{attributes}/>")).is("limit.input_size");
}

/// Canonical XML is worked out before anyone knows who has signed, and what it takes grows with the
/// prefixes, the namespaces and the elements.
#[test]
fn hostile_58_few_prefixes_and_namespaces_are_worked_with() {
    let transform = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">";
    let keeps = |prefixes: &str| {
        format!(
            "<ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" \
             PrefixList=\"{prefixes}\"></ec:InclusiveNamespaces>"
        )
    };
    let with =
        |inside: &str| Ask::about(good().replace(transform, &format!("{transform}{inside}")));
    let list = |length: usize| {
        let names: Vec<String> = (0..length).map(|n| format!("p{n}")).collect();
        names.join(" ")
    };
    // It is another text than the one signed, and read to the end.
    for few in ["", "xs", &list(16), &format!("x{}", " ".repeat(255))] {
        with(&keeps(few)).is("federation.saml_signature_invalid");
    }
    let (long, many) = ("limit.input_size", "input.saml_malformed");
    for (prefixes, code) in [
        (list(17), many),
        (list(3_000), long),
        (format!("x{}", " ".repeat(256)), long),
    ] {
        with(&keeps(&prefixes)).is(code);
        let of_all = good().replacen(
            "</ds:CanonicalizationMethod>",
            &format!("{}</ds:CanonicalizationMethod>", keeps(&prefixes)),
            1,
        );
        Ask::about(of_all).is(code);
    }
    let twice = format!("{}{}", keeps("xs"), keeps("xs"));
    with(&twice).is("federation.saml_transform_forbidden");
    let declaring = |count: usize| {
        let spaces: String = (0..count)
            .map(|n| format!(" xmlns:p{n}=\"urn:{n}\""))
            .collect();
        Ask::about(good().replacen("<samlp:Status>", &format!("<samlp:Status{spaces}>"), 1))
    };
    // Beside these there is `samlp`.
    declaring(63).is("accept");
    declaring(64).is(many);
    // Near miss: many that are not known in the same place.
    let value = "<saml:AttributeValue>ops</saml:AttributeValue>";
    let typed = "<saml:AttributeValue xmlns:xs=\"http://www.w3.org/2001/XMLSchema\">ops\
                 </saml:AttributeValue>";
    Ask::of(&forge().with(value, &typed.repeat(120))).is("accept");
    // As two well-known identity providers write each value.
    let both = "<saml:AttributeValue xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
                xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                xsi:type=\"xs:string\">ops</saml:AttributeValue>";
    Ask::of(&forge().with(value, &both.repeat(300))).is("accept");
    Ask::of(&forge().with(value, &both.repeat(1_025))).is(long);
    // One name that is declared again and again is still searched for through all of them.
    let nested = |levels: usize| {
        let spaces = |level: usize| -> String {
            let declared = (0..16).map(|n| format!(" xmlns:p{n}=\"urn:{level}:{n}\""));
            declared.collect()
        };
        let open: String = (0..levels)
            .map(|level| format!("<a{}>", spaces(level)))
            .collect();
        let inside = format!("<samlp:Status>{open}{}", "</a>".repeat(levels));
        Ask::about(good().replacen("<samlp:Status>", &inside, 1))
    };
    nested(15).is("accept");
    nested(16).is(many);
    let names: String = (0..257)
        .map(|n| format!("<a xmlns:p{n}=\"urn:a\"/>"))
        .collect();
    let inside = format!("<samlp:Status>{names}");
    Ask::about(good().replacen("<samlp:Status>", &inside, 1)).is(long);
}

/// One confirmation that holds is enough (SAML Core 2.4.1).
#[test]
fn a_confirmation_that_cannot_be_used_stands_in_the_way_of_no_other() {
    let bearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
    let begins = "<saml:SubjectConfirmation ";
    let beside = |inside: &str| {
        let other = format!(
            "<saml:SubjectConfirmation Method=\"{bearer}\">{inside}</saml:SubjectConfirmation>{begins}"
        );
        Ask::of(&forge().with(begins, &other))
    };
    let named = format!("<saml:NameID>{SUBJECT}</saml:NameID>");
    let from = "<saml:SubjectConfirmationData NotBefore=\"2024-05-31T23:59:00Z\">\
                </saml:SubjectConfirmationData>";
    for unusable in ["", named.as_str(), from] {
        beside(unusable).is("accept");
    }
    // Alone it is none.
    let data = "<saml:SubjectConfirmationData ";
    let alone = forge().with(data, &format!("{named}{data}"));
    Ask::of(&alone).is("federation.saml_confirmation_unusable");
}

#[test]
fn hostile_58_names_are_compared_letter_by_letter() {
    let rules = json!([{"name": "operators", "facts": {
        "subject": "alice@example.com", "claims.department": "ops",
        "saml.authn_context": "https://refeds.org/profile/mfa",
    }}]);
    let of = |forge: SamlForge| Ask::of(&forge).under("rules", rules.clone());
    of(forge()).is("accept");
    for space in ["\u{a0}", "\u{3000}", "\u{2028}", "\u{85}", " ", "\n"] {
        for around in [format!("{SUBJECT}{space}"), format!("{space}{SUBJECT}")] {
            of(forge().with(SUBJECT, &around)).is("federation.saml_subject_unusable");
        }
    }
    for space in ["\u{a0}", "\u{3000}", " "] {
        let ops = format!(">ops{space}</saml:AttributeValue>");
        of(forge().with(">ops</saml:AttributeValue>", &ops)).is("policy.rule_not_matched");
        let class = format!("{space}https://refeds.org/profile/mfa");
        of(forge().with("https://refeds.org/profile/mfa", &class)).is("policy.rule_not_matched");
    }
    // Around what names a service there may be white space as documents are laid out, and no other.
    of(forge().with(AUDIENCE, &format!("\n  {AUDIENCE}\t"))).is("accept");
    let other = format!("{AUDIENCE}\u{a0}");
    of(forge().with(AUDIENCE, &other)).is("federation.audience_mismatch");
    for space in ["\u{2003}", " ", "\n"] {
        of(forge().with(ISSUER, &format!("{ISSUER}{space}"))).is("federation.issuer_unknown");
    }
}

/// SAML Profiles 4.1.4.2: whoever sends a response has issued what is in it.
#[test]
fn hostile_58_a_response_that_names_another_issuer_is_refused() {
    let sent_by = |issuer: &str| {
        let named = format!(
            "<saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">{issuer}</saml:Issuer>\
             <samlp:Status>"
        );
        Ask::about(good().replace("<samlp:Status>", &named))
    };
    sent_by(ISSUER).is("accept");
    for other in ["https://evil.example.com", &format!("{ISSUER} ")] {
        sent_by(other).is("input.saml_malformed");
    }
}

#[test]
fn hostile_58_an_assertion_is_for_one_service_at_one_address() {
    let other = "https://other.example.com/saml/acs";
    Ask::of(&forge().with(RECIPIENT, other)).is("federation.saml_recipient_mismatch");
    let prefix = format!("{RECIPIENT}/");
    Ask::of(&forge().with(RECIPIENT, &prefix)).is("federation.saml_recipient_mismatch");
    let audience = "https://other.example.com/saml/metadata";
    Ask::of(&forge().with(AUDIENCE, audience)).is("federation.audience_mismatch");
    let both = format!("{AUDIENCE}</saml:Audience><saml:Audience>{audience}");
    Ask::of(&forge().with(AUDIENCE, &both)).is("accept");
    let restricted = format!(
        "<saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience>\
         </saml:AudienceRestriction></saml:Conditions>"
    );
    Ask::of(&forge().with("</saml:Conditions>", &restricted)).is("federation.audience_mismatch");
    let nowhere = json!([other]);
    Ask::about(good())
        .under("recipients", nowhere)
        .is("policy.anchor_audience");
    Ask::about(good())
        .under("audiences", json!([audience]))
        .is("policy.anchor_audience");
    let mut nameless = Ask::about(good());
    nameless.question.context.recipients.clear();
    let verdict = nameless.decide();
    assert!(matches!(&verdict, Verdict::Undetermined(needs) if *needs == [Need::Recipient]));
    let mut nameless = Ask::about(good()).under("recipients", json!([RECIPIENT, other]));
    nameless.question.context.recipients.clear();
    nameless.is("accept");
}

#[test]
fn hostile_58_a_response_that_was_sent_elsewhere_is_refused() {
    let mismatch = "federation.saml_recipient_mismatch";
    let sent_to = |destination: &str| {
        let response = format!("<samlp:Response Destination=\"{destination}\" ");
        Ask::about(good().replace("<samlp:Response ", &response))
    };
    let other = "https://other.example.com/saml/acs";
    sent_to(RECIPIENT).is("accept");
    for elsewhere in [
        other,
        "",
        &format!("{RECIPIENT}/"),
        &RECIPIENT.to_uppercase(),
    ] {
        sent_to(elsewhere).is(mismatch);
    }
    // Each of two addresses of ours is one place: what came to one was not to be shown at the other.
    let mut both = sent_to(other);
    both.question.context.recipients.push(other.to_owned());
    both.is(mismatch);
    // Where nobody says where it came to, nothing can be told.
    let mut nameless = sent_to(other);
    nameless.question.context.recipients.clear();
    let verdict = nameless.decide();
    assert!(matches!(&verdict, Verdict::Undetermined(needs) if *needs == [Need::Recipient]));
}

#[test]
fn hostile_58_an_assertion_answers_what_was_asked_or_nothing() {
    let answers = |request: &str| {
        let data = format!("<saml:SubjectConfirmationData InResponseTo=\"{request}\" ");
        forge().with("<saml:SubjectConfirmationData ", &data)
    };
    let mismatch = "federation.saml_in_response_to_mismatch";
    Ask::of(&answers("_q1")).is(mismatch);
    Ask::of(&answers("_q1")).answering("_q1").is("accept");
    Ask::of(&answers("_q1")).answering("_q2").is(mismatch);
    Ask::of(&forge()).answering("_q1").is(mismatch);
    Ask::of(&answers("_q1"))
        .under("in_response_to", json!("any"))
        .is("accept");
    let any = Ask::of(&answers("_q1")).under("in_response_to", json!("any"));
    any.answering("_q2").is(mismatch);
    Ask::of(&forge())
        .under("in_response_to", json!("required"))
        .is(mismatch);
    let required = Ask::of(&answers("_q1")).under("in_response_to", json!("required"));
    required.answering("_q1").is("accept");
    // The response around it, which nobody need have signed, can only refuse.
    let outer = good().replace("<samlp:Response ", "<samlp:Response InResponseTo=\"_q1\" ");
    Ask::about(outer.clone()).is(mismatch);
    Ask::about(outer).answering("_q1").is(mismatch);
}

#[test]
fn an_assertion_holds_to_the_second() {
    Ask::about(good()).at(299).is("accept");
    Ask::about(good()).at(300).is("federation.token_expired");
    Ask::about(good()).at(-60).is("accept");
    Ask::about(good()).at(-61).is("federation.issued_in_future");
    let early = forge().with(
        "NotBefore=\"2024-05-31T23:59:00Z\"",
        "NotBefore=\"2024-06-01T00:02:00.5Z\"",
    );
    Ask::of(&early).at(60).is("federation.token_not_yet_valid");
    Ask::of(&early).at(61).is("accept");
    let session = forge().with(
        " SessionIndex=\"s1\"",
        " SessionIndex=\"s1\" SessionNotOnOrAfter=\"2024-06-01T00:01:00Z\"",
    );
    Ask::of(&session).at(59).is("accept");
    Ask::of(&session).at(60).is("federation.token_expired");
    let long = forge().with("2024-06-01T00:05:00Z", "2024-06-03T00:00:00Z");
    Ask::of(&long).is("federation.lifetime_excessive");
    Ask::of(&long)
        .under("max_lifetime", json!(200_000))
        .is("accept");
    let zoned = forge().with(
        "NotBefore=\"2024-05-31T23:59:00Z\"",
        "NotBefore=\"2024-05-31T23:59:00+00:00\"",
    );
    Ask::of(&zoned).is("input.saml_malformed");
}

#[test]
fn hostile_58_an_assertion_is_used_once() {
    let Verdict::Accept(sealed) = Ask::about(good()).decide() else {
        panic!("not accepted");
    };
    let expected = Effect::ConsumeNonce {
        scope: format!("assertion of {ISSUER}"),
        nonce: saml::ID.to_owned(),
        until: Time::from_unix(NOW_SECONDS + 360),
    };
    assert_eq!(sealed.effects(), [expected]);
}

#[test]
fn what_an_assertion_does_not_bound_is_refused() {
    let missing = "federation.saml_element_missing";
    let unusable = "federation.saml_confirmation_unusable";
    let audience = format!("<saml:Audience>{AUDIENCE}</saml:Audience>");
    Ask::of(&forge().with(&audience, "")).is(missing);
    let recipient = format!(" Recipient=\"{RECIPIENT}\"");
    Ask::of(&forge().with(&recipient, "")).is(unusable);
    let end = "NotOnOrAfter=\"2024-06-01T00:05:00Z\" Recipient";
    Ask::of(&forge().with(end, "Recipient")).is(unusable);
    let begin = format!("NotBefore=\"2024-05-31T23:00:00Z\" {end}");
    Ask::of(&forge().with(end, &begin)).is(unusable);
    Ask::of(&forge().with("cm:bearer", "cm:sender-vouches")).is(unusable);
    for element in ["NameID", "BaseID", "EncryptedID"] {
        let confirmed = "<saml:SubjectConfirmationData ";
        let proxy = format!("<saml:{element}>proxy</saml:{element}>{confirmed}");
        Ask::of(&forge().with(confirmed, &proxy)).is(unusable);
    }
    let condition = "<saml:Condition></saml:Condition></saml:Conditions>";
    let unknown = forge().with("</saml:Conditions>", condition);
    Ask::of(&unknown).is("federation.saml_condition_unknown");
}

#[test]
fn keys_come_from_metadata_that_may_still_be_used() {
    let authority = Authority::root_with("Example Identity Provider", key(), |forge| forge);
    let other = Authority::root_with("Next", Key::rsa(RsaTestKey::C), |forge| forge);
    let both = [
        other.certificate.as_slice(),
        authority.certificate.as_slice(),
    ];
    let with = |metadata: String| Ask::about(good()).under("saml", json!({ "metadata": metadata }));
    with(saml::metadata(ISSUER, &both, None)).is("accept");
    with(saml::metadata(ISSUER, &both, Some("2024-06-01T00:00:01Z"))).is("accept");
    let expired = saml::metadata(ISSUER, &both, Some("2024-06-01T00:00:00Z"));
    with(expired).is("federation.saml_metadata_expired");
    with(saml::metadata(ISSUER, &both[..1], None)).is("federation.saml_signature_invalid");
    with(saml::metadata("https://idp.example.com/other", &both, None))
        .is("federation.issuer_unknown");
    let identity = with(saml::metadata(ISSUER, &both, Some("2024-06-01T00:00:10Z"))).identity();
    assert_eq!(identity.valid_until(), Time::from_unix(NOW_SECONDS + 9));
    for wrong in [
        json!({"saml": {"metadata": "<a/>"}}),
        json!({"saml": {"entity_id": ISSUER}}),
        json!({"saml": {"entity_id": ISSUER, "certificates": []}}),
        json!({"saml": {"metadata": saml::metadata(ISSUER, &both, None), "key": "x"}}),
        json!({"saml": {"metadata": saml::metadata(ISSUER, &[], None)}}),
        json!({"saml": anchor()["saml"], "in_response_to": "perhaps"}),
        json!({"saml": anchor()["saml"], "recipient": RECIPIENT}),
        json!({"saml": anchor()["saml"], "rules": [{"facts": {"saml.authn": "x"}}]}),
    ] {
        assert!(
            SamlAnchor::read_at("anchor", wrong.as_object().unwrap()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn an_assertion_holds_no_longer_than_its_issuer_is_trusted_without_a_pin() {
    let until = |asked: Ask| asked.identity().valid_until().unix() - NOW_SECONDS;
    assert!(until(Ask::of(&forge())) > 30);
    let expires = Time::from_unix(NOW_SECONDS + 30).to_string();
    let unpinned = json!({"reason": "a pilot", "expires": expires});
    assert_eq!(until(Ask::of(&forge()).under("unpinned", unpinned)), 29);
}

/// SAML Core 2.5.1.6: it bounds whoever issues something on the word of the assertion, and nobody else.
#[test]
fn what_may_be_vouched_for_on_its_word_does_not_bound_who_believes_an_assertion() {
    let with = |restriction: &str| {
        let conditions = format!("{restriction}</saml:Conditions>");
        Ask::of(&forge().with("</saml:Conditions>", &conditions))
    };
    let audience = "<saml:Audience>https://other.test</saml:Audience>";
    for (restriction, expected) in [
        ("<saml:ProxyRestriction Count=\"0\"></saml:ProxyRestriction>".to_owned(), "accept"),
        (format!("<saml:ProxyRestriction>{audience}</saml:ProxyRestriction>"), "accept"),
        ("<saml:ProxyRestriction Count=\"-1\"></saml:ProxyRestriction>".to_owned(), "input.saml_malformed"),
        ("<saml:ProxyRestriction Count=\"\"></saml:ProxyRestriction>".to_owned(), "input.saml_malformed"),
        (
            "<saml:ProxyRestriction></saml:ProxyRestriction><saml:ProxyRestriction></saml:ProxyRestriction>".to_owned(),
            "input.saml_malformed",
        ),
        ("<saml:Condition></saml:Condition>".to_owned(), "federation.saml_condition_unknown"),
    ] {
        with(&restriction).is(expected);
    }
}
