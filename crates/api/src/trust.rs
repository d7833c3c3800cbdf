//! Trust documents: what a tenant trusts, as it stands in a file.

mod beside;
mod common;

use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Stewardship};
use avouch_core::credential::api_key::ApiKeyAnchor;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::jose::status_list::StatusList;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::ended::{Ending, Endings, Mark};
use avouch_core::id::{Digest, TenantId, TrustDomain};
use avouch_core::model::federation::{FederationAnchor, Introspected, IssuerAnchor, SamlAnchor};
use avouch_core::model::ssh::SshAnchor;
use avouch_core::reason::{Reason, printable};
use avouch_core::service::Service;
use avouch_core::set_aside::{SetAside, Unusable};
use avouch_core::view::View;
use serde_json::{Map, Value};

use crate::members::{Document, MOST_VALUES, Members};
use crate::question::certificates;
use crate::strict::{NotAValue, Room, Strict, read_value};
use crate::text::{self, PemBlock};
use beside::{ending, introspected, read_service, status_list};
use common::{Common, MAY_BE_NULL};

/// What a tenant trusts, read from one text.
///
/// An anchor that cannot be read is set aside and not trusted, and shows in every refusal. A
/// revocation list that cannot be read refuses the document: without it someone would be believed
/// who was withdrawn.
#[derive(Clone, Debug)]
pub struct TrustDocument {
    entries: Vec<Entry>,
    crls: Vec<Crl>,
    status_lists: Vec<Arc<StatusList>>,
    introspected: Vec<Arc<Introspected>>,
    set_aside: SetAside,
    endings: Vec<(Mark, Ending)>,
    services: Vec<Service>,
    digest: Digest,
}

/// An anchor, and the members it was made from that are peculiar to its kind, so that two of them
/// can be compared member by member.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The anchor.
    pub anchor: Anchor,
    /// What its kind added to what every anchor has.
    pub members: Map<String, Value>,
}

impl TrustDocument {
    /// Reads a trust document in JSON or YAML, the metadata of an identity provider of SAML, or a
    /// store of certificates in PEM or DER. `source`
    /// is where it came from, for the reader; `tenant` owns every anchor that names no other.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, and those of what stands in it that refuse it whole.
    pub fn read(bytes: &[u8], tenant: &TenantId, source: &str) -> Result<Self, Reason> {
        let reader = Reader { tenant, source };
        let mut document = match std::str::from_utf8(bytes) {
            Ok(text) if text.trim().is_empty() => {
                return Err(Document::Trust.refuse("it is empty"));
            }
            Ok(text) => reader.text(text)?,
            Err(_) => reader.der(bytes)?,
        };
        document.digest = Digest::of(bytes);
        Ok(document)
    }

    /// Reads a trust document in JSON, as it stands in a question.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, and those of what stands in it that refuse it whole.
    pub fn read_json(text: &str, tenant: &TenantId, source: &str) -> Result<Self, Reason> {
        let mut document = Reader { tenant, source }.json(text)?;
        document.digest = Digest::of(text.as_bytes());
        Ok(document)
    }

    /// As [`TrustDocument::read_json`], where it was sent by someone else: of a bounded number of
    /// values.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, and those of what stands in it that refuse it whole.
    /// `limit.json_members`.
    pub fn read_sent_json(text: &str, tenant: &TenantId, source: &str) -> Result<Self, Reason> {
        let room = Room::of(MOST_VALUES);
        let value = room
            .read(text)
            .map_err(|error| Document::Trust.unread(&room, MOST_VALUES, &error))?;
        let mut document = Reader { tenant, source }.document(value)?;
        document.digest = Digest::of(text.as_bytes());
        Ok(document)
    }

    /// Reads one anchor that was sent alone to be kept, and is called `object` where it is refused. What
    /// is wrong in part is refused whole.
    ///
    /// # Errors
    ///
    /// Those of the anchor, told of `object`.
    pub fn of_anchor(
        object: &'static str,
        anchor: Value,
        tenant: &TenantId,
        source: &str,
    ) -> Result<Self, Reason> {
        let mut document = Self::empty();
        document.digest = Digest::of(anchor.to_string().as_bytes());
        let reader = Reader { tenant, source };
        let read = reader.read_anchor(object, anchor, &mut document);
        read.map_err(|reason| reason.of_sent(object))?;
        match document.set_aside.kept().first() {
            None => Ok(document),
            Some(unusable) => Err(unusable.reason.clone().of_sent(object)),
        }
    }

