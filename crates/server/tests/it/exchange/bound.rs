//! What is bound to a certificate, certificates that are exchanged, and clients that show one.

use std::net::SocketAddr;

use serde_json::{Value, json};

use avouch_core::id::Digest;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::key::Key;
use avouch_testkit::token::encode;
use avouch_testkit::world::pem;

use super::proofs::{again, for_ourselves};
use super::{
    ACCESS_TOKEN, CLOUD, Cloud, OURSELVES, claims, exchange_form, form, public, refusal, token,
};
use crate::http::{Answer, request};
use crate::secured::{HOST, web};
use crate::tls::{Caller, Identity, root};

const X509: &str = "urn:avouch:params:token-type:x509-svid";

/// A cloud that speaks TLS, too.
pub(super) struct Secured {
    pub(super) cloud: Cloud,
    pub(super) address: SocketAddr,
}

impl Secured {
    pub(super) fn new() -> Self {
        let cloud = Cloud::new();
        let (address, _) = web(&cloud.world);
        Self { cloud, address }
    }

    fn svid(&self, name: &str) -> Identity {
        self.cloud.world.svid(&format!("spiffe://one.test/{name}"))
    }

    /// Sends a form over a connection on which this is shown.
    pub(super) fn send_as(
        &self,
        shown: Option<&Identity>,
        form: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut caller = Caller::believing(&root("Web"));
        if let Some(shown) = shown {
            caller = caller.showing(shown.clone());
        }
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        let bytes = request("POST", "/t/one/token", &all, Some(form));
        caller.send(self.address, HOST, &bytes)
    }
}

fn thumbprint_of(identity: &Identity) -> String {
    encode(Digest::of(&identity.chain[0]).as_bytes())
}

fn chain_in_pem(identity: &Identity) -> String {
    let blocks = identity.chain.iter().map(|der| pem("CERTIFICATE", der));
    blocks.collect()
}

#[test]
fn hostile_54_a_token_that_is_bound_to_a_certificate_is_nothing_on_another_connection() {
    let secured = Secured::new();
    let cloud = &secured.cloud;
    cloud.rule("deploy", &for_ourselves());
    cloud.rule("again", &again());
    let (own, other) = (secured.svid("runner"), secured.svid("thief"));
    let bound = || {
        let form = exchange_form(&cloud.workflow(&json!({})), &[]);
        let bound = token(&secured.send_as(Some(&own), &form, &[]));
        assert_eq!(
            claims(&bound)["cnf"],
            json!({"x5t#S256": thumbprint_of(&own)})
        );
        exchange_form(&bound, &[])
    };
    // Of another, of nobody, and of nobody who says in a header who they would be.
    let refused = |shown: Option<&Identity>, headers: &[(&str, &str)]| {
        let refused = secured.send_as(shown, &bound(), headers);
        assert_eq!(
            refusal(&refused).1,
            "federation.proof_missing",
            "{headers:?}"
        );
    };
    refused(Some(&other), &[]);
    refused(None, &[]);
    let leaf = pem("CERTIFICATE", &own.chain[0]).replace('\n', "%0A");
    let hash = Digest::of(&own.chain[0]).to_string();
    let envoy = format!("Hash={hash};Cert=\"{leaf}\"");
    for spoofed in [
        ("x-forwarded-client-cert", envoy.as_str()),
        ("x-ssl-client-cert", leaf.as_str()),
        ("ssl-client-cert", leaf.as_str()),
        ("client-cert", leaf.as_str()),
        ("x-amzn-mtls-clientcert", leaf.as_str()),
    ] {
        refused(None, &[spoofed]);
        refused(Some(&other), &[spoofed]);
        let plain = cloud.send(&bound(), &[spoofed]);
        assert_eq!(refusal(&plain).1, "federation.proof_missing");
    }
    // A proof of another kind is a proof of another key.
    let proof = cloud.signed_proof();
    refused(Some(&own), &[("dpop", &proof)]);
    // The near miss: its own connection, and what comes of it is bound to the same.
    let second = token(&secured.send_as(Some(&own), &bound(), &[]));
    assert_eq!(claims(&second)["sub"], "spiffe://one.test/db/writer");
    assert_eq!(claims(&second)["cnf"]["x5t#S256"], thumbprint_of(&own));
    // Nothing is said of a key that was not proved.
    let unproved = secured.send_as(None, &exchange_form(&cloud.workflow(&json!({})), &[]), &[]);
    assert_eq!(refusal(&unproved).1, "issue.proof_required");
}

