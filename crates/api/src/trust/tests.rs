//! Trust documents, good and wrong.

use super::*;

const ROOT: &str = "-----BEGIN CERTIFICATE-----
MIIBJzCB2qADAgECAhBlcVJ3haO7RkbacG/kys+MMAUGAytlcDAUMRIwEAYDVQQD
DAlDb3JwIFJvb3QwHhcNMjQwMTAxMDAwMDAwWhcNMzQwMTAxMDAwMDAwWjAUMRIw
EAYDVQQDDAlDb3JwIFJvb3QwKjAFBgMrZXADIQD+Y6/gQ9j5oR7R+6Jl/EvySUt3
RUMrCv7m1O9EgvTUBqNCMEAwHQYDVR0OBBYEFHeD7I2N51wR9tes5UopoNoaUysW
MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMAUGAytlcANBAC9mXd8N
SH9VglJ/f75VyY9VL+Hmg94M5SWzNytbfp/ZJFryRvNbf7Rg2Hii0ga65e7NSKbI
55gnzL57uTNvAwY=
-----END CERTIFICATE-----
";

fn read(text: &str) -> Result<TrustDocument, Reason> {
    TrustDocument::read(text.as_bytes(), &TenantId::local(), "trust.yaml")
}

/// Why the only anchor of a document was set aside.
fn set_aside(anchor: &str) -> String {
    let document = read(&format!("{{\"anchors\": [{anchor}]}}")).unwrap();
    assert!(document.entries().is_empty(), "{anchor} is trusted");
    assert_eq!(document.set_aside().count(), 1);
    document.set_aside().kept()[0].reason.sentence()
}

fn with_root(members: &str) -> String {
    format!("{{\"x509\": {}, {members}}}", Value::from(ROOT))
}

#[test]
fn several_certificates_in_one_text_are_several_anchors_with_one_owner() {
    let anchor = serde_json::json!({"x509": ROOT.repeat(2), "owner": "mia"});
    let document = read(&serde_json::json!({"anchors": [anchor]}).to_string()).unwrap();
    let owners: Vec<_> = document
        .entries()
        .iter()
        .map(|entry| entry.anchor.stewardship.owner.as_deref())
        .collect();
    assert_eq!(owners, [Some("mia"), Some("mia")]);
}

