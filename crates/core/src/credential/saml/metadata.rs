//! Metadata of an identity provider (SAML Metadata 2): its name, its keys, and until when they may
//! be used.

use roxmltree::Node;

use super::xml::{self, Rounded, attribute, base64, is, is_of_signature, named};
use super::{PROTOCOL, SIGNATURE};
use crate::reason::{Reason, printable};
use crate::time::Time;

/// The namespace of metadata.
const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";

/// What metadata says of one identity provider.
pub(crate) struct Metadata {
    pub(crate) entity_id: String,
    /// DER certificates of the keys that it signs with.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// From when on it must not be used any more.
    pub(crate) valid_until: Option<Time>,
    /// After how long it is to be read anew, as it is written. That ends nothing: who put it has read it then,
    /// and nobody reads it by themselves.
    pub(crate) cache_duration: Option<String>,
}

impl Metadata {
    /// Reads what a document says of the identity provider called `wanted`, or of the only one.
    pub(crate) fn read(text: &str, wanted: Option<&str>) -> Result<Self, Reason> {
        let document = xml::read(text)?;
        let entities: Vec<Node<'_, '_>> = document
            .descendants()
            .filter(|node| is(*node, METADATA, "EntityDescriptor"))
            .filter(|node| named(*node, METADATA, "IDPSSODescriptor").any(speaks_saml_2))
            .filter(|node| wanted.is_none_or(|name| attribute(*node, "entityID") == Some(name)))
            .collect();
        let entity = match entities.as_slice() {
            [one] => *one,
            [] => {
                return Err(xml::malformed(match wanted {
                    Some(name) => format!(
                        "the metadata describes no identity provider `{}`",
                        printable(name)
                    ),
                    None => "the metadata describes no identity provider".to_owned(),
                }));
            }
            _ => {
                return Err(xml::malformed(
                    "the metadata describes several identity providers; say which with `entity_id`"
                        .to_owned(),
                ));
            }
        };
        Self::of(entity)
    }

    fn of(entity: Node<'_, '_>) -> Result<Self, Reason> {
        let entity_id = attribute(entity, "entityID").unwrap_or_default();
        let mut valid_until = None;
        let mut certificates = Vec::new();
        for around in entity.ancestors().filter(Node::is_element) {
            keep_earliest(&mut valid_until, around)?;
        }
        let around = entity.ancestors().filter(Node::is_element);
        let cache_duration = named(entity, METADATA, "IDPSSODescriptor")
            .filter(|role| speaks_saml_2(*role))
            .chain(around)
            .find_map(|node| attribute(node, "cacheDuration"));
        for role in named(entity, METADATA, "IDPSSODescriptor").filter(|role| speaks_saml_2(*role))
        {
            keep_earliest(&mut valid_until, role)?;
            for key in named(role, METADATA, "KeyDescriptor") {
                if attribute(key, "use").is_some_and(|purpose| purpose != "signing") {
                    continue;
                }
                for certificate in key
                    .descendants()
                    .filter(|node| is_of_signature(*node, "X509Certificate"))
                {
                    certificates.push(base64(certificate)?);
                }
            }
        }
        if certificates.is_empty() {
            return Err(xml::malformed(format!(
                "the metadata of `{}` has no certificate for signing ({SIGNATURE}X509Certificate)",
                printable(entity_id)
            )));
        }
        Ok(Self {
            entity_id: entity_id.to_owned(),
            certificates,
            valid_until,
            cache_duration: cache_duration.map(printable),
        })
    }
}

fn speaks_saml_2(role: Node<'_, '_>) -> bool {
    attribute(role, "protocolSupportEnumeration").is_some_and(|protocols| {
        protocols
            .split_ascii_whitespace()
            .any(|one| one == PROTOCOL)
    })
}

fn keep_earliest(known: &mut Option<Time>, node: Node<'_, '_>) -> Result<(), Reason> {
    if let Some(text) = attribute(node, "validUntil") {
        let end = xml::time(text, Rounded::Down)?;
        *known = Some(known.map_or(end, |known| known.min(end)));
    }
    Ok(())
}