#[test]
fn hostile_54_an_access_token_says_to_which_certificate_it_is_bound() {
    let secured = Secured::new();
    let own = secured.svid("runner");
    let asked = [("requested_token_type", ACCESS_TOKEN)];
    let form = exchange_form(&secured.cloud.workflow(&json!({})), &asked);
    let answer = secured.send_as(Some(&own), &form, &[]);
    let access = claims(&token(&answer));
    // RFC 8705 3: it is presented as a bearer token is, by its holder.
    assert_eq!(answer.json()["token_type"], "Bearer");
    assert_eq!(access["cnf"]["x5t#S256"], thumbprint_of(&own));
}

fn of_workloads(path: &str, kinds: &Value) -> Value {
    json!({
        "from": {"trust_domain": "one.test", "facts": {"spiffe.path": path}},
        "gives": {
            "spiffe_id": "spiffe://one.test/db/reader", "audiences": [CLOUD], "kinds": kinds,
            "outlives": false,
        },
        "owner": "o", "reason": "r",
    })
}

#[test]
fn a_certificate_is_exchanged_by_who_proves_to_have_its_key() {
    let secured = Secured::new();
    let cloud = &secured.cloud;
    cloud.rule("workloads", &of_workloads("/web", &json!(["jwt-svid"])));
    let (own, other) = (secured.svid("web"), secured.svid("other"));
    let subject = |identity: &Identity| {
        exchange_form(&chain_in_pem(identity), &[("subject_token_type", X509)])
    };
    let proof_by = |key: &Key| cloud.proof().header("jwk", public(key)).sign_nameless(key);
    let proved = |of: &Identity, by: &Key| {
        let proof = proof_by(by);
        cloud.send(&subject(of), &[("dpop", &proof)])
    };
    let svid = claims(&token(&proved(&own, &own.key)));
    assert_eq!(svid["sub"], "spiffe://one.test/db/reader");
    assert_eq!(svid["lineage"][0]["anchor"], "one.test");
    // By its connection as well, and as often as it is proved anew.
    token(&secured.send_as(Some(&own), &subject(&own), &[]));
    token(&proved(&own, &own.key));
    // Not by another's key or connection, nor by none: certificates are public.
    for refused in [
        proved(&own, &cloud.holder),
        proved(&own, &other.key),
        secured.send_as(Some(&other), &subject(&own), &[]),
        secured.send_as(None, &subject(&own), &[]),
        cloud.send(&subject(&own), &[]),
    ] {
        assert_eq!(refusal(&refused).1, "issue.proof_invalid", "{refused:?}");
    }
    let once = proof_by(&own.key);
    token(&cloud.send(&subject(&own), &[("dpop", &once)]));
    let again = cloud.send(&subject(&own), &[("dpop", &once)]);
    assert_eq!(refusal(&again).1, "issue.token_used");
    // Another identity of the tenant, one of a stranger, and what is no certificate.
    assert_eq!(
        refusal(&proved(&other, &other.key)).1,
        "issue.exchange_not_admitted"
    );
    let stranger = Key::ed25519("stranger");
    let forge = CertificateForge::svid("spiffe://one.test/web", &stranger);
    let forged = Identity {
        chain: vec![root("Elsewhere").issue(forge)],
        key: stranger,
    };
    assert_eq!(refusal(&proved(&forged, &forged.key)).0, "invalid_request");
    let nothing = exchange_form("x", &[("subject_token_type", X509)]);
    let refused = cloud.send(&nothing, &[("dpop", &proof_by(&own.key))]);
    assert_eq!(refusal(&refused).0, "invalid_request");
    // A revoked one proves nothing.
    let id = json!({"spiffe_id": "spiffe://one.test/web"});
    let path = "/v1/tenants/one/revoke-certificates";
    let revoked = cloud.manage("POST", path, &id);
    assert_eq!(revoked.status, 200, "{}", revoked.body);
    assert_eq!(refusal(&proved(&own, &own.key)).1, "revocation.revoked");
}

