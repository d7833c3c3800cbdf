//! What rustls-webpki says of a path that we accept.
//!
//! Two validators with nothing in common but the standard seldom make the same mistake. What we
//! accept, rustls-webpki must accept too, or the difference must be one of those known and
//! explained here; otherwise the path is refused until it is understood.
//!
//! It is asked about exactly our path, and told that the signatures on it hold, since this
//! decision has just checked them: the second opinion is about everything else.

use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName,
    SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use webpki::{
    EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage,
    anchor_from_trusted_cert,
};

use crate::credential::x509::{Certificate, Critical, GeneralName, SignatureAlgorithm};
use crate::crypto::{Hash, KeyKind, Scheme};
use crate::question::{ExpectedName, Purpose, Question};
use crate::reason::Reason;

/// The most intermediates that rustls-webpki follows.
const ITS_MOST_INTERMEDIATES: usize = 6;

/// What the second validator said of a path that the first accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    /// It accepts the path too.
    Agrees,
    /// It does not, for a reason that is known and does not stand against the path.
    Differs(&'static str),
}

/// Asks about a path that was accepted, from the anchor down. Refused when the second validator
/// refuses it for a reason that is not known.
pub(super) fn ask(path: &[&Certificate], question: &Question) -> Result<Opinion, Reason> {
    let Err(error) = verify(path, question) else {
        return Ok(Opinion::Agrees);
    };
    match known_difference(path, question, &error) {
        Some(why) => Ok(Opinion::Differs(why)),
        None => Err(Reason::ValidatorsDisagree {
            second: format!("{error:?}"),
        }),
    }
}

fn verify(path: &[&Certificate], question: &Question) -> Result<(), Error> {
    let [anchor, rest @ ..] = path else {
        return Err(Error::UnknownIssuer);
    };
    let Some((end_entity, intermediates)) = rest.split_last() else {
        return Err(Error::UnknownIssuer);
    };
    let seconds = u64::try_from(question.now.unix()).map_err(|_| Error::BadDerTime)?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let held = Held::on(path);
    let algorithms = Algorithm::of(&held);
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = algorithms
        .iter()
        .map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm)
        .collect();
    let anchor = CertificateDer::from(anchor.der());
    let anchors = [anchor_from_trusted_cert(&anchor)?];
    let intermediates: Vec<CertificateDer<'_>> = intermediates
        .iter()
        .map(|certificate| CertificateDer::from(certificate.der()))
        .collect();
    let end_entity = CertificateDer::from(end_entity.der());
    let end_entity = EndEntityCert::try_from(&end_entity)?;
    let usage = match question.purpose {
        Purpose::Any => Usage::Any,
        Purpose::Client => Usage::One(KeyUsage::client_auth()),
        Purpose::Server => Usage::One(KeyUsage::server_auth()),
    };
    end_entity.verify_for_usage(
        &algorithms,
        &anchors,
        &intermediates,
        now,
        usage,
        None,
        None,
    )?;
    for name in question.context.expected.iter().filter_map(server_name) {
        end_entity.verify_is_valid_for_subject_name(&name)?;
    }
    Ok(())
}

/// The names that rustls-webpki can compare, as it has them.
fn server_name(expected: &ExpectedName) -> Option<ServerName<'_>> {
    match expected {
        ExpectedName::Dns(name) => ServerName::try_from(name.as_str()).ok(),
        ExpectedName::Ip(address) => ServerName::try_from(address.to_string()).ok(),
        ExpectedName::Email(_) | ExpectedName::Spiffe(_) | ExpectedName::TrustDomain(_) => None,
    }
}

/// Why rustls-webpki refuses what we accept, if that is known.
fn known_difference(
    path: &[&Certificate],
    question: &Question,
    error: &Error,
) -> Option<&'static str> {
    // Where names repeat it tries the wrong certificate of a name too, and of all its reasons it
    // tells only that a signature failed.
    let hides_its_reason =
        matches!(error, Error::InvalidSignatureForPublicKey) && names_repeat(path);
    let asked = Asked {
        path,
        question,
        hides_its_reason,
    };
    DIFFERENCES
        .iter()
        .filter(|difference| hides_its_reason || (difference.is_told_as)(error))
        .find(|difference| (difference.has_cause_on)(&asked))
        .map(|difference| difference.why)
}

