//! The secrets of a workload as Envoy knows them, by the names that SPIRE gave them.

use std::collections::BTreeSet;

use avouch_api::grpc::envoy::config::core::v3::data_source::Specifier;
use avouch_api::grpc::envoy::config::core::v3::node::UserAgentVersionType;
use avouch_api::grpc::envoy::config::core::v3::{DataSource, Node, TypedExtensionConfig};
use avouch_api::grpc::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use avouch_api::grpc::envoy::extensions::transport_sockets::tls::v3::spiffe_cert_validator_config::TrustDomain as CheckedTrustDomain;
use avouch_api::grpc::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, SpiffeCertValidatorConfig, TlsCertificate,
};
use avouch_core::id::TrustDomain;
use der::pem::{self, LineEnding};
use prost::Message;
use prost_types::Any;
use prost_types::value::Kind;
use zeroize::Zeroizing;

use crate::identities::{Entitled, X509Svid};

/// The type of all resources here.
pub(crate) const SECRET_TYPE: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// The type of the configuration of [`VALIDATOR`].
const VALIDATOR_TYPE: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";

/// Envoy's extension that checks X.509-SVIDs.
const VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";

/// The default identity.
const DEFAULT: &str = "default";

/// The bundle of the trust domain of the default identity.
const DEFAULT_BUNDLE: &str = "ROOTCA";

/// The bundles of all trust domains.
const ALL_BUNDLES: &str = "ALL";

/// What says in the metadata of a proxy that its peers are not to be checked by [`VALIDATOR`].
const WITHOUT_VALIDATOR: &str = "disable_spiffe_cert_validation";

/// Which secrets a proxy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All there are.
    All,
    /// Those with these names.
    Named(BTreeSet<String>),
}

/// How a proxy can check the peers of one trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// By Envoy's extension for X.509-SVIDs, which lets a trust domain vouch only for its own.
    Svids,
    /// By CA certificates alone: whoever they issued to may be anyone, of any trust domain.
    Roots,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoSecrets {
    /// Nothing has these names.
    Unknown(Vec<String>),
    /// A bug of ours, or a certificate of more bytes than can be counted.
    Unwritable(pem::Error),
}

impl Wanted {
    pub(crate) fn of(names: Vec<String>) -> Self {
        let names: BTreeSet<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Self::All;
        }
        Self::Named(names)
    }
}

impl Checks {
    /// What a proxy can do, by what it says of itself: the extension came with Envoy 1.18, and an
    /// operator may not want it.
    pub(crate) fn of(node: Option<&Node>) -> Self {
        let Some(node) = node else { return Self::Roots };
        let version = match &node.user_agent_version_type {
            Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build.version,
            None => None,
        };
        let has_validator =
            version.is_some_and(|version| (version.major_number, version.minor_number) >= (1, 18));
        let unwanted = node.metadata.as_ref().is_some_and(|metadata| {
            let value = metadata.fields.get(WITHOUT_VALIDATOR);
            match value.and_then(|value| value.kind.as_ref()) {
                Some(Kind::BoolValue(unwanted)) => *unwanted,
                Some(Kind::StringValue(text)) => text == "true",
                _ => false,
            }
        });
        match has_validator && !unwanted {
            true => Self::Svids,
            false => Self::Roots,
        }
    }
}

/// The secrets that a proxy asked for, in the order of their names.
pub(crate) fn secrets(
    entitled: &Entitled,
    wanted: &Wanted,
    checks: Checks,
) -> Result<Vec<Any>, NoSecrets> {
    let all = || by_their_own_names(entitled).collect();
    let names: BTreeSet<String> = match wanted {
        Wanted::All => all(),
        Wanted::Named(names) => names.clone(),
    };
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for name in names {
        match secret(entitled, &name, checks) {
            Some(secret) => found.push(Any {
                type_url: SECRET_TYPE.to_owned(),
                value: Secret {
                    name,
                    r#type: Some(secret.map_err(NoSecrets::Unwritable)?),
                }
                .encode_to_vec(),
            }),
            None => unknown.push(name),
        }
    }
    if unknown.is_empty() {
        return Ok(found);
    }
    Err(NoSecrets::Unknown(unknown))
}

/// All names that something has.
pub(crate) fn names(entitled: &Entitled) -> Vec<String> {
    let roles = [DEFAULT, DEFAULT_BUNDLE, ALL_BUNDLES].map(str::to_owned);
    by_their_own_names(entitled).chain(roles).collect()
}

fn by_their_own_names(entitled: &Entitled) -> impl Iterator<Item = String> {
    let svids = entitled.x509_svids().iter();
    let svids = svids.map(|svid| svid.spiffe_id.to_string());
    svids.chain(entitled.x509_roots().map(|(name, _)| id_of(name)))
}

/// What has this name.
fn secret(entitled: &Entitled, name: &str, checks: Checks) -> Option<pem::Result<Type>> {
    let default = entitled.x509_svids().first();
    let one = |trust_domain: &TrustDomain| {
        let (trust_domain, bundle) = entitled.x509_bundles().get_key_value(trust_domain)?;
        Some(match checks {
            Checks::Svids => validator([(trust_domain, bundle)]),
            Checks::Roots => roots(bundle),
        })
    };
    match name {
        DEFAULT => default.map(certificate),
        DEFAULT_BUNDLE => default.and_then(|svid| one(svid.spiffe_id.trust_domain())),
        // There is no other way to tell a proxy which roots are whose.
        ALL_BUNDLES => Some(validator(entitled.x509_roots())),
        _ => {
            let mut domains = entitled.x509_bundles().keys();
            if let Some(trust_domain) = domains.find(|domain| id_of(domain) == name) {
                return one(trust_domain);
            }
            let mut svids = entitled.x509_svids().iter();
            svids
                .find(|svid| svid.spiffe_id.as_str() == name)
                .map(certificate)
        }
    }
}

