//! Whether a path that reached an anchor proves what was asked (RFC 5280 6.1).
//!
//! All signatures on it have been checked. What is left is judged from the anchor down, so that
//! the first thing that is wrong is the first thing said.

use std::collections::BTreeMap;
use std::sync::Arc;

use const_oid::ObjectIdentifier;

use super::alone::{key_refused, readable, valid_now};
use super::search::{Link, Pki};
use super::second_opinion::Opinion;
use super::{
    baseline, conforming, expectation, name_constraints, policies, revocation, second_opinion,
    spiffe_id_of, svid,
};
use crate::anchor::Anchor;
use crate::budget::Budget;
use crate::credential::jose::bundle::Bundle;
use crate::credential::x509::{CLIENT_AUTH, Certificate, SERVER_AUTH, oid_name};
use crate::id::SpiffeId;
use crate::policy::facts::Facts;
use crate::question::{Profile, Purpose, Question};
use crate::reason::Reason;
use crate::stop::Stop;
use crate::time::Time;
use crate::verdict::{Check, Compared, Fact, StatusSource};
use crate::view::{AnchorCertificate, View};

/// What a valid path proves.
pub(super) struct Conclusion {
    pub(super) name: String,
    pub(super) spiffe_id: Option<SpiffeId>,
    pub(super) facts: Facts,
    pub(super) checks: Vec<Check>,
    pub(super) revocation: Vec<StatusSource>,
    pub(super) valid_from: Time,
    pub(super) valid_until: Time,
}

/// Judges the path from `trail` (end entity first) to `source`.
pub(super) fn conclude(
    model: &Pki<'_>,
    trail: &[Link],
    source: &AnchorCertificate,
    budget: &mut Budget,
) -> Result<Conclusion, Stop> {
    let question = model.question;
    let profile = question.profile;
    let path: Vec<&Certificate> = std::iter::once(&*source.certificate)
        .chain(trail.iter().rev().map(|link| &*link.certificate))
        .collect();
    let Some((end_entity, cas)) = path.split_last() else {
        return Err(Reason::CertificatesMissing {}.into());
    };

    for (depth, ca) in cas.iter().enumerate() {
        let below = cas.get(depth + 1..).unwrap_or_default();
        readable(ca)?;
        valid_now(ca, question.now)?;
        authority(ca, below)?;
        usable_for(ca, question.purpose)?;
        if profile.is_strict_on_form() {
            conforming::authority(ca, depth == 0, profile)?;
        }
        if profile == Profile::WebPki {
            baseline::authority(ca, depth == 0)?;
        }
    }
    end_entity_alone(end_entity, question).map_err(Stop::Decided)?;
    if profile == Profile::WebPki {
        let may_issue = may_issue(end_entity, cas);
        baseline::end_entity(end_entity, may_issue, question.purpose, budget)?;
    }
    key_usable_for(end_entity, question).map_err(Stop::Decided)?;
    name_constraints::check(&path, profile, budget)?;
    let policies = policies::check(
        path.get(1..).unwrap_or_default(),
        Some(&source.certificate),
        &question.context.policies,
        budget,
    )?;
    let spiffe_id = if profile == Profile::Spiffe {
        Some(svid::check(end_entity, cas, source)?)
    } else {
        spiffe_id_of(end_entity)
    };
    own_trust_domain(model.view, question, source, end_entity, spiffe_id.as_ref())?;
    anchor_admits(
        &source.anchor,
        end_entity,
        spiffe_id.as_ref(),
        cas,
        question,
    )?;
    let facts = Facts::of_map(facts_of(end_entity, spiffe_id.as_ref()));
    source.anchor.admits_facts(&facts)?;
    expectation::check(end_entity, &question.context.expected, profile).map_err(Stop::Decided)?;
    let revocation = not_revoked(model, &path, budget)?;
    let opinion = second_opinion::ask(&path, question)?;
    let (valid_from, valid_until) = span(&path, &source.anchor, model);

    Ok(Conclusion {
        name: name_of(end_entity, question),
        facts,
        spiffe_id,
        checks: checks(&path, &policies, &revocation, opinion, question),
        valid_from,
        valid_until,
        revocation,
    })
}