/// What rustls-webpki was asked.
struct Asked<'a> {
    path: &'a [&'a Certificate],
    question: &'a Question,
    hides_its_reason: bool,
}

impl Asked<'_> {
    fn anywhere(&self, test: fn(&Certificate) -> bool) -> bool {
        self.path.iter().any(|certificate| test(certificate))
    }

    fn below_anchor(&self, test: fn(&Certificate) -> bool) -> bool {
        self.path
            .iter()
            .skip(1)
            .any(|certificate| test(certificate))
    }

    fn intermediates(&self) -> &[&Certificate] {
        let below_anchor = self.path.get(1..).unwrap_or_default();
        below_anchor
            .split_last()
            .map_or(&[], |(_, intermediates)| intermediates)
    }

    fn end_entity(&self, test: fn(&Certificate) -> bool) -> bool {
        self.path
            .last()
            .is_some_and(|certificate| test(certificate))
    }
}

/// A way in which rustls-webpki is known to refuse what we accept.
struct Difference {
    why: &'static str,
    has_cause_on: fn(&Asked<'_>) -> bool,
    is_told_as: fn(&Error) -> bool,
}

/// The known differences. Each is a limit that the authors of rustls-webpki state, or a part of
/// RFC 5280 that they chose not to follow; none is a rule that we lack.
const DIFFERENCES: &[Difference] = &[
    Difference {
        why: "it accepts no CA as an end entity, which RFC 5280 does not forbid",
        has_cause_on: |asked| asked.end_entity(Certificate::is_ca),
        is_told_as: |error| matches!(error, Error::CaUsedAsEndEntity),
    },
    Difference {
        why: "it follows at most six intermediates",
        has_cause_on: |asked| asked.intermediates().len() > ITS_MOST_INTERMEDIATES,
        is_told_as: |error| matches!(error, Error::MaximumPathDepthExceeded),
    },
    Difference {
        why: "it refuses names of a kind whose constraints it does not compare",
        has_cause_on: |asked| asked.anywhere(constrains_other_names),
        is_told_as: |error| matches!(error, Error::NameConstraintViolation),
    },
    Difference {
        why: "it counts and constrains self-issued certificates, which RFC 5280 does not",
        has_cause_on: |asked| asked.intermediates().iter().any(|ca| ca.is_self_issued()),
        is_told_as: |error| {
            matches!(
                error,
                Error::NameConstraintViolation | Error::PathLenConstraintViolated
            )
        },
    },
    Difference {
        why: "it does not know `anyExtendedKeyUsage`",
        has_cause_on: |asked| asked.below_anchor(allows_any_usage),
        is_told_as: |error| matches!(error, Error::RequiredEkuNotFoundContext(_)),
    },
    Difference {
        why: "it reads no path length over 255",
        has_cause_on: |asked| asked.below_anchor(has_long_path_length),
        is_told_as: |error| matches!(error, Error::BadDer),
    },
    Difference {
        why: "it reads no certificate of 64 KiB or more",
        has_cause_on: |asked| asked.anywhere(is_longer_than_it_reads),
        is_told_as: |error| {
            matches!(
                error,
                Error::BadDer | Error::TrailingData(_) | Error::UnknownIssuer
            )
        },
    },
    Difference {
        why: "it compares names byte by byte, not as RFC 5280 7.1 asks",
        has_cause_on: |asked| !is_linked_byte_by_byte(asked.path),
        is_told_as: |error| matches!(error, Error::UnknownIssuer),
    },
    Difference {
        why: "it reads certificates of version 3 only",
        has_cause_on: |asked| asked.anywhere(|certificate| certificate.version() != 3),
        is_told_as: |error| matches!(error, Error::UnsupportedCertVersion | Error::BadDer),
    },
    Difference {
        why: "it does not know a critical extension that we process",
        has_cause_on: |asked| asked.below_anchor(has_other_critical),
        is_told_as: |error| matches!(error, Error::UnsupportedCriticalExtension),
    },
    Difference {
        why: "it does not read unique identifiers",
        has_cause_on: |asked| asked.anywhere(Certificate::has_unique_ids),
        is_told_as: |error| matches!(error, Error::TrailingData(_)),
    },
    Difference {
        why: "it reads no wildcard right below a top-level domain",
        has_cause_on: |asked| asked.end_entity(has_wide_wildcard),
        is_told_as: |error| {
            matches!(
                error,
                Error::CertNotValidForName(_) | Error::MalformedDnsIdentifier
            )
        },
    },
    Difference {
        why: "it reads no host name that ends in a number or has a label with a hyphen at an end",
        has_cause_on: |asked| asked.below_anchor(has_loose_host_name),
        is_told_as: |error| matches!(error, Error::MalformedDnsIdentifier),
    },
    Difference {
        why: "it knows no time before 1970",
        has_cause_on: |asked| {
            asked.question.now.unix() < 0
                || asked.anywhere(|certificate| certificate.not_before().unix() < 0)
        },
        is_told_as: |error| matches!(error, Error::BadDerTime),
    },
    Difference {
        // The signatures hold: it is only the form of their algorithms that may be unknown.
        why: "it does not know this way to write the kind of a key or a signature",
        has_cause_on: |asked| !asked.hides_its_reason,
        is_told_as: |error| {
            matches!(
                error,
                Error::UnsupportedSignatureAlgorithmContext(_)
                    | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            )
        },
    },
    Difference {
        why: "it compares fewer names with constraints than our budget allows",
        has_cause_on: |asked| asked.anywhere(constrains_names),
        is_told_as: |error| matches!(error, Error::MaximumNameConstraintComparisonsExceeded),
    },
];

/// Whether it has a name such as `*.internal`.
fn has_wide_wildcard(certificate: &Certificate) -> bool {
    certificate
        .alternative_names()
        .iter()
        .any(|name| match name {
            GeneralName::Dns(name) => name
                .strip_prefix("*.")
                .is_some_and(|parent| !parent.contains('.')),
            _ => false,
        })
}

/// Whether it has a name such as `10.0.0.1` or `-a.example` among its host names.
fn has_loose_host_name(certificate: &Certificate) -> bool {
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    certificate
        .alternative_names()
        .iter()
        .any(|name| match name {
            GeneralName::Dns(name) => {
                let mut labels = name.split('.');
                labels.any(|label| label.starts_with('-') || label.ends_with('-'))
                    || name.rsplit('.').next().is_some_and(is_number)
            }
            _ => false,
        })
}

fn names_repeat(path: &[&Certificate]) -> bool {
    path.iter().enumerate().any(|(index, one)| {
        path.iter()
            .skip(index + 1)
            .any(|other| one.subject() == other.subject())
    })
}

fn has_long_path_length(certificate: &Certificate) -> bool {
    let basic = certificate.extensions().basic_constraints.as_ref();
    let length = basic.and_then(|basic| basic.value.path_length);
    length.is_some_and(|length| length > u32::from(u8::MAX))
}

fn is_longer_than_it_reads(certificate: &Certificate) -> bool {
    certificate.der().len() > usize::from(u16::MAX)
}

fn constrains_names(certificate: &Certificate) -> bool {
    certificate.extensions().name_constraints.is_some()
}

fn constrains_other_names(certificate: &Certificate) -> bool {
    let Some(constraints) = &certificate.extensions().name_constraints else {
        return false;
    };
    let mut subtrees = constraints
        .value
        .permitted
        .iter()
        .chain(&constraints.value.excluded);
    subtrees.any(|subtree| !matches!(subtree.base, GeneralName::Dns(_) | GeneralName::Ip(_)))
}

fn allows_any_usage(certificate: &Certificate) -> bool {
    let usage = certificate.extensions().extended_key_usage.as_ref();
    usage.is_some_and(|usage| usage.value.any())
}

fn is_linked_byte_by_byte(path: &[&Certificate]) -> bool {
    path.windows(2).all(|pair| match pair {
        [issuer, child] => issuer.subject().der() == child.issuer().der(),
        _ => true,
    })
}

/// Whether an extension that we process and rustls-webpki does not is marked critical.
fn has_other_critical(certificate: &Certificate) -> bool {
    let extensions = certificate.extensions();
    is_critical(&extensions.authority_information_access)
        || is_critical(&extensions.authority_key_id)
        || is_critical(&extensions.certificate_policies)
        || is_critical(&extensions.inhibit_any_policy)
        || is_critical(&extensions.policy_constraints)
        || is_critical(&extensions.policy_mappings)
        || is_critical(&extensions.subject_key_id)
}

fn is_critical<T>(extension: &Option<Critical<T>>) -> bool {
    extension
        .as_ref()
        .is_some_and(|extension| extension.critical)
}

/// Which usages the end entity and the CAs above it must allow.
enum Usage {
    Any,
    One(KeyUsage),
}

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        match self {
            Self::Any => Ok(()),
            Self::One(usage) => usage.validate(usages),
        }
    }
}

