//! Whether a certificate was revoked, by the lists of its issuer (RFC 5280 6.3.3).
//!
//! Lists are given, never fetched. As soon as one list names the issuer of a certificate, the
//! relying party has shown that it means to check that issuer: a certificate that none of its
//! lists can clear is then refused. Without any, it is refused only when status is required.

use super::alone::{readable, valid_now};
use super::search::Pki;
use crate::budget::Budget;
use crate::credential::x509::{
    AuthorityKeyId, Certificate, Crl, DistributionPoint, GeneralName, IssuingDistributionPoint,
    PointName, ReasonFlags, Revocation, RevocationReason, SignatureAlgorithm,
};
use crate::crypto;

use crate::id::hex;
use crate::question::Profile;
use crate::reason::Reason;
use crate::stop::Stop;
use crate::verdict::StatusSource;

/// The lists that clear `certificate`; none where there is no list of its issuer and none is
/// required. `path` is the whole path, on which `certificate` stands, from the anchor down.
/// Refused when it is revoked, and when its status cannot be told but must be.
pub(super) fn status(
    certificate: &Certificate,
    path: &[&Certificate],
    model: &Pki<'_>,
    budget: &mut Budget,
) -> Result<Vec<StatusSource>, Stop> {
    let inquiry = Inquiry {
        certificate,
        path,
        model,
        signers: Signers::AnyoneForTheIssuer,
    };
    inquiry.status(budget)
}

struct Inquiry<'a> {
    certificate: &'a Certificate,
    path: &'a [&'a Certificate],
    model: &'a Pki<'a>,
    signers: Signers,
}

/// Who may sign the lists that count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signers {
    /// The issuer with a key of the path, or with one that it certified for its lists alone.
    AnyoneForTheIssuer,
    /// Only a key of the path: for those certified for lists, whose own lists they cannot sign.
    OnThePath,
}