#[test]
fn an_anchor_that_is_wrong_in_part_is_not_trusted_at_all() {
    for (anchor, part) in [
        (
            with_root(r#""ownr": "mia""#),
            "`anchors[0].ownr` is not a member",
        ),
        (
            with_root(r#""expires": "soon""#),
            "`anchors[0].expires` must be a time",
        ),
        (
            with_root(r#""expires": 5"#),
            "`anchors[0].expires` must be a string, not a number",
        ),
        (
            with_root(r#""tenant": "A B""#),
            "`anchors[0].tenant` must be",
        ),
        (
            with_root(r#""constraints": {"dns": []}"#),
            "`anchors[0].constraints.dns` is an empty list",
        ),
        (
            with_root(r#""constraints": {"dns": "*.a.example"}"#),
            "must name domains",
        ),
        (
            with_root(r#""constraints": {"dns": ".a.example"}"#),
            "must name domains",
        ),
        (
            with_root(r#""constraints": {"trust_domains": "A"}"#),
            "no trust domain",
        ),
        (
            with_root(r#""constraints": {"purposes": "servers"}"#),
            "must be one of",
        ),
        (
            with_root(r#""constraints": {"path_length": -1}"#),
            "must be a whole number",
        ),
        (
            with_root(r#""constraints": {"path_len": 1}"#),
            "`anchors[0].constraints.path_len`",
        ),
        (
            with_root(r#""issuer": "https://a.example""#),
            "both `x509` and `issuer`",
        ),
        (r#"{"name": "nothing"}"#.to_owned(), "says nothing to trust"),
        (
            r#"{"pin": "x"}"#.to_owned(),
            "`anchors[0].pin` is known by name",
        ),
        (
            r#"{"introducer": "x", "amount": 120}"#.to_owned(),
            "introducer` is known by name",
        ),
        (
            r#"{"trust_domain": "a.example"}"#.to_owned(),
            "`anchors[0].bundle` is missing",
        ),
        (
            r#"{"x509": 5}"#.to_owned(),
            "`anchors[0].x509` must be a string",
        ),
        (
            r#""x""#.to_owned(),
            "`anchors[0]` must be an object, not a string",
        ),
    ] {
        let sentence = set_aside(&anchor);
        assert!(sentence.contains(part), "{anchor}: {sentence}");
    }
}

#[test]
fn a_certificate_in_base64_alone_is_a_trust_document() {
    let base64: String = ROOT
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let wrapped = ROOT.lines().filter(|line| !line.starts_with("-----"));
    let wrapped: String = wrapped.map(|line| format!("{line}\n")).collect();
    for text in [&base64, &wrapped] {
        let read = read(text).unwrap();
        let [entry] = read.entries() else {
            panic!("{:?}", read.set_aside());
        };
        assert!(matches!(entry.anchor.kind, AnchorKind::Certificate(_)));
    }
    let cut = base64.get(..base64.len() - 4).unwrap();
    assert!(
        read(cut)
            .unwrap_err()
            .sentence()
            .contains("neither a certificate")
    );
}

/// As a verdict shows an anchor that does not say more of itself.
#[test]
fn what_only_describes_an_anchor_may_be_null() {
    let described = r#""name": null, "owner": null, "reason": null, "added": null,
                       "key_origin": null, "store": null"#;
    let document = format!(r#"{{"anchors": [{}]}}"#, with_root(described));
    let read = read(&document).unwrap();
    let [entry] = read.entries() else {
        panic!("{:?}", read.set_aside());
    };
    assert_eq!(entry.anchor.stewardship, Stewardship::default());
}

#[test]
fn null_is_never_a_bound_that_is_not_there() {
    for member in ["constraints", "expires", "grants_at_most", "tenant"] {
        let sentence = set_aside(&with_root(&format!(r#""{member}": null"#)));
        assert!(sentence.contains(member), "{sentence}");
    }
    for member in ["dns", "trust_domains", "purposes", "status_lists"] {
        let sentence = set_aside(&with_root(&format!(
            r#""constraints": {{"{member}": null}}"#
        )));
        assert!(sentence.contains("null"), "{sentence}");
    }
    let sentence = set_aside(r#"{"x509": null}"#);
    assert!(
        sentence.contains("`anchors[0].x509` must be a string, not null"),
        "{sentence}"
    );
    for member in ["rules", "audiences", "jwks"] {
        let anchor = format!(r#"{{"issuer": "https://a.example", "{member}": null}}"#);
        assert!(!set_aside(&anchor).is_empty());
    }
    for member in ["crls", "ended", "status_lists"] {
        let document = format!(r#"{{"anchors": [], "{member}": null}}"#);
        assert!(read(&document).is_err(), "{member}");
    }
}

#[test]
fn a_wrong_member_is_named_by_its_place_in_the_document() {
    let issuer = |member: &str| format!(r#"{{"issuer": "https://a.example", {member}}}"#);
    for (anchor, place) in [
        (issuer(r#""rules": 7"#), "`anchors[0].rules` must be"),
        (
            issuer(r#""algorithms": ["HS256"]"#),
            "`anchors[0].algorithms` names `HS256`",
        ),
        (
            issuer(r#""max_lifetime": 99999999"#),
            "`anchors[0].max_lifetime` is over",
        ),
        (
            issuer(r#""fetched_under": "AAAA""#),
            "`anchors[0].fetched_under` cannot be read",
        ),
        (
            issuer(r#""audience": ["a"]"#),
            "`anchors[0]` has no member `audience`",
        ),
        (
            r#"{"api_key": {"sha256": "00", "subject": "a"}}"#.to_owned(),
            "`anchors[0].api_key.sha256` must be",
        ),
        (
            r#"{"api_key": "00"}"#.to_owned(),
            "`anchors[0].api_key` must be an object",
        ),
    ] {
        let sentence = set_aside(&anchor);
        assert!(sentence.contains(place), "{sentence}");
    }
}

#[test]
fn of_very_many_pieces_that_are_no_anchors_the_first_are_told_and_the_others_counted() {
    let document = read(&format!("{{\"anchors\": [{}{{}}]}}", "{},".repeat(19_999))).unwrap();
    let set_aside = document.set_aside();
    assert_eq!(set_aside.count(), 20_000);
    assert_eq!(set_aside.kept().len(), SetAside::KEPT_MAX);
    assert_eq!(set_aside.kept()[0].what, "anchors[0]");
    let view = TrustDocument::view(TenantId::local(), vec![document.clone(), document]);
    assert_eq!(view.set_aside().count(), 40_000);
    assert_eq!(view.set_aside().kept().len(), SetAside::KEPT_MAX);
}

#[test]
fn what_is_set_aside_of_an_anchor_that_is_refused_whole_is_not_counted_twice() {
    let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".repeat(40);
    let anchor = serde_json::json!({"x509": wrong, "reason": 7});
    let document = read(&serde_json::json!({"anchors": [anchor, anchor]}).to_string()).unwrap();
    assert_eq!(document.set_aside().count(), 2);
}

#[test]
fn one_wrong_certificate_of_several_is_set_aside_alone() {
    let store = format!("{ROOT}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let document = read(&store).unwrap();
    assert_eq!(
        (document.entries().len(), document.set_aside().count()),
        (1, 1)
    );
    assert!(
        document.set_aside().kept()[0].what.contains("number 2"),
        "{document:?}"
    );
}

#[test]
fn certificates_in_another_form_are_refused_with_how_to_take_them_out() {
    let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    for (label, fix) in [
        ("PKCS7", "`openssl pkcs7 -print_certs`"),
        ("CMS", "`openssl pkcs7 -print_certs`"),
        ("TRUSTED CERTIFICATE", "`openssl x509`"),
    ] {
        let sentence = read(&block(label)).unwrap_err().sentence();
        assert!(sentence.contains(fix), "{sentence}");
        let anchor = serde_json::json!({"x509": block(label)}).to_string();
        let sentence = set_aside(&anchor);
        assert!(sentence.contains(fix), "{sentence}");
    }
    // Signed data of nothing, in the lengths that a bundle may have; its end is never looked at.
    let name = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    for length in [&[0x0b][..], &[0x81, 0x0b], &[0x82, 0, 0x0b], &[0x80]] {
        let der = [&[0x30], length, &name].concat();
        let reason = TrustDocument::read(&der, &TenantId::local(), "certs.p7b").unwrap_err();
        let sentence = reason.sentence();
        assert!(
            sentence.contains("`openssl pkcs7 -inform der -print_certs`"),
            "{sentence}"
        );
    }
}

#[test]
fn a_trust_domain_may_be_called_by_its_spiffe_id() {
    let anchor = |name: &str| {
        let bundle = serde_json::json!({"keys": []});
        serde_json::json!({"trust_domain": name, "bundle": bundle}).to_string()
    };
    let document = |name: &str| read(&format!("{{\"anchors\": [{}]}}", anchor(name))).unwrap();
    for same in ["ex.org", "spiffe://ex.org", "SPIFFE://ex.org"] {
        let read = document(same);
        let [entry] = read.entries() else {
            panic!("{same}: {read:?}");
        };
        assert_eq!(entry.anchor.name, "ex.org", "{same}");
    }
    for (other, why) in [
        ("spiffe://ex.org/web", "it must have no path"),
        ("spiffe://ex.org/", "its path ends in `/`"),
        ("spiffe://ex.org:8443", "it has a port"),
        ("https://ex.org", "it does not begin with `spiffe://`"),
        ("ex.org:8443", "it has a port"),
        ("ex:org", "characters other than"),
    ] {
        let sentence = set_aside(&anchor(other));
        assert!(sentence.contains(why), "{other}: {sentence}");
    }
}

#[test]
fn a_revocation_list_that_cannot_be_read_refuses_the_document() {
    let reason = read(r#"{"anchors": [], "crls": ["AAAA"]}"#).unwrap_err();
    assert_eq!(reason.code(), "input.crl_malformed");
    let store = format!("{ROOT}-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    assert_eq!(read(&store).unwrap_err().code(), "input.crl_malformed");
}

#[test]
fn yaml_and_json_of_the_same_content_are_the_same_anchors() {
    let digest = "0a".repeat(32);
    let yaml = format!("anchors:\n- api_key: {{sha256: {digest}, subject: a}}\n  owner: mia\n");
    let json = format!(
        r#"{{"anchors": [{{"owner": "mia", "api_key": {{"sha256": "{digest}", "subject": "a"}}}}]}}"#
    );
    let (yaml, json) = (read(&yaml).unwrap(), read(&json).unwrap());
    assert_eq!(yaml.entries().len(), 1);
    assert_eq!(yaml.entries()[0].members, json.entries()[0].members);
    assert_eq!(
        yaml.entries()[0].anchor.stewardship,
        json.entries()[0].anchor.stewardship
    );
}

#[test]
fn hostile_nesting_is_refused_and_not_walked() {
    let deep = format!("anchors: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(&deep).unwrap_err().sentence().contains("64 levels"));
    let bomb = "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n\
        c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n\
        e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\nanchors: [*f,*f]\n";
    assert!(
        read(bomb)
            .unwrap_err()
            .sentence()
            .contains("repetition limit")
    );
}

#[test]
fn a_view_is_named_by_what_it_was_read_from() {
    let epoch =
        |text: &str| TrustDocument::view(TenantId::local(), vec![read(text).unwrap()]).epoch();
    assert_eq!(epoch(ROOT), epoch(ROOT));
    assert_ne!(epoch(ROOT), epoch(&ROOT.repeat(2)));
}

#[test]
fn keys_that_do_not_say_whose_they_are_are_told_how_they_are_trusted() {
    let refused = TrustDocument::read(br#"{"keys": []}"#, &TenantId::local(), "file").unwrap_err();
    assert_eq!(refused.code(), "input.trust_document_malformed");
    assert!(
        refused.sentence().contains("trust_domain"),
        "{}",
        refused.sentence()
    );
}