/// A signature on the path, which was found to hold.
#[derive(Debug)]
struct Held<'a> {
    kind: KeyKind,
    scheme: Scheme,
    key: &'a [u8],
    message: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Held<'a> {
    fn on(path: &[&'a Certificate]) -> Vec<Self> {
        path.windows(2)
            .filter_map(|pair| match pair {
                [issuer, child] => Self::between(issuer, child),
                _ => None,
            })
            .collect()
    }

    fn between(issuer: &'a Certificate, child: &'a Certificate) -> Option<Self> {
        let SignatureAlgorithm::Known(scheme) = child.signature_algorithm() else {
            return None;
        };
        let key = issuer.public_key().ok()?;
        Some(Self {
            kind: key.kind(),
            scheme: *scheme,
            key: key.bytes(),
            message: child.signed(),
            signature: child.signature(),
        })
    }
}

/// An algorithm that finds exactly those signatures valid that were found to hold.
#[derive(Debug)]
struct Algorithm<'a> {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    held: &'a [Held<'a>],
}

impl<'a> Algorithm<'a> {
    /// One for each way to sign that the path uses.
    fn of(held: &'a [Held<'a>]) -> Vec<Self> {
        let mut algorithms: Vec<Self> = Vec::with_capacity(held.len());
        for one in held {
            let Some(signature) = signature_identifier(one.scheme, one.kind) else {
                continue;
            };
            let key = key_identifier(one.kind);
            let is_new = algorithms
                .iter()
                .all(|known| known.key != key || known.signature != signature);
            if is_new {
                algorithms.push(Self {
                    key,
                    signature,
                    held,
                });
            }
        }
        algorithms
    }
}

