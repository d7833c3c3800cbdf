//! What kubeadm looks at before it believes a cluster: the hash of the key of its CA, and a
//! signature with the secret of a bootstrap token.

use avouch_core::credential::x509::Certificate;
use avouch_core::id::{Digest, hex};
use aws_lc_rs::hmac;
use base64ct::{Base64UrlUnpadded, Encoding};

use crate::fault::Fault;

/// The hash of the `SubjectPublicKeyInfo` of a certificate (RFC 7469 2.4, with the digest in
/// hexadecimal), as `kubeadm join --discovery-token-ca-cert-hash` takes it.
///
/// # Errors
///
/// [`Fault::AuthorityUnusable`] for what is no certificate.
pub fn spki_hash(certificate: &[u8]) -> Result<String, Fault> {
    let certificate = Certificate::parse(certificate).map_err(Fault::AuthorityUnusable)?;
    let digest = Digest::of(certificate.public_key_info());
    Ok(format!("sha256:{}", hex(digest.as_bytes())))
}

/// A JSON Web Signature over `content`, detached (RFC 7515 F), with HMAC-SHA-256 and the secret of a
/// bootstrap token. Whoever checks it makes it anew and compares the texts, so it has one form.
pub fn detached_jws(token: &str, secret: &[u8], content: &[u8]) -> String {
    let header = format!(r#"{{"alg":"HS256","kid":"{token}"}}"#);
    let header = Base64UrlUnpadded::encode_string(header.as_bytes());
    let payload = Base64UrlUnpadded::encode_string(content);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{header}.{payload}").as_bytes());
    format!(
        "{header}..{}",
        Base64UrlUnpadded::encode_string(tag.as_ref())
    )
}
