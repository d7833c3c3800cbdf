//! The extensions of a certificate (RFC 5280 4.2), each read into what path validation needs.

use std::collections::BTreeSet;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use const_oid::db::rfc5912;
use der::asn1::{AnyRef, BitStringRef, OctetStringRef};
use der::{Tag, Tagged};

use super::der_read::{
    Context, Detail, decode, decode_all, each, elements, expect, inside, sequence,
};
use super::distribution_point::{DistributionPoint, distribution_points};
use super::general_name::GeneralName;

/// A value and whether its extension is critical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Critical<T> {
    /// Whether a verifier that does not know the extension must refuse.
    pub critical: bool,
    /// What it says.
    pub value: T,
}

/// The extensions that path validation looks at, and what is wrong with the rest.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    pub(crate) authority_information_access: Option<Critical<()>>,
    pub(crate) authority_key_id: Option<Critical<AuthorityKeyId>>,
    pub(crate) basic_constraints: Option<Critical<BasicConstraints>>,
    pub(crate) certificate_policies: Option<Critical<Vec<ObjectIdentifier>>>,
    pub(crate) crl_distribution_points: Option<Critical<Vec<DistributionPoint>>>,
    pub(crate) extended_key_usage: Option<Critical<ExtendedKeyUsage>>,
    pub(crate) inhibit_any_policy: Option<Critical<u32>>,
    pub(crate) key_usage: Option<Critical<KeyUsage>>,
    pub(crate) name_constraints: Option<Critical<NameConstraints>>,
    pub(crate) policy_constraints: Option<Critical<PolicyConstraints>>,
    pub(crate) policy_mappings: Option<Critical<Vec<(ObjectIdentifier, ObjectIdentifier)>>>,
    pub(crate) subject_alternative_names: Option<Critical<Vec<GeneralName>>>,
    pub(crate) subject_key_id: Option<Critical<Vec<u8>>>,
    /// The first extension that could not be read, and why.
    pub(crate) malformed: Option<(String, Detail)>,
    /// The first extension that is there twice.
    pub(crate) duplicate: Option<ObjectIdentifier>,
    /// The first critical extension that is not known here.
    pub(crate) unknown_critical: Option<ObjectIdentifier>,
}

/// `BasicConstraints` (RFC 5280 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the subject is a CA.
    pub is_ca: bool,
    /// The most intermediates that may follow below it.
    pub path_length: Option<u32>,
}

/// `KeyUsage` (RFC 5280 4.2.1.3), the bits counted from `digitalSignature` = 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// Bit 0.
    pub fn digital_signature(self) -> bool {
        self.has(0)
    }

    /// Bits 2, 3, 4, 7 or 8: to encrypt, or to agree on a key.
    pub(crate) fn encrypts_or_agrees(self) -> bool {
        [2, 3, 4, 7, 8].into_iter().any(|bit| self.has(bit))
    }

    /// Bits 0, 2 or 4, of which one serves a server of TLS (RFC 5280 4.2.1.12).
    pub(crate) fn fits_server(self) -> bool {
        [0, 2, 4].into_iter().any(|bit| self.has(bit))
    }

    /// Bits 0 or 4, of which one serves a client of TLS (RFC 5280 4.2.1.12).
    pub(crate) fn fits_client(self) -> bool {
        [0, 4].into_iter().any(|bit| self.has(bit))
    }

    /// The bits that are set, by their names.
    pub(crate) fn names(self) -> Vec<String> {
        const NAMES: [&str; 9] = [
            "digitalSignature",
            "nonRepudiation",
            "keyEncipherment",
            "dataEncipherment",
            "keyAgreement",
            "keyCertSign",
            "cRLSign",
            "encipherOnly",
            "decipherOnly",
        ];
        let set = (0..).zip(NAMES).filter(|(bit, _)| self.has(*bit));
        set.map(|(_, name)| name.to_owned()).collect()
    }

    /// Bit 5.
    pub fn key_cert_sign(self) -> bool {
        self.has(5)
    }

    /// Bit 6.
    pub fn crl_sign(self) -> bool {
        self.has(6)
    }

    /// Whether no bit is set, which RFC 5280 4.2.1.3 does not allow.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn has(self, bit: u16) -> bool {
        self.0 & (1 << bit) != 0
    }
}

