//! The certificate of an endorsement key (TCG EK Credential Profile for TPM Family 2.0).

use const_oid::ObjectIdentifier;

use crate::credential::x509::{Certificate, GeneralName};

/// `tcg-kp-EKCertificate`: the key in the certificate is the endorsement key of a TPM.
const ENDORSEMENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");

const MANUFACTURER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.1");
const MODEL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.2");
const VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.3");

/// Whether a certificate says that its key is the endorsement key of a TPM. Whoever certifies
/// TPMs may certify other keys too, which anyone may hold.
pub fn is_endorsement(certificate: &Certificate) -> bool {
    let usages = &certificate.extensions().extended_key_usage;
    usages
        .as_ref()
        .is_some_and(|usages| usages.value.usages.contains(&ENDORSEMENT))
}

/// What a certificate says of the TPM, as its maker wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maker {
    /// Who made it, such as `id:494E5443`: four letters in hexadecimal.
    pub manufacturer: Option<String>,
    /// What the maker calls it.
    pub model: Option<String>,
    /// Which version of it, such as `id:00020008`.
    pub version: Option<String>,
}

impl Maker {
    /// Reads it from the alternative names (EK Credential Profile 3.2.9). What is said twice is not
    /// said.
    pub fn of(certificate: &Certificate) -> Self {
        let only = |oid| {
            let names = certificate.alternative_names().iter();
            let mut values = names.flat_map(|name| match name {
                GeneralName::Directory(name) => name.values_of(oid),
                GeneralName::Dns(_)
                | GeneralName::Email(_)
                | GeneralName::Ip(_)
                | GeneralName::Other(_)
                | GeneralName::Rare(_)
                | GeneralName::Uri(_) => Vec::new(),
            });
            values.next().filter(|_| values.next().is_none())
        };
        Self {
            manufacturer: only(MANUFACTURER),
            model: only(MODEL),
            version: only(VERSION),
        }
    }
}