/// The first and the last second in which the same would be decided if nothing else changes.
///
/// Besides the certificates and the anchor that is up to every list of the issuers, not only those
/// that cleared the path: one that is not yet valid may say otherwise as soon as it is.
fn span(path: &[&Certificate], anchor: &Anchor, model: &Pki<'_>) -> (Time, Time) {
    let now = model.question.now;
    let starts = path.iter().map(|certificate| certificate.not_before());
    let ends = path
        .iter()
        .map(|certificate| certificate.not_after().plus(1))
        .chain(anchor.stewardship.expires);
    let lists = path
        .iter()
        .skip(1)
        .flat_map(|certificate| model.view.crls_of(certificate.issuer()))
        .flat_map(|list| {
            let end = list.next_update().map(|next_update| next_update.plus(1));
            std::iter::once(list.this_update()).chain(end)
        });
    let (mut first, mut end) = (None, None);
    for change in starts.chain(ends).chain(lists) {
        if change <= now {
            first = first.max(Some(change));
        } else {
            end = Some(end.map_or(change, |end: Time| end.min(change)));
        }
    }
    let last = end.map_or(now, |end| end.plus(-1));
    (first.unwrap_or(now), last)
}

/// The lists that clear each certificate below the anchor, from the anchor down.
fn not_revoked(
    model: &Pki<'_>,
    path: &[&Certificate],
    budget: &mut Budget,
) -> Result<Vec<StatusSource>, Stop> {
    let mut sources: Vec<StatusSource> = Vec::new();
    for certificate in path.iter().skip(1) {
        let told = revocation::status(certificate, path, model, budget)?;
        for source in told {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    Ok(sources)
}

/// What does not depend on the path: if it fails on one it fails on all.
fn end_entity_alone(end_entity: &Certificate, question: &Question) -> Result<(), Reason> {
    readable(end_entity)?;
    valid_now(end_entity, question.now)?;
    end_entity
        .public_key()
        .map_err(|problem| key_refused(end_entity, problem))?;
    usable_for(end_entity, question.purpose)?;
    if question.profile.is_strict_on_form() {
        conforming::end_entity(end_entity, question.profile)?;
    }
    Ok(())
}

/// RFC 5280 6.1.4 (k) to (n): what issued a certificate is a CA that may.
fn authority(ca: &Certificate, below: &[&Certificate]) -> Result<(), Reason> {
    let subject = || ca.title().to_string();
    if ca.version() != 3 {
        return Err(Reason::VersionUnsupported {
            subject: subject(),
            version: ca.version(),
        });
    }
    let Some(basic) = &ca.extensions().basic_constraints else {
        return Err(Reason::BasicConstraintsMissing { subject: subject() });
    };
    if !basic.value.is_ca {
        return Err(Reason::NotACa { subject: subject() });
    }
    if ca
        .extensions()
        .key_usage
        .as_ref()
        .is_some_and(|usage| !usage.value.key_cert_sign())
    {
        return Err(Reason::KeyUsageCertSignMissing { subject: subject() });
    }
    let intermediates = below
        .iter()
        .filter(|certificate| !certificate.is_self_issued())
        .count();
    let intermediates = u32::try_from(intermediates).unwrap_or(u32::MAX);
    match basic.value.path_length {
        Some(allowed) if intermediates > allowed => Err(Reason::PathLengthExceeded {
            subject: subject(),
            allowed,
            below: intermediates,
        }),
        _ => Ok(()),
    }
}

/// Whether the path lengths above would let the end entity issue, if it is a CA.
fn may_issue(end_entity: &Certificate, cas: &[&Certificate]) -> bool {
    let own = usize::from(!end_entity.is_self_issued());
    cas.iter().enumerate().all(|(depth, ca)| {
        let below = cas.get(depth + 1..).unwrap_or_default();
        let counted = below.iter().filter(|ca| !ca.is_self_issued()).count() + own;
        let allowed = ca
            .extensions()
            .basic_constraints
            .as_ref()
            .and_then(|basic| basic.value.path_length);
        allowed.is_none_or(|allowed| counted <= usize::try_from(allowed).unwrap_or(usize::MAX))
    })
}

/// Extended key usage, on the way down as well: a CA that has one may vouch only for what it says.
fn usable_for(certificate: &Certificate, purpose: Purpose) -> Result<(), Reason> {
    let wanted = match purpose {
        Purpose::Any => return Ok(()),
        Purpose::Client => CLIENT_AUTH,
        Purpose::Server => SERVER_AUTH,
    };
    match &certificate.extensions().extended_key_usage {
        Some(usage) if !usage.value.usages.contains(&wanted) && !usage.value.any() => {
            Err(Reason::ExtendedKeyUsageNotPermitted {
                subject: certificate.title().to_string(),
                purpose: purpose.extended_key_usage().to_owned(),
                usages: usage.value.names(),
            })
        }
        _ => Ok(()),
    }
}

/// The key usage of an end entity is consistent with what it is used for (RFC 5280 4.2.1.12): who serves
/// signs, decrypts or agrees on a key in a handshake of TLS, and a client signs or agrees on one.
/// SPIFFE asks for more, whatever the purpose. An authority that is shown itself is marked as what it is, and
/// its usage is for that.
fn key_usable_for(end_entity: &Certificate, question: &Question) -> Result<(), Reason> {
    let (extensions, purpose) = (end_entity.extensions(), question.purpose);
    let basic = extensions.basic_constraints.as_ref();
    let is_authority = basic.is_some_and(|basic| basic.value.is_ca);
    let is_asked = question.profile != Profile::Spiffe && !is_authority;
    let Some(usage) = extensions.key_usage.as_ref().filter(|_| is_asked) else {
        return Ok(());
    };
    let is_consistent = match purpose {
        Purpose::Any => true,
        Purpose::Client => usage.value.fits_client(),
        Purpose::Server => usage.value.fits_server(),
    };
    if is_consistent {
        return Ok(());
    }
    Err(Reason::ExtendedKeyUsageNotPermitted {
        subject: end_entity.title().to_string(),
        purpose: purpose.extended_key_usage().to_owned(),
        usages: usage.value.names(),
    })
}

/// A bundle is trusted for what is in its trust domain and for nothing else, under whichever profile; and
/// where the bundle of a trust domain is known, no other anchor speaks for it, unless that is said of
/// the anchor (SPIFFE Trust Domain and Bundle 4, 6).
fn own_trust_domain(
    view: &View,
    question: &Question,
    source: &AnchorCertificate,
    end_entity: &Certificate,
    spiffe_id: Option<&SpiffeId>,
) -> Result<(), Reason> {
    let anchor = &source.anchor;
    if let Some(own) = &source.trust_domain {
        return match spiffe_id {
            Some(id) if id.trust_domain() == own => Ok(()),
            Some(id) => Err(Reason::TrustDomainMismatch {
                id: id.to_string(),
                trust_domain: own.to_string(),
            }),
            None => Err(Reason::UriSanCount {
                subject: end_entity.title().to_string(),
                count: end_entity.uris().count(),
            }),
        };
    }
    let named = end_entity
        .uris()
        .filter_map(|uri| SpiffeId::parse(uri).ok());
    // One that is over, or without authorities for certificates, could vouch for none itself.
    let speaks = |(anchor, bundle): (&Arc<Anchor>, &Bundle)| {
        !bundle.x509_authorities.is_empty() && anchor.admits(&question.tenant, question.now).is_ok()
    };
    let is_anothers = |id: &SpiffeId| {
        let trust_domain = id.trust_domain();
        view.bundles_of(trust_domain).any(speaks)
            && !anchor.constraints.trust_domains.contains(trust_domain)
    };
    match named.into_iter().find(is_anothers) {
        None => Ok(()),
        Some(id) => Err(Reason::AnchorTrustDomain {
            anchor: anchor.name.clone(),
            trust_domain: id.trust_domain().to_string(),
            permitted: anchor.constraints.names_of_trust_domains(),
        }),
    }
}

/// What the owner of the anchor allows it to vouch for (RFC 5937 3).
fn anchor_admits(
    anchor: &Anchor,
    end_entity: &Certificate,
    spiffe_id: Option<&SpiffeId>,
    cas: &[&Certificate],
    question: &Question,
) -> Result<(), Reason> {
    anchor.admits(&question.tenant, question.now)?;
    if let Some(id) = spiffe_id {
        anchor.is_private(|| format!("SPIFFE IDs of {}", id.trust_domain()))?;
    }
    anchor.admits_purpose(question.purpose)?;
    let intermediates = cas.iter().skip(1).filter(|ca| !ca.is_self_issued()).count();
    anchor.admits_path_length(u32::try_from(intermediates).unwrap_or(u32::MAX))?;
    anchor.admits_names(
        spiffe_id.map(SpiffeId::trust_domain),
        end_entity.alternative_names(),
    )
}

/// How the identity is called: as it was expected, or by its first name.
fn name_of(end_entity: &Certificate, question: &Question) -> String {
    match question.context.expected.as_slice() {
        [only] => only.to_string(),
        _ => match end_entity.alternative_names().first() {
            Some(name) => name.to_string(),
            None => end_entity.title().to_string(),
        },
    }
}

fn facts_of(end_entity: &Certificate, spiffe_id: Option<&SpiffeId>) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    // Where a value could divide, whoever chooses one attribute could choose them all.
    let subject = end_entity.subject();
    if !subject.is_empty() {
        facts.insert("x509.subject".to_owned(), subject.unambiguous());
    }
    facts.insert(
        "x509.serial".to_owned(),
        crate::id::hex(end_entity.serial()),
    );
    if let Some(id) = spiffe_id {
        facts.insert(
            "spiffe.trust_domain".to_owned(),
            id.trust_domain().to_string(),
        );
        facts.insert("spiffe.path".to_owned(), id.path().to_owned());
    }
    facts
}

/// What was compared with what, for whoever reads an acceptance.
#[expect(clippy::too_many_lines, reason = "one entry for each check")]
fn checks(
    path: &[&Certificate],
    policies: &[ObjectIdentifier],
    revocation: &[StatusSource],
    opinion: Opinion,
    question: &Question,
) -> Vec<Check> {
    let mut checks = Vec::with_capacity(12);
    let mut passed = |what, spec, compared: Compared| {
        checks.push(Check {
            what,
            compared,
            spec,
        })
    };
    let starts = path.iter().map(|certificate| certificate.not_before());
    let ends = path.iter().map(|certificate| certificate.not_after());
    let signatures = Fact::Count(path.len() - 1);
    passed(
        "signatures",
        "RFC 5280 6.1.3 (a) (1)",
        Compared::with(
            "{} signatures hold, from the end entity up to the anchor",
            vec![signatures.clone()],
        ),
    );
    passed(
        "validity",
        "RFC 5280 6.1.3 (a) (2)",
        Compared::with(
            "{} is within {} to {}, when all of the path is valid",
            vec![
                Fact::Time(question.now),
                Fact::Time(starts.max().unwrap_or(question.now)),
                Fact::Time(ends.min().unwrap_or(question.now)),
            ],
        ),
    );
    passed(
        "authorities",
        "RFC 5280 6.1.4 (k) to (n)",
        Compared::with(
            "{} issued, each a CA that may sign certificates with a path as long as this",
            vec![signatures],
        ),
    );
    passed(
        "critical extensions",
        "RFC 5280 6.1.4 (o), 6.1.5 (f)",
        "each is known and was processed".into(),
    );
    let constrained = path
        .iter()
        .filter(|certificate| certificate.extensions().name_constraints.is_some())
        .count();
    passed(
        "name constraints",
        "RFC 5280 6.1.3 (b), (c)",
        match constrained {
            0 => "no CA on the path constrains names".into(),
            count => Compared::with(
                "every name is one that {} constrained CAs may vouch for",
                vec![Fact::Count(count)],
            ),
        },
    );
    let held: Vec<String> = policies.iter().map(oid_name).collect();
    passed(
        "policies",
        "RFC 5280 6.1.5 (g); RFC 9618",
        if held.is_empty() {
            "none is required and none holds for the whole path".into()
        } else {
            Compared::with(
                "the whole path holds under {}",
                vec![Fact::Text(held.join(", "))],
            )
        },
    );
    let lists: Vec<&str> = revocation.iter().map(|list| list.issuer.as_str()).collect();
    passed(
        "revocation",
        "RFC 5280 6.3.3",
        if lists.is_empty() {
            "not required, and no list of the issuers was given".into()
        } else {
            Compared::with(
                "not revoked by the lists of {}",
                vec![Fact::Text(lists.join(", "))],
            )
        },
    );
    passed(
        "purpose",
        "RFC 5280 4.2.1.12",
        match question.purpose {
            Purpose::Any => "any purpose was asked for".into(),
            purpose => Compared::with(
                "{} is allowed, or not restricted, all the way down",
                vec![Fact::Word(purpose.extended_key_usage())],
            ),
        },
    );
    for expected in &question.context.expected {
        passed(
            "name",
            "RFC 9525 6",
            Compared::with(
                "{} is among the subject alternative names",
                vec![Fact::Text(expected.to_string())],
            ),
        );
    }
    passed(
        "profile",
        "docs/how-to/verify.md",
        Compared::with(
            "the rules of the profile `{}` hold",
            vec![Fact::Word(question.profile.name())],
        ),
    );
    passed(
        "second opinion",
        "SECURITY.md",
        match opinion {
            Opinion::Agrees => "rustls-webpki accepts the same path".into(),
            Opinion::Differs(why) => {
                Compared::with("rustls-webpki would not: {}", vec![Fact::Word(why)])
            }
        },
    );
    checks
}

impl Purpose {
    /// The extended key usage that stands for it.
    pub(super) fn extended_key_usage(self) -> &'static str {
        match self {
            Self::Any => "any purpose",
            Self::Client => "clientAuth",
            Self::Server => "serverAuth",
        }
    }
}
