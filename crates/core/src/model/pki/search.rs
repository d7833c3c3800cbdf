//! Who may have issued a certificate, and whether they did.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::alone::{algorithms_differ, key_refused};
use super::validate::{self, Conclusion};
use crate::budget::Budget;
use crate::credential::x509::{Certificate, DistinguishedName, SignatureAlgorithm};
use crate::crypto::{PublicKey, Scheme, Verifier, cost, hashing_cost};
use crate::ended::Birth;
use crate::path::{Candidate, Model};
use crate::question::Question;
use crate::reason::{About, Reason};
use crate::stop::Stop;
use crate::view::{AnchorCertificate, View};
use crate::vouch::{How, Vouch};

/// The certificates that the holder brought.
pub(super) struct Chain {
    end_entity: Arc<Certificate>,
    others: Vec<Arc<Certificate>>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// A certificate that could not be read.
pub(super) struct Unreadable {
    pub(super) position: String,
    pub(super) reason: Reason,
}

impl Chain {
    /// Reads the end entity and its intermediates. An intermediate that cannot be read is set
    /// aside: it may not be needed.
    pub(super) fn read(
        chain: &[Vec<u8>],
        view: &View,
        budget: &Budget,
    ) -> Result<Self, (String, Reason)> {
        let place = || "the chain".to_owned();
        let limits = budget.limits();
        if chain.len() > limits.certificates {
            let reason = Reason::Certificates {
                given: chain.len(),
                allowed: limits.certificates,
            };
            return Err((place(), reason));
        }
        let size: usize = chain.iter().map(Vec::len).sum();
        if size > limits.input_bytes {
            let (part, allowed) = ("certificate chain", limits.input_bytes);
            return Err((
                place(),
                Reason::InputSize {
                    part,
                    size,
                    allowed,
                },
            ));
        }
        let mut ders = chain.iter();
        let Some(first) = ders.next() else {
            return Err((place(), Reason::CertificatesMissing {}));
        };
        let end_entity = read_one(first, || "end-entity certificate".to_owned())
            .map_err(|unreadable| (unreadable.position, unreadable.reason))?;
        let (mut others, mut unreadable) = (Vec::with_capacity(ders.len()), Vec::new());
        for (index, der) in ders.enumerate() {
            if let Some(certificate) = view.already_read(der) {
                others.push(Arc::clone(certificate));
                continue;
            }
            match read_one(der, || format!("certificate {} of the chain", index + 2)) {
                Ok(certificate) => others.push(certificate),
                Err(piece) => unreadable.push(piece),
            }
        }
        Ok(Self {
            end_entity,
            others,
            unreadable,
        })
    }

    /// The certificate to decide on.
    pub(super) fn end_entity(&self) -> &Arc<Certificate> {
        &self.end_entity
    }

    pub(super) fn start(&self) -> Link {
        Link {
            place: END_ENTITY,
            certificate: Arc::clone(&self.end_entity),
        }
    }
}

fn read_one(der: &[u8], position: impl FnOnce() -> String) -> Result<Arc<Certificate>, Unreadable> {
    Certificate::parse(der).map(Arc::new).map_err(|detail| {
        let position = position();
        Unreadable {
            position: format!("the {position}"),
            reason: Reason::CertificateMalformed { position, detail },
        }
    })
}

/// The place of the end entity; the others follow in the order they were brought.
const END_ENTITY: usize = 0;

/// A certificate on a path, and its place among those the holder brought.
#[derive(Clone)]
pub(super) struct Link {
    place: usize,
    pub(super) certificate: Arc<Certificate>,
}

/// The key of an anchor certificate.
pub(super) struct AnchorKey<'a> {
    pub(super) source: &'a AnchorCertificate,
}