impl Inquiry<'_> {
    fn status(&self, budget: &mut Budget) -> Result<Vec<StatusSource>, Stop> {
        let lists = self.model.view.crls_of(self.certificate.issuer());
        let mut usable = Vec::new();
        let mut covered = ReasonFlags::default();
        let mut problem = None;
        for list in lists.iter().map(AsRef::as_ref) {
            match self.usable(list, budget) {
                Ok(reasons) => {
                    if !is_delta(list) {
                        covered = covered.with(reasons);
                    }
                    usable.push(list);
                }
                // A relying party need not use deltas (RFC 5280 5.2.4): the complete list speaks.
                Err(Stop::Refused(_)) if is_delta(list) => {}
                Err(Stop::Refused(reason)) => problem = Some(nearer(problem, reason)),
                Err(final_word @ (Stop::Decided(_) | Stop::Exhausted(_))) => {
                    return Err(final_word);
                }
            }
        }
        self.not_revoked(&usable)?;
        let sources = sources(&usable);
        if covered.is_all() {
            return Ok(sources);
        }
        if let Some(reason) = problem {
            return Err(reason.into());
        }
        Err(match (lists.first(), self.other_list_issuer()) {
            (_, Some(issuer)) => Reason::CrlIndirectUnsupported { issuer }.into(),
            (Some(list), None) if sources.is_empty() => Reason::CrlDeltaWithoutBase {
                issuer: list.issuer().to_string(),
            }
            .into(),
            (Some(_), None) => self.out_of_scope("only some reasons for revocation are covered"),
            (None, None) if self.model.question.context.require_revocation => {
                Reason::StatusUnknown {
                    subject: self.certificate.title().to_string(),
                    issuer: self.certificate.issuer().to_string(),
                }
                .into()
            }
            (None, None) => return Ok(sources),
        })
    }

    /// Refused when one of the usable lists names the certificate, and no newer one takes it back.
    ///
    /// A delta counts for what it names also where the complete list that it builds on is not there:
    /// it is the word of the issuer that the certificate is revoked.
    fn not_revoked(&self, usable: &[&Crl]) -> Result<(), Reason> {
        let serial = self.certificate.serial();
        for list in usable {
            let Some(word) = list.find(serial) else {
                continue;
            };
            let is_taken_back = match word.reason {
                RevocationReason::RemoveFromCrl => is_delta(list),
                RevocationReason::CertificateHold => {
                    let mut newer = usable.iter();
                    newer.any(|newer| is_lifted(serial, list, newer))
                }
                _ => false,
            };
            if !is_taken_back {
                return Err(self.revoked(list, word));
            }
        }
        Ok(())
    }

    /// For which reasons the list would name the certificate. Refused when it does not speak of
    /// the certificate or is not to be believed.
    fn usable(&self, list: &Crl, budget: &mut Budget) -> Result<ReasonFlags, Stop> {
        let reasons = self.scope(list)?;
        self.well_formed(list)?;
        self.current(list)?;
        self.signed(list, budget)?;
        Ok(reasons)
    }

    /// RFC 5280 6.3.3 (b), (d).
    fn scope(&self, list: &Crl) -> Result<ReasonFlags, Stop> {
        let Some(extension) = &list.extensions().issuing_distribution_point else {
            return Ok(ReasonFlags::ALL);
        };
        let point = &extension.value;
        let is_ca = self
            .certificate
            .extensions()
            .basic_constraints
            .as_ref()
            .is_some_and(|constraints| constraints.value.is_ca);
        if point.only_attribute_certificates {
            return Err(self.out_of_scope("it covers attribute certificates only"));
        }
        if point.only_user_certificates && is_ca {
            return Err(self.out_of_scope("it covers end-entity certificates only"));
        }
        if point.only_ca_certificates && !is_ca {
            return Err(self.out_of_scope("it covers CA certificates only"));
        }
        let reasons = point.only_some_reasons.unwrap_or(ReasonFlags::ALL);
        match &point.name {
            Some(name) => Ok(reasons.only(self.reasons_at(name, point)?)),
            None => Ok(reasons),
        }
    }

    /// The reasons for which the certificate says its status is told at a distribution point.
    fn reasons_at(
        &self,
        name: &PointName,
        issuing: &IssuingDistributionPoint,
    ) -> Result<ReasonFlags, Stop> {
        let own: &[DistributionPoint] = self
            .certificate
            .extensions()
            .crl_distribution_points
            .as_ref()
            .map_or(&[], |points| &points.value);
        if self.model.question.profile == Profile::WebPki {
            let written_as_asked =
                |point: &DistributionPoint| point.name.as_ref().is_none_or(PointName::is_only_uris);
            if !name.is_only_uris() || !own.iter().all(written_as_asked) {
                return Err(self.out_of_scope(
                    "its distribution point, or that of the certificate, is not named by URIs alone \
                     (CA/B BR 7.1.2.11.2, 7.2.2.1)",
                ));
            }
        }
        let issuer = self.certificate.issuer();
        let names = name.complete(issuer);
        let mut reasons = ReasonFlags::default();
        for point in own.iter().filter(|point| is_by_issuer(point, issuing)) {
            let Some(own_name) = &point.name else {
                continue;
            };
            if own_name
                .complete(issuer)
                .iter()
                .any(|name| names.contains(name))
            {
                reasons = reasons.with(point.reasons.unwrap_or(ReasonFlags::ALL));
            }
        }
        // RFC 5280 6.3.3: beside those it names, a certificate has a point named as its issuer.
        if names.contains(&GeneralName::Directory(issuer.clone())) {
            reasons = ReasonFlags::ALL;
        }
        if reasons == ReasonFlags::default() {
            return Err(
                self.out_of_scope("its distribution point is not one that the certificate names")
            );
        }
        Ok(reasons)
    }

    /// RFC 5280 5.1, 5.2, 5.3.
    fn well_formed(&self, list: &Crl) -> Result<(), Stop> {
        let issuer = || list.issuer().to_string();
        let extensions = list.extensions();
        if let Some(oid) = &extensions.unknown_critical {
            let (issuer, oid) = (issuer(), oid.to_string());
            return Err(Reason::CrlCriticalExtensionUnknown { issuer, oid }.into());
        }
        let indirect = extensions
            .issuing_distribution_point
            .as_ref()
            .is_some_and(|point| point.value.indirect);
        if indirect || extensions.names_certificate_issuers {
            return Err(Reason::CrlIndirectUnsupported { issuer: issuer() }.into());
        }
        let invalid = |field: &str, detail: &str| {
            Err(Reason::CrlInvalid {
                issuer: issuer(),
                field: field.to_owned(),
                detail: detail.to_owned(),
            }
            .into())
        };
        if let Some(defect) = list.defect() {
            return invalid(&defect.field, &defect.detail);
        }
        match &extensions.number {
            None => return invalid("crlNumber", "is missing"),
            Some(number) if number.critical => return invalid("crlNumber", "is marked critical"),
            Some(_) => {}
        }
        // RFC 5280 does not say that a serial stands once; the public Web holds CAs to it.
        if self.model.question.profile == Profile::WebPki && list.names_a_serial_twice() {
            return invalid("revokedCertificates", "names a serial number twice");
        }
        match list.signature_algorithm() {
            SignatureAlgorithm::Known(_) => Ok(()),
            SignatureAlgorithm::Forbidden(algorithm) => {
                let (issuer, algorithm) = (issuer(), algorithm.clone());
                Err(Reason::CrlSignatureAlgorithmForbidden { issuer, algorithm }.into())
            }
        }
    }

    /// RFC 5280 5.1.2.4, 5.1.2.5, 6.3.3 (a).
    fn current(&self, list: &Crl) -> Result<(), Stop> {
        let at = self.model.question.now;
        let issuer = || list.issuer().to_string();
        if at < list.this_update() {
            let this_update = list.this_update();
            return Err(Reason::CrlNotYetValid {
                issuer: issuer(),
                this_update,
                at,
            }
            .into());
        }
        match list.next_update() {
            Some(next_update) if next_update < at => Err(Reason::CrlExpired {
                issuer: issuer(),
                next_update,
                at,
            }
            .into()),
            Some(_) | None => Ok(()),
        }
    }

    /// RFC 5280 6.3.3 (f), (g). Any certificate on the path with the name of the issuer may have
    /// signed: after a change of key it stands there with both, and either speaks for it.
    fn signed(&self, list: &Crl, budget: &mut Budget) -> Result<(), Stop> {
        let named = |certificate: &&&Certificate| certificate.subject() == list.issuer();
        for signer in self.path.iter().filter(named) {
            if self.is_signed_by(list, signer, budget)? {
                if signer.may_sign_lists() {
                    return Ok(());
                }
                return Err(Reason::CrlSigningForbidden {
                    issuer: list.issuer().to_string(),
                }
                .into());
            }
        }
        if self.signers == Signers::AnyoneForTheIssuer {
            for signer in self.model.brought(list.issuer()) {
                budget.step()?;
                if self.is_list_signer(signer, budget)?
                    && self.is_signed_by(list, signer, budget)?
                {
                    return Ok(());
                }
            }
        }
        Err(Reason::CrlSignatureInvalid {
            issuer: list.issuer().to_string(),
        }
        .into())
    }

    fn is_signed_by(
        &self,
        list: &Crl,
        signer: &Certificate,
        budget: &mut Budget,
    ) -> Result<bool, Stop> {
        let (Ok(key), SignatureAlgorithm::Known(scheme)) =
            (signer.public_key(), list.signature_algorithm())
        else {
            return Ok(false);
        };
        // Paid whether or not it is remembered, so that what happened before cannot change the
        // verdict.
        budget.signature(crypto::cost(key.kind()))?;
        if list.verify(key, self.model.crypto).is_ok() {
            return Ok(true);
        }
        // Failures are not remembered; a long list costs its hashing every time.
        budget.signature(crypto::hashing_cost(*scheme, list.signed_length()))?;
        Ok(false)
    }

    /// Whether a certificate that is not on the path gives the issuer of a list another key to
    /// sign it with: issued by that same CA, or by the one above it on the path, for this use by
    /// name, and not revoked itself.
    fn is_list_signer(&self, signer: &Certificate, budget: &mut Budget) -> Result<bool, Stop> {
        let key_usage = signer.extensions().key_usage.as_ref();
        let is_meant = key_usage.is_some_and(|usage| usage.value.crl_sign());
        let at = self.model.question.now;
        if !is_meant || readable(signer).is_err() || valid_now(signer, at).is_err() {
            return Ok(false);
        }
        let of_that_name = |ca: &&Certificate| ca.subject() == signer.subject();
        let Some(first) = self.path.iter().position(of_that_name) else {
            return Ok(false);
        };
        let authorities = self.path.get(first.saturating_sub(1)..=first);
        let mut is_issued = false;
        for authority in authorities.unwrap_or_default() {
            if authority.subject() == signer.issuer() {
                is_issued |= self.is_issued_by(signer, authority, budget)?;
            }
        }
        if !is_issued {
            return Ok(false);
        }
        let inquiry = Inquiry {
            certificate: signer,
            path: self.path,
            model: self.model,
            signers: Signers::OnThePath,
        };
        match inquiry.status(budget) {
            Ok(_) => Ok(true),
            Err(Stop::Refused(_)) => Ok(false),
            Err(final_word @ (Stop::Decided(_) | Stop::Exhausted(_))) => Err(final_word),
        }
    }

    fn is_issued_by(
        &self,
        child: &Certificate,
        authority: &Certificate,
        budget: &mut Budget,
    ) -> Result<bool, Stop> {
        let (Ok(key), SignatureAlgorithm::Known(scheme)) =
            (authority.public_key(), child.signature_algorithm())
        else {
            return Ok(false);
        };
        budget.signature(crypto::cost(key.kind()))?;
        budget.signature(crypto::hashing_cost(*scheme, child.signed().len()))?;
        let held = self
            .model
            .crypto
            .verify(key, *scheme, child.signed(), child.signature());
        Ok(held.is_ok())
    }

    /// Another issuer of lists that the certificate names and of which there is a list.
    fn other_list_issuer(&self) -> Option<String> {
        let points = &self.certificate.extensions().crl_distribution_points;
        points
            .iter()
            .flat_map(|points| &points.value)
            .flat_map(|point| &point.list_issuer)
            .find_map(|name| match name {
                GeneralName::Directory(name)
                    if name != self.certificate.issuer()
                        && !self.model.view.crls_of(name).is_empty() =>
                {
                    Some(name.to_string())
                }
                _ => None,
            })
    }

    fn out_of_scope(&self, detail: &'static str) -> Stop {
        Reason::CrlOutOfScope {
            subject: self.certificate.title().to_string(),
            issuer: self.certificate.issuer().to_string(),
            detail,
        }
        .into()
    }

    fn revoked(&self, list: &Crl, revocation: Revocation) -> Reason {
        Reason::CredentialRevoked {
            subject: self.certificate.title().to_string(),
            serial: hex(self.certificate.serial()),
            revoked_at: revocation.at,
            why: revocation.reason.in_words().to_owned(),
            by: list.issuer().to_string(),
        }
    }
}