#[test]
fn a_client_shows_who_it_is_by_the_certificate_of_its_connection() {
    let secured = Secured::new();
    let cloud = &secured.cloud;
    cloud.rule("batch", &of_workloads("/batch", &json!(["access-token"])));
    let own = secured.svid("batch");
    let ask = form(&[("grant_type", "client_credentials")]);
    let access = claims(&token(&secured.send_as(Some(&own), &ask, &[])));
    assert_eq!(access["sub"], "spiffe://one.test/db/reader");
    assert_eq!(access["client_id"], "spiffe://one.test/batch");
    assert_eq!(access["cnf"]["x5t#S256"], thumbprint_of(&own));
    let denied = (
        "invalid_client".into(),
        "issue.client_not_authenticated".into(),
    );
    let leaf = pem("CERTIFICATE", &own.chain[0]).replace('\n', " ");
    let spoofed = [("x-forwarded-client-cert", leaf.as_str())];
    for (what, refused) in [
        ("nobody", secured.send_as(None, &ask, &[])),
        ("a header", secured.send_as(None, &ask, &spoofed)),
        ("no connection of its own", cloud.send(&ask, &spoofed)),
    ] {
        assert_eq!(refusal(&refused), denied, "{what}");
        assert_eq!(refused.status, 401);
    }
    let stranger = Key::ed25519("stranger");
    let forge = CertificateForge::svid("spiffe://one.test/batch", &stranger);
    let forged = Identity {
        chain: vec![root("Elsewhere").issue(forge)],
        key: stranger,
    };
    assert_eq!(refusal(&secured.send_as(Some(&forged), &ask, &[])), denied);
    let other = secured.svid("other");
    let refused = secured.send_as(Some(&other), &ask, &[]);
    assert_eq!(refusal(&refused).1, "issue.exchange_not_admitted");
    // RFC 8705 2: it names itself, or nobody; another is not asked for whose certificate this is.
    let naming = |id: &str| form(&[("grant_type", "client_credentials"), ("client_id", id)]);
    token(&secured.send_as(Some(&own), &naming("spiffe://one.test/batch"), &[]));
    let refused = secured.send_as(Some(&own), &naming("spiffe://one.test/other"), &[]);
    assert_eq!(refusal(&refused), denied);
    // A page that has a browser send the form says which page it is, and then nobody has asked.
    let page = [("origin", "https://evil.test")];
    let refused = secured.send_as(Some(&own), &ask, &page);
    assert_eq!(refusal(&refused), denied);
    assert_eq!(
        claims(&token(&secured.send_as(Some(&own), &ask, &[])))["iss"],
        OURSELVES
    );
}

/// What is exchanged for the server itself is bound like everything else, and still of use there.
#[test]
fn hostile_54_a_bound_token_opens_the_server_for_who_proves_its_key_and_nobody_else() {
    let secured = Secured::new();
    let cloud = &secured.cloud;
    let server = cloud.world.plane.server_id().to_string();
    let mut rule = super::rule();
    rule["gives"]["audiences"] = json!([server]);
    rule["gives"]["spiffe_id"] = json!("spiffe://one.test/remote");
    cloud.rule("deploy", &rule);
    let auditor = json!({"subject": "spiffe://one.test/remote", "role": "auditor"});
    let put = cloud.manage("PUT", "/v1/tenants/one/admins/remote", &auditor);
    assert!(put.is_put(), "{}", put.body);
    let path = "/v1/tenants/one/rules";
    let bound = token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let proof = |changed: &[(&str, Value)]| {
        let mut forge = cloud
            .proof()
            .claim("htm", json!("GET"))
            .claim("htu", json!(format!("http://127.0.0.1:8080{path}")))
            .claim("ath", json!(avouch_testkit::token::hash(&bound)));
        for (name, value) in changed {
            forge = forge.claim(name, value.clone());
        }
        forge.sign_nameless(&cloud.holder)
    };
    let call = |scheme: &str, proofs: &[&str]| {
        let shown = format!("{scheme} {bound}");
        let mut headers = vec![("authorization", shown.as_str())];
        headers.extend(proofs.iter().map(|proof| ("dpop", *proof)));
        crate::http::send(cloud.world.address, &request("GET", path, &headers, None))
    };
    let once = proof(&[]);
    assert_eq!(call("DPoP", &[&once]).status, 200);
    let refused = |scheme: &str, proofs: &[&str], code: &str| {
        let refused = call(scheme, proofs);
        assert_eq!((refused.status, refused.code().as_str()), (401, code));
    };
    refused("DPoP", &[&once], "issue.token_used");
    refused("Bearer", &[], "federation.proof_missing");
    refused("Bearer", &[&proof(&[])], "federation.proof_missing");
    refused("DPoP", &[], "issue.proof_invalid");
    for changed in [
        ("htm", json!("PUT")),
        ("htu", json!(format!("{OURSELVES}/ssf/streams"))),
        ("ath", json!("x")),
    ] {
        refused("DPoP", &[&proof(&[changed])], "issue.proof_invalid");
    }
    // To a certificate: on its own connection, and on no other.
    let (own, other) = (secured.svid("runner"), secured.svid("thief"));
    let form = exchange_form(&cloud.workflow(&json!({})), &[]);
    let bound = token(&secured.send_as(Some(&own), &form, &[]));
    let on = |shown: Option<&Identity>| {
        let mut caller = Caller::believing(&root("Web"));
        if let Some(shown) = shown {
            caller = caller.showing(shown.clone());
        }
        let bearer = format!("Bearer {bound}");
        let bytes = request("GET", path, &[("authorization", &bearer)], None);
        caller.send(secured.address, HOST, &bytes).status
    };
    assert_eq!(
        (on(Some(&own)), on(Some(&other)), on(None)),
        (200, 401, 401)
    );
}