    /// A store of certificates that `source` keeps, such as the operating system's. The reason for
    /// their trust is one for all.
    pub fn of_store(
        certificates: &[Vec<u8>],
        tenant: &TenantId,
        source: &str,
        stewardship: &Stewardship,
    ) -> Self {
        let mut document = Self::empty();
        document.digest = Digest::of_list(certificates.iter().map(Vec::as_slice));
        for (number, der) in (1..).zip(certificates) {
            let common = Common {
                stewardship: stewardship.clone(),
                ..Common::of_nothing(tenant)
            };
            document.add_certificate(der, &nth(number, source), common, source);
        }
        document
    }

    /// The anchors, in the order of the text.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The revocation lists.
    pub fn crls(&self) -> &[Crl] {
        &self.crls
    }

    /// The status lists of tokens.
    pub fn status_lists(&self) -> &[Arc<StatusList>] {
        &self.status_lists
    }

    /// What could not be read.
    pub fn set_aside(&self) -> &SetAside {
        &self.set_aside
    }

    /// The digest of the text.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What `tenant` knows when these documents are all it has.
    pub fn view(tenant: TenantId, documents: Vec<Self>) -> View {
        let epoch = Digest::of_list(
            documents
                .iter()
                .map(|document| document.digest.as_bytes().as_slice()),
        );
        let mut anchors = Vec::new();
        let mut crls = Vec::new();
        let mut status_lists = Vec::new();
        let mut introspected = Vec::new();
        let mut set_aside = SetAside::default();
        let mut endings = Endings::default();
        let mut services = Vec::new();
        for document in documents {
            anchors.extend(document.entries.into_iter().map(|entry| entry.anchor));
            crls.extend(document.crls);
            status_lists.extend(document.status_lists);
            introspected.extend(document.introspected);
            set_aside.append(document.set_aside);
            services.extend(document.services);
            for (mark, ending) in document.endings {
                endings.put(mark, ending);
            }
        }
        // What ended stands in the text, and so in its digest.
        View::new(tenant, anchors, crls, set_aside, epoch)
            .with_endings(Arc::new(endings))
            .with_status_lists(&status_lists)
            .with_introspected(&introspected)
            .with_services(services)
    }

    fn empty() -> Self {
        Self {
            entries: Vec::new(),
            crls: Vec::new(),
            status_lists: Vec::new(),
            introspected: Vec::new(),
            set_aside: SetAside::default(),
            endings: Vec::new(),
            services: Vec::new(),
            digest: Digest::of(&[]),
        }
    }

    /// Adds an anchor of one certificate, or sets it aside; `position` is where it stands.
    fn add_certificate(&mut self, der: &[u8], position: &str, common: Common, source: &str) {
        match Certificate::parse(der) {
            Ok(certificate) => {
                let name = certificate.title().to_string();
                let kind = AnchorKind::Certificate(Arc::new(certificate));
                let anchor = common.anchor(name, kind, source);
                self.entries.push(Entry {
                    anchor,
                    members: Map::new(),
                });
            }
            Err(detail) => self.set_aside.push(|| Unusable {
                what: position.to_owned(),
                reason: Reason::CertificateMalformed {
                    position: position.to_owned(),
                    detail,
                },
            }),
        }
    }

    fn add_crl(&mut self, der: &[u8], source: &str) -> Result<(), Reason> {
        let position = format!(
            "revocation list {} of {}",
            self.crls.len() + 1,
            printable(source)
        );
        let crl = Crl::parse(der).map_err(|detail| Reason::CrlMalformed { position, detail })?;
        self.crls.push(crl);
        Ok(())
    }
}

/// Which certificate of several.
fn nth(number: usize, source: &str) -> String {
    format!("certificate number {number} of {}", printable(source))
}

/// Who reads, and for whom.
struct Reader<'a> {
    tenant: &'a TenantId,
    source: &'a str,
}