/// The trust model, for one question.
pub(super) struct Pki<'a> {
    pub(super) question: &'a Question,
    pub(super) view: &'a View,
    pub(super) crypto: &'a dyn Verifier,
    chain: &'a Chain,
    /// Those of the chain with a subject, by its canonical form.
    by_subject: BTreeMap<&'a [u8], Vec<usize>>,
    /// Which signatures were checked in this decision: a graph of cross-signs asks for the same
    /// one many times.
    checked: RefCell<BTreeMap<Edge, Result<(), Reason>>>,
}

/// A certificate, by its place, and the one whose key may have signed it, by its address. It is only ever
/// looked up: in which order addresses are changes from run to run.
type Edge = (usize, *const Certificate);

impl<'a> Pki<'a> {
    pub(super) fn new(
        chain: &'a Chain,
        question: &'a Question,
        view: &'a View,
        crypto: &'a dyn Verifier,
    ) -> Self {
        let mut by_subject: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (index, certificate) in chain.others.iter().enumerate() {
            let place = END_ENTITY + 1 + index;
            by_subject
                .entry(certificate.subject().canonical())
                .or_default()
                .push(place);
        }
        Self {
            question,
            view,
            crypto,
            chain,
            by_subject,
            checked: RefCell::default(),
        }
    }

    /// The certificates that the holder brought for one subject, in their order.
    pub(super) fn brought(
        &self,
        subject: &DistinguishedName,
    ) -> impl Iterator<Item = &Arc<Certificate>> {
        let places = self.by_subject.get(subject.canonical());
        places.into_iter().flatten().filter_map(|place| {
            let index = place.checked_sub(END_ENTITY + 1)?;
            self.chain.others.get(index)
        })
    }

    /// The intermediates that may have issued the last certificate of the trail, the likeliest
    /// first, and whether some were left out because the path would become too long. One that is
    /// left out is paid for here, since no one tries it: a hostile chain has thousands.
    fn intermediates(
        &self,
        trail: &[Link],
        child: &Certificate,
        allowed: u32,
        budget: &mut Budget,
    ) -> Result<(Vec<Link>, bool), Stop> {
        let Some(places) = self.by_subject.get(child.issuer().canonical()) else {
            return Ok((Vec::new(), false));
        };
        let counted = trail
            .iter()
            .skip(1)
            .filter(|link| !link.certificate.is_self_issued())
            .count();
        let is_full = counted >= usize::try_from(allowed).unwrap_or(usize::MAX);
        let is_deep = trail.len() > MOST_INTERMEDIATES;
        let mut too_long = false;
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            let Some(certificate) = self.chain.others.get(place - END_ENTITY - 1) else {
                continue;
            };
            if trail
                .iter()
                .any(|seen| is_same_issuer(&seen.certificate, certificate))
            {
                budget.step()?;
                continue;
            }
            if is_deep || (is_full && !certificate.is_self_issued()) {
                budget.step()?;
                too_long = true;
                continue;
            }
            found.push(Link {
                place: *place,
                certificate: Arc::clone(certificate),
            });
        }
        found.sort_by_cached_key(|link| likelihood(child, &link.certificate, self.question));
        Ok((found, too_long))
    }

    /// Checks the signature of `child` with the key of `issuer`.
    fn check_signature(
        &self,
        place: usize,
        child: &Certificate,
        issuer: &Arc<Certificate>,
        budget: &mut Budget,
    ) -> Result<(), Stop> {
        let edge = (place, Arc::as_ptr(issuer));
        if let Some(known) = self.checked.borrow().get(&edge) {
            return known.clone().map_err(Stop::Refused);
        }
        let (key, scheme) = match key_and_scheme(child, issuer) {
            Ok(pair) => pair,
            Err(reason) => return Err(Stop::Refused(reason)),
        };
        budget.signature(cost(key.kind()))?;
        budget.signature(hashing_cost(scheme, child.signed().len()))?;
        let answer = self
            .crypto
            .verify(key, scheme, child.signed(), child.signature())
            .map_err(|_| Reason::SignatureInvalid {
                subject: child.title().to_string(),
                issuer: issuer.title().to_string(),
                issuer_key: issuer.key_id().to_string(),
            });
        self.checked.borrow_mut().insert(edge, answer.clone());
        answer.map_err(Stop::Refused)
    }
}

