//! The messages of each profile, made of what a workload holds.

use std::collections::BTreeMap;

use avouch_api::grpc::workload::{
    JwtBundlesResponse, Jwtsvid, JwtsvidResponse, ValidateJwtsvidResponse, WitBundlesResponse,
    Witsvid, WitsvidResponse, X509BundlesResponse, X509svid, X509svidResponse,
};
use avouch_core::id::TrustDomain;
use prost::Message;
use prost_types::value::Kind;
use serde_json::{Map, Value};

use crate::identities::{Entitled, Hint, JwtSvid, ValidJwt, WitEntitled, keep_first};
use crate::message::{LONGEST, fitting};

/// What one streaming method shows of all that a workload holds.
pub(crate) struct Profile<E, M> {
    /// The name of the method.
    pub(crate) method: &'static str,
    /// Whether it shows any difference between two states.
    pub(crate) differ: fn(&E, &E) -> bool,
    /// The message that shows a state.
    pub(crate) render: fn(&E) -> M,
}

/// SPIFFE Workload API 5.2.1.
pub(crate) const X509_SVIDS: Profile<Entitled, X509svidResponse> = Profile {
    method: "FetchX509SVID",
    differ: |a, b| a.x509_svids() != b.x509_svids() || x509_bundles_differ(a, b),
    render: x509_svids,
};

/// SPIFFE Workload API 5.2.2.
pub(crate) const X509_BUNDLES: Profile<Entitled, X509BundlesResponse> = Profile {
    method: "FetchX509Bundles",
    differ: x509_bundles_differ,
    render: |entitled| X509BundlesResponse {
        crl: crls(entitled),
        bundles: x509_bundles(entitled, |_| true),
    },
};

/// SPIFFE Workload API 6.2.2.
pub(crate) const JWT_BUNDLES: Profile<Entitled, JwtBundlesResponse> = Profile {
    method: "FetchJWTBundles",
    differ: |a, b| a.jwt_bundles() != b.jwt_bundles(),
    render: |entitled| JwtBundlesResponse {
        bundles: entitled
            .jwt_bundles()
            .iter()
            .map(|(name, bundle)| (id_of(name), bundle.as_json().as_bytes().to_vec()))
            .collect(),
    },
};

/// SPIFFE Workload API 7.2.1.
pub(crate) const WIT_SVIDS: Profile<WitEntitled, WitsvidResponse> = Profile {
    method: "FetchWITSVID",
    differ: |a, b| a.svids() != b.svids(),
    render: |entitled| {
        let svids = entitled.svids().iter().map(|svid| {
            let shown = Witsvid {
                spiffe_id: svid.spiffe_id.to_string(),
                wit_svid: svid.token.expose().to_owned(),
                wit_svid_key: svid.private_key.expose().to_owned(),
                hint: text(svid.hint.as_ref()),
            };
            (entitled.tenant_of(svid.spiffe_id.trust_domain()), shown)
        });
        WitsvidResponse {
            svids: fitting(svids.collect(), LONGEST),
        }
    },
};

/// SPIFFE Workload API 7.2.2.
pub(crate) const WIT_BUNDLES: Profile<WitEntitled, WitBundlesResponse> = Profile {
    method: "FetchWITBundles",
    differ: |a, b| a.bundles() != b.bundles(),
    render: |entitled| {
        let bundles = entitled.bundles().iter();
        WitBundlesResponse {
            bundles: bundles
                .map(|(name, bundle)| (id_of(name), bundle.as_json().to_owned()))
                .collect(),
        }
    },
};

/// SPIFFE Workload API 6.2.1.
pub(crate) fn jwt_svids(mut svids: Vec<JwtSvid>) -> JwtsvidResponse {
    keep_first(svids.iter_mut().map(|svid| &mut svid.hint));
    let svids = svids.into_iter().map(|svid| {
        let shown = Jwtsvid {
            spiffe_id: svid.spiffe_id.to_string(),
            svid: svid.token.expose().to_owned(),
            hint: text(svid.hint.as_ref()),
        };
        (svid.tenant, shown)
    });
    JwtsvidResponse {
        svids: fitting(svids.collect(), LONGEST),
    }
}