fn certificate(svid: &X509Svid) -> pem::Result<Type> {
    let chain = std::iter::once(&svid.certificate).chain(&svid.intermediates);
    let key = pem::encode_string("PRIVATE KEY", LineEnding::LF, svid.private_key.expose());
    let key = Zeroizing::new(key?);
    Ok(Type::TlsCertificate(TlsCertificate {
        certificate_chain: Some(certificates(chain)?),
        private_key: Some(inline(key.as_bytes().to_vec())),
    }))
}

fn roots(bundle: &[Vec<u8>]) -> pem::Result<Type> {
    Ok(Type::ValidationContext(CertificateValidationContext {
        trusted_ca: Some(certificates(bundle)?),
        custom_validator_config: None,
    }))
}

fn validator<'a>(
    bundles: impl IntoIterator<Item = (&'a TrustDomain, &'a Vec<Vec<u8>>)>,
) -> pem::Result<Type> {
    let trust_domains: pem::Result<Vec<CheckedTrustDomain>> = bundles
        .into_iter()
        // Envoy refuses the whole configuration for one trust domain without roots.
        .filter(|(_, bundle)| !bundle.is_empty())
        .map(|(name, bundle)| {
            Ok(CheckedTrustDomain {
                name: name.to_string(),
                trust_bundle: Some(certificates(bundle)?),
            })
        })
        .collect();
    let configuration = SpiffeCertValidatorConfig {
        trust_domains: trust_domains?,
    };
    Ok(Type::ValidationContext(CertificateValidationContext {
        trusted_ca: None,
        custom_validator_config: Some(TypedExtensionConfig {
            name: VALIDATOR.to_owned(),
            typed_config: Some(Any {
                type_url: VALIDATOR_TYPE.to_owned(),
                value: configuration.encode_to_vec(),
            }),
        }),
    }))
}

fn certificates<'a>(ders: impl IntoIterator<Item = &'a Vec<u8>>) -> pem::Result<DataSource> {
    let mut text = String::new();
    for der in ders {
        text.push_str(&pem::encode_string("CERTIFICATE", LineEnding::LF, der)?);
    }
    Ok(inline(text.into_bytes()))
}

fn inline(bytes: Vec<u8>) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(bytes)),
    }
}

fn id_of(trust_domain: &TrustDomain) -> String {
    format!("spiffe://{trust_domain}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use avouch_api::grpc::envoy::config::core::v3::BuildVersion;
    use avouch_api::grpc::envoy::r#type::v3::SemanticVersion;

    use super::*;

    fn node(major_number: u32, minor_number: u32, metadata: Option<Kind>) -> Node {
        let version = SemanticVersion {
            major_number,
            minor_number,
            patch: 0,
        };
        let build = BuildVersion {
            version: Some(version),
        };
        let fields = metadata.map(|kind| {
            let value = prost_types::Value { kind: Some(kind) };
            (WITHOUT_VALIDATOR.to_owned(), value)
        });
        Node {
            metadata: Some(prost_types::Struct {
                fields: BTreeMap::from_iter(fields),
            }),
            user_agent_version_type: Some(UserAgentVersionType::UserAgentBuildVersion(build)),
            ..Node::default()
        }
    }

    #[test]
    fn peers_are_checked_by_trust_domain_wherever_the_proxy_can() {
        let of = |node: Node| Checks::of(Some(&node));
        assert_eq!(of(node(1, 18, None)), Checks::Svids);
        assert_eq!(of(node(1, 40, None)), Checks::Svids);
        assert_eq!(of(node(2, 0, None)), Checks::Svids);
        assert_eq!(of(node(1, 17, None)), Checks::Roots);
        assert_eq!(of(node(0, 99, None)), Checks::Roots);
        assert_eq!(of(Node::default()), Checks::Roots);
        assert_eq!(Checks::of(None), Checks::Roots);
    }

    #[test]
    fn an_operator_may_do_without_the_extension_and_a_slip_of_the_pen_does_not() {
        let with = |kind| Checks::of(Some(&node(1, 40, Some(kind))));
        let text = |text: &str| Kind::StringValue(text.to_owned());
        assert_eq!(with(Kind::BoolValue(true)), Checks::Roots);
        assert_eq!(with(text("true")), Checks::Roots);
        assert_eq!(with(Kind::BoolValue(false)), Checks::Svids);
        assert_eq!(with(text("false")), Checks::Svids);
        assert_eq!(with(text("yes")), Checks::Svids);
        assert_eq!(with(Kind::NumberValue(1.0)), Checks::Svids);
    }

    #[test]
    fn names_without_letters_are_no_names() {
        assert_eq!(Wanted::of(Vec::new()), Wanted::All);
        assert_eq!(Wanted::of(vec![String::new()]), Wanted::All);
        let names = vec![
            "b".to_owned(),
            String::new(),
            "a".to_owned(),
            "b".to_owned(),
        ];
        let named = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(Wanted::of(names), Wanted::Named(named));
    }
}