impl Reader<'_> {
    fn text(&self, text: &str) -> Result<TrustDocument, Reason> {
        if text.trim_start().starts_with('{') {
            return self.json(text);
        }
        if text.trim_start().starts_with('<') {
            let metadata = serde_json::json!({ "anchors": [{ "saml": { "metadata": text } }] });
            return self.document(metadata);
        }
        if looks_like_token(text) {
            let mut document = TrustDocument::empty();
            document
                .status_lists
                .push(status_list(0, Value::from(text))?);
            return Ok(document);
        }
        // A certificate in PEM inside a YAML document is indented or follows a key; a store of
        // certificates has its first block at the beginning of a line.
        if text.lines().any(|line| line.starts_with("-----BEGIN ")) {
            return self.store(&text::pem_blocks(text)?);
        }
        if let Some(der) = looks_like_der(text) {
            return self.der(&der);
        }
        self.yaml(text)
    }

    fn json(&self, text: &str) -> Result<TrustDocument, Reason> {
        let Strict(value) = serde_json::from_str(text)
            .map_err(|error| Document::Trust.refuse(error.to_string()))?;
        self.document(value)
    }

    fn yaml(&self, text: &str) -> Result<TrustDocument, Reason> {
        let value = read_value(text).map_err(|NotAValue(why)| Document::Trust.refuse(why))?;
        self.document(value)
    }

    fn store(&self, blocks: &[PemBlock<'_>]) -> Result<TrustDocument, Reason> {
        let mut document = TrustDocument::empty();
        for block in blocks {
            let der = block.decode()?;
            if block.is_certificate() {
                let number = 1 + document.entries.len() + document.set_aside.count();
                let position = nth(number, self.source);
                let common = Common::of_nothing(self.tenant);
                document.add_certificate(&der, &position, common, self.source);
            } else if block.is_crl() {
                document.add_crl(&der, self.source)?;
            } else if let Some(what) = block.wrapped_certificates() {
                return Err(Document::Trust.refuse(what));
            } else {
                return Err(Document::Trust.refuse(format!(
                    "it holds a PEM block `{}`; a store holds certificates and revocation lists",
                    printable(block.label())
                )));
            }
        }
        Ok(document)
    }

    fn der(&self, bytes: &[u8]) -> Result<TrustDocument, Reason> {
        let mut document = TrustDocument::empty();
        if Certificate::parse(bytes).is_ok() {
            let common = Common::of_nothing(self.tenant);
            document.add_certificate(bytes, &nth(1, self.source), common, self.source);
            return Ok(document);
        }
        if let Some(what) = text::bundled_certificates(bytes) {
            return Err(Document::Trust.refuse(what));
        }
        if document.add_crl(bytes, self.source).is_err() {
            return Err(Document::Trust
                .refuse("it is binary, and neither a certificate nor a revocation list in DER"));
        }
        Ok(document)
    }

    fn document(&self, value: Value) -> Result<TrustDocument, Reason> {
        if value.get("trust_domains").is_some() && value.get("anchors").is_none() {
            return self.bundle_map(&value);
        }
        if value.get("keys").is_some_and(Value::is_array) && value.get("anchors").is_none() {
            return Err(Document::Trust.refuse(
                "it is a set of keys and does not say whose: a SPIFFE bundle is trusted as \
                 `{\"anchors\": [{\"trust_domain\": …, \"bundle\": …}]}`, the keys of an issuer as \
                 `{\"anchors\": [{\"issuer\": …, \"jwks\": …}]}`",
            ));
        }
        let mut members = Members::of(Document::Trust, "", value)?;
        let anchors = members.list("anchors")?;
        let crls = members.list("crls")?.unwrap_or_default();
        let ended = members.list("ended")?.unwrap_or_default();
        let lists = members.list("status_lists")?.unwrap_or_default();
        let answers = members.list("introspected")?.unwrap_or_default();
        let services = members.list("services")?.unwrap_or_default();
        let is_bare = [&crls, &ended, &lists, &answers, &services]
            .iter()
            .all(|list| list.is_empty());
        if anchors.is_none() && is_bare {
            members.finish()?;
            return Err(Document::Trust.refuse("it has neither `anchors` nor `crls`"));
        }
        members.finish()?;
        let mut document = TrustDocument::empty();
        for (index, anchor) in anchors.unwrap_or_default().into_iter().enumerate() {
            self.anchor(index, anchor, &mut document);
        }
        for (index, crl) in crls.into_iter().enumerate() {
            self.crl(index, crl, &mut document)?;
        }
        for (index, list) in lists.into_iter().enumerate() {
            document.status_lists.push(status_list(index, list)?);
        }
        for (index, answer) in answers.into_iter().enumerate() {
            document.introspected.push(introspected(index, answer)?);
        }
        for (index, ended) in ended.into_iter().enumerate() {
            document.endings.push(ending(index, ended)?);
        }
        for (index, service) in services.iter().enumerate() {
            document.services.push(read_service(index, service)?);
        }
        Ok(document)
    }

    /// A map of SPIFFE bundles (SPIFFE Trust Domain and Bundle 4.3), as others write it: each is an
    /// anchor. What else stands in it means nothing there.
    fn bundle_map(&self, map: &Value) -> Result<TrustDocument, Reason> {
        let mut document = TrustDocument::empty();
        for bundle in Bundle::read_map(map)? {
            let name = bundle.trust_domain.to_string();
            let written = map.get("trust_domains").and_then(|all| all.get(&name));
            let members = [
                ("trust_domain", Some(Value::from(name.as_str()))),
                ("bundle", written.cloned()),
            ];
            let members = members.into_iter();
            let members = members.filter_map(|(name, value)| Some((name.to_owned(), value?)));
            let common = Common::of_nothing(self.tenant);
            document.entries.push(Entry {
                anchor: common.anchor(name, AnchorKind::TrustDomain(bundle), self.source),
                members: members.collect(),
            });
        }
        Ok(document)
    }

    fn crl(&self, index: usize, crl: Value, document: &mut TrustDocument) -> Result<(), Reason> {
        let path = format!("crls[{index}]");
        let Value::String(text) = crl else {
            return Err(Document::Trust.refuse(format!("`{path}` must be a string")));
        };
        if !text::looks_like_pem(&text) {
            let der = text::base64(&text)
                .filter(|der| !der.is_empty())
                .ok_or_else(|| {
                    Document::Trust.refuse(format!("`{path}` is neither PEM nor base64"))
                })?;
            return document.add_crl(&der, self.source);
        }
        for block in text::pem_blocks(&text)? {
            if !block.is_crl() {
                return Err(Document::Trust.refuse(format!(
                    "`{path}` holds a PEM block that is not a revocation list"
                )));
            }
            document.add_crl(&block.decode()?, self.source)?;
        }
        Ok(())
    }

    /// Reads one anchor into the document, or sets it aside whole.
    fn anchor(&self, index: usize, value: Value, document: &mut TrustDocument) {
        let path = format!("anchors[{index}]");
        let called = value.get("name").and_then(Value::as_str).map(printable);
        let before = (document.entries.len(), document.set_aside.mark());
        if let Err(reason) = self.read_anchor(&path, value, document) {
            // Nothing of an anchor that is wrong in part is trusted.
            document.entries.truncate(before.0);
            document.set_aside.back_to(before.1);
            document.set_aside.push(|| Unusable {
                what: match called {
                    Some(name) => format!("{path} ({name})"),
                    None => path,
                },
                reason,
            });
        }
    }

    fn read_anchor(
        &self,
        path: &str,
        value: Value,
        document: &mut TrustDocument,
    ) -> Result<(), Reason> {
        let members = Members::of(Document::Trust, path, value)?;
        let mut members = members.without_nulls(MAY_BE_NULL);
        let common = Common::take(path, &mut members, self.tenant)?;
        let at_most = common.constraints.grants_at_most.to_json();
        let kind = kind_of(path, &members)?;
        if common.stewardship.public_store.is_some() && !matches!(kind, Kind::X509) {
            return Err(members.refuse("store", "belongs to certificates"));
        }
        let mut read = match kind {
            Kind::ApiKey => api_key(path, members)?,
            Kind::Issuer => issuer(path, members)?,
            Kind::Federation => federation(path, members)?,
            Kind::Saml => saml(path, members)?,
            Kind::Ssh => ssh(path, members)?,
            Kind::TrustDomain => trust_domain(members)?,
            Kind::X509 => return self.x509(path, members, &common, document),
            Kind::Unsupported(name) => {
                let detail = "is known by name, but this version cannot use it";
                return Err(members.refuse(name, detail));
            }
        };
        if !at_most.is_null() {
            read.members.insert("grants_at_most".to_owned(), at_most);
        }
        document.entries.push(Entry {
            anchor: common.anchor(read.name, read.kind, self.source),
            members: read.members,
        });
        Ok(())
    }

    /// One anchor for each certificate.
    fn x509(
        &self,
        path: &str,
        mut members: Members,
        common: &Common,
        document: &mut TrustDocument,
    ) -> Result<(), Reason> {
        let text = members.required_text("x509")?;
        members.finish()?;
        let mut ders = Vec::new();
        certificates(Document::Trust, &format!("{path}.x509"), &text, &mut ders)?;
        let source = format!("{path} of {}", self.source);
        let is_one = ders.len() == 1;
        for (number, der) in (1..).zip(&ders) {
            let position = if is_one {
                format!("certificate of {}", printable(&source))
            } else {
                nth(number, &source)
            };
            document.add_certificate(der, &position, common.clone(), &source);
        }
        Ok(())
    }
}

