//! Who calls the server itself with what was given for the word of an issuer: believed no longer than anybody
//! else would believe it, and an administrator only where that issuer makes administrators.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use avouch_testkit::key::Key;
use avouch_testkit::world::pem;

use super::bound::Secured;
use super::{Cloud, OURSELVES, exchange_form, rule, token};
use crate::http::{Answer, request, send};
use crate::secured::HOST;
use crate::tls::{Caller, Identity, root};

const ID: &str = "spiffe://one.test/ci/74/deploy";
const X509: &str = "urn:avouch:params:token-type:x509-svid";
const RULES: &str = "/v1/tenants/one/rules";

/// A deployment in which a workflow becomes an administrator, whose tokens are for the server.
fn administered() -> Secured {
    let secured = Secured::new();
    let cloud = &secured.cloud;
    let server = cloud.world.plane.server_id().to_string();
    let mut rule = rule();
    rule["gives"]["audiences"] = json!([server]);
    rule["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &rule);
    let role = json!({"subject": ID, "role": "administrator"});
    let put = cloud.manage("PUT", "/v1/tenants/one/admins/workflow", &role);
    assert!(put.is_put(), "{}", put.body);
    secured
}

fn given(cloud: &Cloud) -> String {
    token(&cloud.send(&exchange_form(&cloud.workflow(&json!({})), &[]), &[]))
}

/// A certificate that was given for the token of a workflow.
fn certificate(cloud: &Cloud) -> Identity {
    let key = Key::ed25519("workflow");
    let asked = pem("CERTIFICATE REQUEST", &crate::world::signing_request(&key));
    let asked = [
        ("requested_token_type", X509),
        ("certificate_request", asked.as_str()),
    ];
    let workflow = cloud.workflow(&json!({}));
    let chain = token(&cloud.send(&exchange_form(&workflow, &asked), &[]));
    let blocks = chain.split("-----END CERTIFICATE-----");
    let blocks = blocks.filter_map(|block| block.split_once("-----BEGIN CERTIFICATE-----"));
    let chain = blocks.map(|(_, block)| Base64::decode_vec(&block.replace('\n', "")).unwrap());
    Identity {
        chain: chain.collect(),
        key,
    }
}

fn call(cloud: &Cloud, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let body = body.map(Value::to_string);
    let bytes = request(method, path, &headers, body.as_deref());
    send(cloud.world.address, &bytes)
}

fn call_showing(secured: &Secured, identity: &Identity, path: &str) -> Answer {
    let caller = Caller::believing(&root("Web")).showing(identity.clone());
    caller.send(secured.address, HOST, &request("GET", path, &[], None))
}

fn bound(cloud: &Cloud, at_most: &Value) {
    let mut anchor = cloud.github_anchor();
    anchor["grants_at_most"] = at_most.clone();
    cloud.anchor("github", &anchor);
}

#[test]
fn what_descends_from_an_issuer_in_quarantine_calls_nobody_here_either() {
    let secured = administered();
    let cloud = &secured.cloud;
    let receiver = json!({"subject": ID, "audience": "https://workflow.test"});
    let put = cloud.manage("PUT", "/v1/tenants/one/receivers/workflow", &receiver);
    assert!(put.is_put(), "{}", put.body);
    let (token, certificate) = (given(cloud), certificate(cloud));
    assert_eq!(call(cloud, &token, "GET", RULES, None).status, 200);
    assert_eq!(call_showing(&secured, &certificate, RULES).status, 200);
    assert_eq!(
        call(cloud, &token, "GET", "/t/one/ssf/streams", None).status,
        200
    );
    let mut issuer = cloud.github_anchor();
    issuer["audiences"] = json!([OURSELVES]);
    let put = cloud.manage("PUT", "/v1/tenants/one/issuers/gh", &issuer);
    assert!(put.status < 300, "{}", put.body);
    let cause = json!({"reason": "its key may be stolen"});
    let path = "/v1/tenants/one/issuers/gh/quarantine";
    assert!(cloud.manage("POST", path, &cause).status < 300);
    let release = json!({"accept_new_keys": true});
    for (method, path, body) in [
        ("GET", RULES, None),
        ("POST", "/v1/tenants/one/issuers/gh/release", Some(&release)),
        ("GET", "/t/one/ssf/streams", None),
        ("GET", "/t/one/egress/none/v1", None),
        ("POST", "/t/one/decide", Some(&release)),
    ] {
        let refused = call(cloud, &token, method, path, body);
        let told = (refused.status, refused.code());
        assert_eq!(
            told,
            (401, "federation.issuer_quarantined".to_owned()),
            "{method} {path}"
        );
    }
    let refused = call_showing(&secured, &certificate, RULES);
    assert_eq!(refused.status, 401, "{}", refused.body);
    // Whoever was given nothing for anyone's word calls as before, and releases it.
    assert_eq!(cloud.manage("GET", RULES, &json!({})).status, 200);
}

#[test]
fn nobody_administers_through_an_issuer_that_may_not_however_long_they_have_what_was_given() {
    let secured = administered();
    let cloud = &secured.cloud;
    let (token, certificate) = (given(cloud), certificate(cloud));
    let unrelated = cloud.world.svid("spiffe://one.test/unrelated");
    let role = json!({"subject": "spiffe://one.test/unrelated", "role": "auditor"});
    let put = cloud.manage("PUT", "/v1/tenants/one/admins/unrelated", &role);
    assert!(put.is_put(), "{}", put.body);
    bound(cloud, &json!({"administers": false}));
    let exceeded = (400, "issue.bound_exceeded".to_owned());
    for (method, path) in [("GET", RULES), ("DELETE", "/v1/tenants/one/rules/deploy")] {
        let refused = call(cloud, &token, method, path, None);
        assert_eq!((refused.status, refused.code()), exceeded, "{method}");
    }
    let refused = call_showing(&secured, &certificate, RULES);
    assert_eq!((refused.status, refused.code()), exceeded);
    assert_eq!(call_showing(&secured, &unrelated, RULES).status, 200);
    // Tenants are listed for who has a role there, and somebody without one learns of none.
    let listed = call(cloud, &token, "GET", "/v1/tenants", None).json();
    assert_eq!(listed["tenants"], json!([]), "{listed}");
    let foreign = call(cloud, &token, "GET", "/v1/tenants/two/rules", None);
    assert_eq!(foreign.code(), "issue.object_unknown");
    // Under another name the issuer binds no less.
    let removed = cloud.manage("DELETE", "/v1/tenants/one/rules/deploy", &json!({}));
    assert_eq!(removed.status, 204, "{}", removed.body);
    let removed = cloud.manage("DELETE", "/v1/tenants/one/anchors/github", &json!({}));
    assert_eq!(removed.status, 204, "{}", removed.body);
    let mut renamed = cloud.github_anchor();
    renamed["grants_at_most"] = json!({"administers": false});
    cloud.anchor("renamed", &renamed);
    assert_eq!(call(cloud, &token, "GET", RULES, None).code(), exceeded.1);
    renamed["grants_at_most"] = json!({"administers": true});
    cloud.anchor("renamed", &renamed);
    assert_eq!(call(cloud, &token, "GET", RULES, None).status, 200);
    assert_eq!(call_showing(&secured, &certificate, RULES).status, 200);
}