impl Pki<'_> {
    /// That the identity of the certificate did not end after it was issued. Lists of serial numbers
    /// say which certificate is revoked; this says who.
    fn check_ended(
        &self,
        conclusion: &Conclusion,
        certificate: &Certificate,
    ) -> Result<(), Reason> {
        let endings = self.view.endings();
        let Some(id) = conclusion
            .spiffe_id
            .as_ref()
            .filter(|_| !endings.is_empty())
        else {
            return Ok(());
        };
        let issuer = format!("spiffe://{}", id.trust_domain());
        // Its own beginning: what is above it, and the lists that clear it, are made anew meanwhile.
        let birth = Birth::of_certificate(&issuer, id.as_str(), certificate.not_before());
        endings.check(&birth, id.as_str())
    }
}

impl<'a> Model for Pki<'a> {
    type Statement = Link;
    type AnchorKey = AnchorKey<'a>;
    type Conclusion = Conclusion;

    fn candidates(
        &self,
        trail: &[Link],
        budget: &mut Budget,
    ) -> Result<Vec<Candidate<Self>>, Stop> {
        let Some(last) = trail.last() else {
            return Err(Stop::Refused(Reason::CertificatesMissing {}));
        };
        let child = &last.certificate;
        budget.long_step(child.der().len())?;
        let allowed = self
            .question
            .context
            .max_path_length
            .unwrap_or(budget.limits().path_length);
        let key_id = authority_key_id(child);
        let anchors = self.view.certificates_named(child.issuer(), key_id);
        let mut candidates: Vec<Candidate<Self>> = anchors
            .into_iter()
            .map(|source| Candidate::Anchor(AnchorKey { source }))
            .collect();
        let (intermediates, too_long) = self.intermediates(trail, child, allowed, budget)?;
        candidates.extend(intermediates.into_iter().map(Candidate::Statement));
        match (candidates.is_empty(), too_long) {
            (false, _) => Ok(candidates),
            (true, true) => Err(Stop::Refused(Reason::PathLength { allowed })),
            (true, false) => Err(Stop::Refused(no_issuer(trail, child))),
        }
    }

    fn vouch(
        &self,
        trail: &[Link],
        candidate: &Candidate<Self>,
        budget: &mut Budget,
    ) -> Result<Vouch, Stop> {
        let Some(last) = trail.last() else {
            return Err(Stop::Refused(Reason::CertificatesMissing {}));
        };
        let child = &last.certificate;
        let issuer = match candidate {
            Candidate::Anchor(anchor) => &anchor.source.certificate,
            Candidate::Statement(link) => &link.certificate,
        };
        self.check_signature(last.place, child, issuer, budget)?;
        Ok(Vouch {
            vouches_for: child.title(),
            by: issuer.title(),
            how: How::X509,
            key: issuer.key_id(),
            valid: Some((child.not_before(), child.not_after())),
        })
    }

    fn conclude(
        &self,
        trail: &[Link],
        _path: &[Vouch],
        anchor: &AnchorKey<'a>,
        budget: &mut Budget,
    ) -> Result<Conclusion, Stop> {
        let sizes = trail.iter().map(|link| link.certificate.der().len());
        budget.whole_path(sizes.sum::<usize>() + anchor.source.certificate.der().len())?;
        let conclusion = validate::conclude(self, trail, anchor.source, budget)?;
        if let Some(shown) = trail.first() {
            self.check_ended(&conclusion, &shown.certificate)?;
        }
        Ok(conclusion)
    }

    fn name_of(&self, candidate: &Candidate<Self>) -> String {
        match candidate {
            Candidate::Anchor(anchor) => anchor.source.certificate.title().to_string(),
            Candidate::Statement(link) => link.certificate.title().to_string(),
        }
    }