/// SPIFFE Workload API 6.2.3.
pub(crate) fn valid_jwt(valid: ValidJwt) -> ValidateJwtsvidResponse {
    ValidateJwtsvidResponse {
        spiffe_id: valid.spiffe_id.to_string(),
        claims: Some(structure(valid.claims)),
    }
}

fn x509_svids(entitled: &Entitled) -> X509svidResponse {
    let own = |name: &TrustDomain| {
        let mut svids = entitled.x509_svids().iter();
        svids.any(|svid| svid.spiffe_id.trust_domain() == name)
    };
    let svids = entitled.x509_svids().iter().map(|svid| {
        let trust_domain = svid.spiffe_id.trust_domain();
        let bundle = entitled.x509_bundles().get(trust_domain);
        let shown = X509svid {
            spiffe_id: svid.spiffe_id.to_string(),
            x509_svid: [svid.certificate.as_slice(), &svid.intermediates.concat()].concat(),
            x509_svid_key: svid.private_key.expose().to_vec(),
            bundle: bundle.map(|bundle| bundle.concat()).unwrap_or_default(),
            hint: text(svid.hint.as_ref()),
        };
        (entitled.tenant_of(trust_domain), shown)
    });
    let mut response = X509svidResponse {
        svids: Vec::new(),
        crl: crls(entitled),
        federated_bundles: x509_bundles(entitled, |name| !own(name)),
    };
    let room = LONGEST.saturating_sub(response.encoded_len());
    response.svids = fitting(svids.collect(), room);
    response
}

fn crls(entitled: &Entitled) -> Vec<Vec<u8>> {
    entitled.crls().values().flatten().cloned().collect()
}

fn x509_bundles(
    entitled: &Entitled,
    shown: impl Fn(&TrustDomain) -> bool,
) -> BTreeMap<String, Vec<u8>> {
    let bundles = entitled.x509_roots();
    bundles
        .filter(|(name, _)| shown(name))
        .map(|(name, bundle)| (id_of(name), bundle.concat()))
        .collect()
}

fn x509_bundles_differ(a: &Entitled, b: &Entitled) -> bool {
    (a.x509_bundles(), a.crls()) != (b.x509_bundles(), b.crls())
}

/// Bundles are keyed by the SPIFFE ID of their trust domain.
fn id_of(trust_domain: &TrustDomain) -> String {
    format!("spiffe://{trust_domain}")
}

fn text(hint: Option<&Hint>) -> String {
    hint.map(|hint| hint.as_str().to_owned())
        .unwrap_or_default()
}

fn structure(object: Map<String, Value>) -> prost_types::Struct {
    let fields = object.into_iter().map(|(name, value)| (name, claim(value)));
    prost_types::Struct {
        fields: fields.collect(),
    }
}