/// `ExtKeyUsageSyntax` (RFC 5280 4.2.1.12).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedKeyUsage {
    pub(crate) usages: Vec<ObjectIdentifier>,
}

impl ExtendedKeyUsage {
    pub(crate) fn any(&self) -> bool {
        self.usages.contains(&rfc5280::ANY_EXTENDED_KEY_USAGE)
    }

    /// The usages by the names people know.
    pub fn names(&self) -> Vec<String> {
        self.usages.iter().map(super::algorithm::oid_name).collect()
    }
}

/// `AuthorityKeyIdentifier` (RFC 5280 4.2.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorityKeyId {
    pub(crate) key_id: Option<Vec<u8>>,
    pub(crate) has_issuer: bool,
    pub(crate) has_serial: bool,
}

/// `NameConstraints` (RFC 5280 4.2.1.10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameConstraints {
    /// Subtrees that a name of their kind must lie in.
    pub permitted: Vec<Subtree>,
    /// Subtrees that no name may lie in.
    pub excluded: Vec<Subtree>,
}

/// `GeneralSubtree` (RFC 5280 4.2.1.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// The base of the subtree.
    pub base: GeneralName,
    /// Whether it has a minimum or maximum, which RFC 5280 does not use.
    pub has_distance: bool,
}

/// `PolicyConstraints` (RFC 5280 4.2.1.11), in certificates to skip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyConstraints {
    /// `requireExplicitPolicy`.
    pub require_explicit: Option<u32>,
    /// `inhibitPolicyMapping`.
    pub inhibit_mapping: Option<u32>,
}

impl Extensions {
    /// Reads the SEQUENCE OF extensions. Refused only when it is not one; what is wrong inside an
    /// extension is kept.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Detail> {
        let mut extensions = Self::default();
        let mut seen = BTreeSet::new();
        for value in each(inside(bytes)?)? {
            let extension = Extension::parse(value?)?;
            if !seen.insert(extension.oid) {
                extensions.duplicate.get_or_insert(extension.oid);
                continue;
            }
            if let Err(detail) = extensions.take(&extension) {
                let name = super::algorithm::oid_name(&extension.oid);
                extensions.malformed.get_or_insert((name, detail));
            }
        }
        if seen.is_empty() {
            return Err("the list of extensions is empty".to_owned());
        }
        Ok(extensions)
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each extension")]
    fn take(&mut self, extension: &Extension<'_>) -> Result<(), Detail> {
        let Extension {
            oid,
            critical,
            content,
        } = *extension;
        fn keep<T>(slot: &mut Option<Critical<T>>, critical: bool, value: T) {
            *slot = Some(Critical { critical, value });
        }
        match oid {
            rfc5280::ID_PE_AUTHORITY_INFO_ACCESS => {
                keep(
                    &mut self.authority_information_access,
                    critical,
                    access_descriptions(content)?,
                );
            }
            rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                keep(
                    &mut self.authority_key_id,
                    critical,
                    authority_key_id(content)?,
                );
            }
            rfc5280::ID_CE_BASIC_CONSTRAINTS => {
                keep(
                    &mut self.basic_constraints,
                    critical,
                    basic_constraints(content)?,
                );
            }
            rfc5280::ID_CE_CERTIFICATE_POLICIES => {
                keep(
                    &mut self.certificate_policies,
                    critical,
                    certificate_policies(content)?,
                );
            }
            rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS => {
                keep(
                    &mut self.crl_distribution_points,
                    critical,
                    distribution_points(content)?,
                );
            }
            rfc5280::ID_CE_EXT_KEY_USAGE => {
                keep(
                    &mut self.extended_key_usage,
                    critical,
                    extended_key_usage(content)?,
                );
            }
            rfc5280::ID_CE_INHIBIT_ANY_POLICY => {
                keep(&mut self.inhibit_any_policy, critical, decode_all(content)?);
            }
            rfc5280::ID_CE_KEY_USAGE => keep(&mut self.key_usage, critical, key_usage(content)?),
            rfc5280::ID_CE_NAME_CONSTRAINTS => {
                keep(
                    &mut self.name_constraints,
                    critical,
                    name_constraints(content)?,
                );
            }
            rfc5280::ID_CE_POLICY_CONSTRAINTS => {
                keep(
                    &mut self.policy_constraints,
                    critical,
                    policy_constraints(content)?,
                );
            }
            rfc5280::ID_CE_POLICY_MAPPINGS => {
                keep(
                    &mut self.policy_mappings,
                    critical,
                    policy_mappings(content)?,
                );
            }
            rfc5280::ID_CE_SUBJECT_ALT_NAME => {
                let names = GeneralName::parse_list(inside(content)?)?;
                if names.is_empty() {
                    return Err("it holds no name".to_owned());
                }
                keep(&mut self.subject_alternative_names, critical, names);
            }
            rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER => {
                let id: &OctetStringRef = decode_all(content)?;
                keep(&mut self.subject_key_id, critical, id.as_bytes().to_vec());
            }
            unknown if critical => {
                self.unknown_critical.get_or_insert(unknown);
            }
            _ => {}
        }
        Ok(())
    }
}