impl SignatureVerificationAlgorithm for Algorithm<'_> {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let is_it =
            |one: &Held<'_>| one.key == key && one.signature == signature && one.message == message;
        let found = self.held.iter().any(is_it);
        found.then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

fn key_identifier(kind: KeyKind) -> AlgorithmIdentifier {
    match kind {
        KeyKind::Ed25519 => alg_id::ED25519,
        KeyKind::MlDsa44 => alg_id::ML_DSA_44,
        KeyKind::MlDsa65 => alg_id::ML_DSA_65,
        KeyKind::MlDsa87 => alg_id::ML_DSA_87,
        KeyKind::P256 => alg_id::ECDSA_P256,
        KeyKind::P384 => alg_id::ECDSA_P384,
        KeyKind::P521 => alg_id::ECDSA_P521,
        KeyKind::Rsa(_) => alg_id::RSA_ENCRYPTION,
    }
}

/// `None` for the form of signatures that certificates do not use.
fn signature_identifier(scheme: Scheme, kind: KeyKind) -> Option<AlgorithmIdentifier> {
    Some(match scheme {
        Scheme::EcdsaDer(Hash::Sha256) => alg_id::ECDSA_SHA256,
        Scheme::EcdsaDer(Hash::Sha384) => alg_id::ECDSA_SHA384,
        Scheme::EcdsaDer(Hash::Sha512) => alg_id::ECDSA_SHA512,
        Scheme::EcdsaFixed(_) => return None,
        Scheme::Ed25519 => alg_id::ED25519,
        Scheme::MlDsa => key_identifier(kind),
        Scheme::RsaPkcs1(Hash::Sha256) => alg_id::RSA_PKCS1_SHA256,
        Scheme::RsaPkcs1(Hash::Sha384) => alg_id::RSA_PKCS1_SHA384,
        Scheme::RsaPkcs1(Hash::Sha512) => alg_id::RSA_PKCS1_SHA512,
        Scheme::RsaPss(Hash::Sha256) => alg_id::RSA_PSS_SHA256,
        Scheme::RsaPss(Hash::Sha384) => alg_id::RSA_PSS_SHA384,
        Scheme::RsaPss(Hash::Sha512) => alg_id::RSA_PSS_SHA512,
    })
}