/// Of two problems, the one worth telling: that a list is bad, before that it is another one.
fn nearer(known: Option<Reason>, reason: Reason) -> Reason {
    match known {
        Some(known) if !matches!(known, Reason::CrlOutOfScope { .. }) => known,
        Some(_) | None => reason,
    }
}

fn is_delta(list: &Crl) -> bool {
    list.extensions().base_number.is_some()
}

fn number(list: &Crl) -> Option<&impl Ord> {
    list.extensions()
        .number
        .as_ref()
        .map(|number| &number.value)
}

/// Whether `newer` takes back a hold that `list` tells of (RFC 5280 5.3.1): a complete list by naming
/// the certificate no longer, a delta by `removeFromCRL`. Nothing takes back any other revocation.
fn is_lifted(serial: &[u8], list: &Crl, newer: &Crl) -> bool {
    let is_taken_back = match newer.find(serial) {
        Some(word) => is_delta(newer) && word.reason == RevocationReason::RemoveFromCrl,
        None => !is_delta(newer),
    };
    is_taken_back && number(newer) > number(list) && scope_of(newer) == scope_of(list)
}

/// The complete lists, each with the newest delta that builds on it (RFC 5280 5.2.4, 6.3.3 (c)).
fn sources(usable: &[&Crl]) -> Vec<StatusSource> {
    let mut sources = Vec::new();
    for complete in usable.iter().filter(|list| !is_delta(list)) {
        sources.push(source(complete));
        let deltas = usable.iter().filter(|list| builds_on(list, complete));
        sources.extend(
            deltas
                .max_by_key(|list| number(list))
                .map(|delta| source(delta)),
        );
    }
    sources
}