/// What an anchor can be.
#[derive(Clone, Copy)]
enum Kind {
    ApiKey,
    Federation,
    Issuer,
    Saml,
    Ssh,
    TrustDomain,
    /// Known by this name, and of no use yet.
    Unsupported(&'static str),
    X509,
}

/// The member that makes an anchor what it is.
const KINDS: [(&str, Kind); 9] = [
    ("x509", Kind::X509),
    ("issuer", Kind::Issuer),
    ("openid_federation", Kind::Federation),
    ("saml", Kind::Saml),
    ("ssh", Kind::Ssh),
    ("trust_domain", Kind::TrustDomain),
    ("api_key", Kind::ApiKey),
    ("pin", Kind::Unsupported("pin")),
    ("introducer", Kind::Unsupported("introducer")),
];

fn kind_of(path: &str, members: &Members) -> Result<Kind, Reason> {
    let mut found = KINDS
        .iter()
        .filter(|(name, _)| members.names_left().any(|left| left == *name));
    match (found.next(), found.next()) {
        (Some((_, kind)), None) => Ok(*kind),
        (Some((one, _)), Some((other, _))) => Err(Document::Trust.refuse(format!(
            "`{path}` is both `{one}` and `{other}`; make two anchors of it"
        ))),
        (None, _) => Err(Document::Trust.refuse(format!(
            "`{path}` says nothing to trust: it needs one of `x509`, `issuer`, `saml`, `ssh`, \
             `trust_domain` and `api_key`"
        ))),
    }
}

/// What the core made of the members of one kind, and its name if it is given no other.
struct Read {
    name: String,
    kind: AnchorKind,
    members: Map<String, Value>,
}

fn issuer(path: &str, members: Members) -> Result<Read, Reason> {
    let members = members.rest();
    let anchor = IssuerAnchor::read_at(path, &members)?;
    Ok(Read {
        name: anchor.issuer().to_owned(),
        kind: AnchorKind::Issuer(anchor),
        members,
    })
}

fn federation(path: &str, members: Members) -> Result<Read, Reason> {
    let members = members.rest();
    let anchor = FederationAnchor::read_at(path, &members)?;
    Ok(Read {
        name: anchor.entity_id().to_owned(),
        kind: AnchorKind::Federation(anchor),
        members,
    })
}

fn saml(path: &str, members: Members) -> Result<Read, Reason> {
    let members = members.rest();
    let anchor = SamlAnchor::read_at(path, &members)?;
    Ok(Read {
        name: anchor.entity_id().to_owned(),
        kind: AnchorKind::Saml(anchor),
        members,
    })
}

fn ssh(path: &str, mut members: Members) -> Result<Read, Reason> {
    let value = members.take("ssh").unwrap_or_default();
    members.finish()?;
    let anchor = SshAnchor::read_at(&format!("{path}.ssh"), &value)?;
    let name = match anchor.subject() {
        Some(subject) => format!("SSH keys of {subject}"),
        None => format!("SSH authority {}", anchor.fingerprints().join(", ")),
    };
    Ok(Read {
        name,
        kind: AnchorKind::Ssh(anchor),
        members: Map::from_iter([("ssh".to_owned(), value)]),
    })
}

fn trust_domain(mut members: Members) -> Result<Read, Reason> {
    let name = members.required_text("trust_domain")?;
    let bundle = members
        .take("bundle")
        .ok_or_else(|| members.refuse("bundle", "is missing"))?;
    members.finish()?;
    let name = TrustDomain::parse_named(&name)?;
    let anchor = Bundle::read(name.as_str(), &bundle)?;
    Ok(Read {
        name: name.to_string(),
        kind: AnchorKind::TrustDomain(anchor),
        members: Map::from_iter([("bundle".to_owned(), bundle)]),
    })
}

fn api_key(path: &str, mut members: Members) -> Result<Read, Reason> {
    let value = members.take("api_key").unwrap_or_default();
    members.finish()?;
    let anchor = ApiKeyAnchor::read_at(&format!("{path}.api_key"), &value)?;
    Ok(Read {
        name: format!("API key of {}", anchor.subject()),
        kind: AnchorKind::ApiKey(anchor),
        members: Map::from_iter([("api_key".to_owned(), value)]),
    })
}

/// DER in base64 and nothing else, as certificates stand in JSON. A SEQUENCE of more than 127 bytes begins
/// so (X.690 8.1.3), and no document in YAML is one word of base64.
fn looks_like_der(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    text.starts_with('M')
        .then(|| text::base64(text))
        .flatten()
        .filter(|der| der.first() == Some(&0x30))
}

/// A compact token is one word that begins with an object in base64url.
fn looks_like_token(text: &str) -> bool {
    let text = text.trim();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.starts_with("ey")
        && text.bytes().filter(|byte| *byte == b'.').count() == 2
        && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests;