    fn name_of_fault(&self, trail: &[Link], anchor: &AnchorKey<'a>, reason: &Reason) -> String {
        match reason.about() {
            About::Anchor => anchor.source.anchor.name.clone(),
            About::EndEntity => trail
                .first()
                .map(|link| link.certificate.title().to_string())
                .unwrap_or_default(),
            About::Subject(subject) => subject,
        }
    }

    fn name_of_end(&self, trail: &[Link]) -> String {
        trail
            .last()
            .map(|link| link.certificate.title().to_string())
            .unwrap_or_default()
    }
}

/// However long a path the question allows, no longer one is searched: each intermediate is a
/// level of recursion.
const MOST_INTERMEDIATES: usize = 64;

/// The key of the issuer and the scheme of the child's signature, if both are accepted.
fn key_and_scheme<'c>(
    child: &Certificate,
    issuer: &'c Certificate,
) -> Result<(&'c PublicKey, Scheme), Reason> {
    if let Some(inner) = child.differing_inner_algorithm() {
        return Err(algorithms_differ(child, inner));
    }
    let scheme = match child.signature_algorithm() {
        SignatureAlgorithm::Known(scheme) => *scheme,
        SignatureAlgorithm::Forbidden(algorithm) => {
            let subject = child.title().to_string();
            return Err(Reason::SignatureAlgorithmForbidden {
                subject,
                algorithm: algorithm.clone(),
            });
        }
    };
    match issuer.public_key() {
        Ok(key) => Ok((key, scheme)),
        Err(problem) => Err(key_refused(issuer, problem)),
    }
}

/// Loops are found as RFC 4158 2.4.2 asks: the same subject with the same key.
fn is_same_issuer(one: &Certificate, other: &Certificate) -> bool {
    one.public_key_info() == other.public_key_info() && one.subject() == other.subject()
}

fn authority_key_id(certificate: &Certificate) -> Option<&[u8]> {
    certificate
        .extensions()
        .authority_key_id
        .as_ref()?
        .value
        .key_id
        .as_deref()
}

/// Orders issuers of one name: a fitting key identifier first, then those valid now, then in the
/// order they were brought.
fn likelihood(child: &Certificate, issuer: &Certificate, question: &Question) -> (u8, bool, bool) {
    let named = authority_key_id(child);
    let own = issuer
        .extensions()
        .subject_key_id
        .as_ref()
        .map(|id| id.value.as_slice());
    let fit = match (named, own) {
        (Some(named), Some(own)) if named == own => 0,
        (Some(_), Some(_)) => 2,
        _ => 1,
    };
    let valid = issuer.not_before() <= question.now && question.now <= issuer.not_after();
    let is_ca = issuer
        .extensions()
        .basic_constraints
        .as_ref()
        .is_some_and(|basic| basic.value.is_ca);
    (fit, !valid, !is_ca)
}

/// Why there is no one above the last certificate of a trail.
fn no_issuer(trail: &[Link], child: &Certificate) -> Reason {
    let subject = child.title().to_string();
    if child.issuer().is_empty() {
        return Reason::IssuerEmpty { subject };
    }
    if child.is_self_issued() {
        let is_loop = trail.len() > 1
            && trail
                .iter()
                .rev()
                .skip(1)
                .any(|link| is_same_issuer(&link.certificate, child));
        return if is_loop {
            Reason::Loop { subject }
        } else {
            Reason::AnchorNotTrusted {
                subject,
                sha256: child.sha256().to_string(),
            }
        };
    }
    if trail
        .iter()
        .any(|link| link.certificate.subject() == child.issuer())
    {
        return Reason::Loop { subject };
    }
    Reason::IssuerNotFound {
        subject,
        issuer: child.issuer().to_string(),
        authority_key_id: authority_key_id(child)
            .map_or_else(|| "not given".to_owned(), crate::id::hex),
    }
}