/// A number becomes a double, as in every `google.protobuf.Value`.
fn claim(value: Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => Kind::ListValue(prost_types::ListValue {
            values: values.into_iter().map(claim).collect(),
        }),
        Value::Object(object) => Kind::StructValue(structure(object)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use avouch_core::id::{SpiffeId, TenantId};
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;
    use crate::identities::{JwtBundle, PrivateKey, Tenants, X509Svid};

    fn domain(name: &str) -> TrustDomain {
        TrustDomain::parse(name).unwrap()
    }

    fn svid(id: &str) -> X509Svid {
        X509Svid {
            spiffe_id: SpiffeId::parse(id).unwrap(),
            certificate: vec![1; 500],
            intermediates: Vec::new(),
            private_key: PrivateKey::from_pkcs8(Zeroizing::new(vec![2; 100])),
            hint: None,
        }
    }

    #[test]
    fn lists_and_bundles_that_are_too_long_take_nothing_from_other_tenants() {
        let (demo, flood) = (domain("demo.test"), domain("flood.test"));
        let foreign = |number| domain(&format!("foreign{number}.test"));
        let ids = ["spiffe://flood.test/a", "spiffe://demo.test/b"];
        let mut x509 = BTreeMap::from([(demo.clone(), vec![vec![3; 900]])]);
        x509.insert(flood.clone(), vec![vec![4; 900]]);
        x509.extend((0..8).map(|number| (foreign(number), vec![vec![5; 1 << 19]])));
        let keys = |name: &TrustDomain| {
            let keys = JwtBundle::from_spiffe_bundle(name, r#"{"keys":[]}"#).unwrap();
            (name.clone(), keys)
        };
        let jwt = BTreeMap::from([keys(&demo), keys(&flood)]);
        let lists = BTreeMap::from([
            (demo.clone(), vec![vec![6; 1_000]]),
            (flood.clone(), vec![vec![7; 5 << 20]]),
        ]);
        let of_flood = (0..8).map(foreign).chain([flood]);
        let of_flood = of_flood.map(|name| (name, TenantId::parse("flood").unwrap()));
        let mut tenants: Tenants = of_flood.collect();
        tenants.insert(demo, TenantId::parse("demo").unwrap());
        let svids = ids.iter().map(|id| svid(id)).collect();
        let entitled = Entitled::new(svids, x509, lists, jwt, tenants).unwrap();

        let shown = (X509_SVIDS.render)(&entitled);
        assert!(shown.encoded_len() <= LONGEST);
        let given: Vec<&str> = shown.svids.iter().map(|one| &*one.spiffe_id).collect();
        assert_eq!(given, ids);
        assert_eq!(shown.crl, [vec![6; 1_000]]);
        let shown = (X509_BUNDLES.render)(&entitled);
        assert!(shown.encoded_len() <= LONGEST);
        for own in ["spiffe://demo.test", "spiffe://flood.test"] {
            assert!(shown.bundles.contains_key(own), "{own}");
        }
        assert_eq!(shown.crl, [vec![6; 1_000]]);
    }

    #[test]
    fn an_identity_whose_own_bundle_is_too_long_goes_alone() {
        let (demo, flood) = (domain("demo.test"), domain("flood.test"));
        let x509 = BTreeMap::from([
            (demo.clone(), vec![vec![3; 900]]),
            (flood.clone(), vec![vec![4; 5 << 20]]),
        ]);
        let keys = JwtBundle::from_spiffe_bundle(&demo, r#"{"keys":[]}"#).unwrap();
        let jwt = BTreeMap::from([(demo, keys.clone()), (flood, keys)]);
        let svids = vec![svid("spiffe://flood.test/a"), svid("spiffe://demo.test/b")];
        let entitled = Entitled::new(svids, x509, BTreeMap::new(), jwt, Tenants::new()).unwrap();
        let shown = (X509_SVIDS.render)(&entitled);
        assert_eq!(shown.svids.len(), 1);
        assert_eq!(shown.svids[0].spiffe_id, "spiffe://demo.test/b");
    }

    #[test]
    fn a_claim_keeps_its_type() {
        let kinds = [
            (json!(null), Kind::NullValue(0)),
            (json!(true), Kind::BoolValue(true)),
            (json!(1_700_000_000), Kind::NumberValue(1.7e9)),
            (json!("text"), Kind::StringValue("text".to_owned())),
        ];
        for (value, kind) in kinds {
            assert_eq!(claim(value).kind, Some(kind));
        }
        let Some(Kind::ListValue(list)) = claim(json!([1, {"a": "b"}])).kind else {
            panic!("a list stays a list");
        };
        assert_eq!(list.values.len(), 2);
        assert_eq!(list.values[1], claim(json!({"a": "b"})));
    }
}