pub(super) struct Extension<'a> {
    pub(super) oid: ObjectIdentifier,
    pub(super) critical: bool,
    pub(super) content: &'a [u8],
}

impl<'a> Extension<'a> {
    pub(super) fn parse(value: AnyRef<'a>) -> Result<Self, Detail> {
        let mut parts = each(expect(value, Tag::Sequence)?)?;
        let (oid, critical, content) =
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(oid), Some(content), None, None) => (oid?, false, content?),
                (Some(oid), Some(critical), Some(content), None) => {
                    (oid?, decode(critical?)?, content?)
                }
                _ => return Err("an extension is not a type, a flag and a value".to_owned()),
            };
        Ok(Self {
            oid: decode(oid)?,
            critical,
            content: expect(content, Tag::OctetString)?,
        })
    }
}

fn access_descriptions(content: &[u8]) -> Result<(), Detail> {
    let list = sequence(content)?;
    if list.is_empty() {
        return Err("it holds no access description".to_owned());
    }
    for description in list {
        let parts = elements(expect(description, Tag::Sequence)?)?;
        let [method, location] = parts.as_slice() else {
            return Err("an access description is not a method and a location".to_owned());
        };
        decode::<ObjectIdentifier>(*method)?;
        GeneralName::parse(*location)?;
    }
    Ok(())
}

pub(super) fn authority_key_id(content: &[u8]) -> Result<AuthorityKeyId, Detail> {
    let mut id = AuthorityKeyId::default();
    for field in each(inside(content)?)? {
        let field = field?;
        match Context::of(field) {
            Context::Primitive(0) => id.key_id = Some(field.value().to_vec()),
            Context::Constructed(1) => id.has_issuer = true,
            Context::Primitive(2) => id.has_serial = true,
            _ => return Err("it has a field that is not known".to_owned()),
        }
    }
    Ok(id)
}

fn basic_constraints(content: &[u8]) -> Result<BasicConstraints, Detail> {
    let mut constraints = BasicConstraints {
        is_ca: false,
        path_length: None,
    };
    let mut fields = each(inside(content)?)?;
    let mut next = fields.next().transpose()?;
    if let Some(flag) = next.filter(|field| field.tag() == Tag::Boolean) {
        constraints.is_ca = decode(flag)?;
        next = fields.next().transpose()?;
    }
    if let Some(length) = next.filter(|field| field.tag() == Tag::Integer) {
        constraints.path_length = Some(decode(length)?);
        next = fields.next().transpose()?;
    }
    match next {
        None => Ok(constraints),
        Some(_) => Err("it has a field that is not known".to_owned()),
    }
}

fn certificate_policies(content: &[u8]) -> Result<Vec<ObjectIdentifier>, Detail> {
    let mut policies = Vec::new();
    let mut seen = BTreeSet::new();
    for information in sequence(content)? {
        let parts = elements(expect(information, Tag::Sequence)?)?;
        let oid = parts
            .first()
            .ok_or_else(|| "a policy is empty".to_owned())?;
        let oid: ObjectIdentifier = decode(*oid)?;
        if !seen.insert(oid) {
            return Err(format!("it names the policy {oid} twice"));
        }
        policies.push(oid);
    }
    if policies.is_empty() {
        return Err("it names no policy".to_owned());
    }
    Ok(policies)
}