/// Whether a delta list has the scope of a complete one, is newer, and starts no later than it.
fn builds_on(delta: &Crl, complete: &Crl) -> bool {
    let (Some(starts_at), Some(complete_number)) = (
        &delta.extensions().base_number,
        &complete.extensions().number,
    ) else {
        return false;
    };
    starts_at.value <= complete_number.value
        && number(delta) > number(complete)
        && scope_of(delta) == scope_of(complete)
}

/// Of what a list tells, and with which key: lists with one scope and key follow each other.
fn scope_of(list: &Crl) -> (Option<&IssuingDistributionPoint>, Option<&AuthorityKeyId>) {
    let extensions = list.extensions();
    let point = extensions.issuing_distribution_point.as_ref();
    let key = extensions.authority_key_id.as_ref();
    (point.map(|point| &point.value), key.map(|key| &key.value))
}

/// Whether a distribution point is one at which the issuer of the certificate speaks itself.
fn is_by_issuer(point: &DistributionPoint, issuing: &IssuingDistributionPoint) -> bool {
    point.list_issuer.is_empty() || issuing.indirect
}

fn source(list: &Crl) -> StatusSource {
    StatusSource {
        source: "crl",
        issuer: list.issuer().to_string(),
        as_of: list.this_update(),
        next: list.next_update(),
    }
}