fn extended_key_usage(content: &[u8]) -> Result<ExtendedKeyUsage, Detail> {
    let usages = each(inside(content)?)?
        .map(|usage| decode(usage?))
        .collect::<Result<Vec<_>, _>>()?;
    if usages.is_empty() {
        return Err("it names no usage".to_owned());
    }
    Ok(ExtendedKeyUsage { usages })
}

fn key_usage(content: &[u8]) -> Result<KeyUsage, Detail> {
    let bits: BitStringRef<'_> = decode_all(content)?;
    let mut usage = 0;
    for (bit, set) in bits.bits().enumerate().take(9) {
        if set {
            usage |= 1 << bit;
        }
    }
    Ok(KeyUsage(usage))
}

fn name_constraints(content: &[u8]) -> Result<NameConstraints, Detail> {
    let mut constraints = NameConstraints::default();
    for field in sequence(content)? {
        let subtrees = elements(field.value())?
            .into_iter()
            .map(subtree)
            .collect::<Result<_, _>>()?;
        match Context::of(field) {
            Context::Constructed(0) => constraints.permitted = subtrees,
            Context::Constructed(1) => constraints.excluded = subtrees,
            _ => return Err("it has a field that is neither permitted nor excluded".to_owned()),
        }
    }
    Ok(constraints)
}

fn subtree(value: AnyRef<'_>) -> Result<Subtree, Detail> {
    let parts = elements(expect(value, Tag::Sequence)?)?;
    let base = parts
        .first()
        .ok_or_else(|| "a subtree has no base".to_owned())?;
    Ok(Subtree {
        base: GeneralName::parse(*base)?,
        has_distance: parts.len() > 1,
    })
}

fn policy_constraints(content: &[u8]) -> Result<PolicyConstraints, Detail> {
    let mut constraints = PolicyConstraints::default();
    let fields = sequence(content)?;
    if fields.is_empty() {
        return Err("it constrains nothing".to_owned());
    }
    for field in fields {
        let skip = implicit_number(field)?;
        match Context::of(field) {
            Context::Primitive(0) => constraints.require_explicit = Some(skip),
            Context::Primitive(1) => constraints.inhibit_mapping = Some(skip),
            _ => return Err("it has a field that is not known".to_owned()),
        }
    }
    Ok(constraints)
}

/// An INTEGER under an implicit context-specific tag. More than fits counts as the most that does:
/// it only says how many certificates to skip.
fn implicit_number(field: AnyRef<'_>) -> Result<u32, Detail> {
    match field.value() {
        [] => Err("a number is empty".to_owned()),
        [first, ..] if *first >= 0x80 => Err("a number is negative".to_owned()),
        bytes => Ok(bytes.iter().fold(0_u32, |number, byte| {
            number.saturating_mul(256).saturating_add(u32::from(*byte))
        })),
    }
}

fn policy_mappings(content: &[u8]) -> Result<Vec<(ObjectIdentifier, ObjectIdentifier)>, Detail> {
    let mut mappings = Vec::new();
    for mapping in sequence(content)? {
        let parts = elements(expect(mapping, Tag::Sequence)?)?;
        let [issuer, subject] = parts.as_slice() else {
            return Err("a mapping is not two policies".to_owned());
        };
        mappings.push((decode(*issuer)?, decode(*subject)?));
    }
    if mappings.is_empty() {
        return Err("it maps nothing".to_owned());
    }
    Ok(mappings)
}

/// The OID that stands for a purpose in an extended key usage.
pub(crate) const SERVER_AUTH: ObjectIdentifier = rfc5912::ID_KP_SERVER_AUTH;
/// The OID that stands for a purpose in an extended key usage.
pub(crate) const CLIENT_AUTH: ObjectIdentifier = rfc5912::ID_KP_CLIENT_AUTH;
