//! Bytes in their printed forms: PEM, base64, days and moments.

use avouch_core::reason::{Reason, printable};
use avouch_core::time::Time;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// One block of PEM (RFC 7468 3), not yet decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PemBlock<'a> {
    label: &'a str,
    body: &'a str,
}

impl<'a> PemBlock<'a> {
    /// What it says it holds, such as `CERTIFICATE`.
    pub fn label(&self) -> &'a str {
        self.label
    }

    /// Whether it says that it holds a private key, of whatever kind.
    pub fn is_private_key(&self) -> bool {
        self.label.contains("PRIVATE KEY")
    }

    /// Whether it says that it holds a certificate.
    pub fn is_certificate(&self) -> bool {
        matches!(self.label, "CERTIFICATE" | "X509 CERTIFICATE")
    }

    /// Whether it says that it holds a revocation list.
    pub fn is_crl(&self) -> bool {
        matches!(self.label, "X509 CRL" | "CRL")
    }

    /// What it is and how to have certificates of it, where it holds some in a form that is not read.
    pub fn wrapped_certificates(&self) -> Option<&'static str> {
        match self.label {
            "PKCS7" | "CMS" => Some(
                "it is a PKCS#7 bundle; take the certificates out with \
                 `openssl pkcs7 -print_certs`",
            ),
            "TRUSTED CERTIFICATE" => Some(
                "it is a certificate with uses that OpenSSL alone knows; take the certificate out \
                 with `openssl x509`",
            ),
            _ => None,
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    ///
    /// `input.pem_malformed` where they are not base64.
    pub fn decode(&self) -> Result<Vec<u8>, Reason> {
        base64(self.body).ok_or_else(|| Reason::PemMalformed {
            detail: format!(
                "the block `{}` holds something other than base64",
                printable(self.label)
            ),
        })
    }
}

/// What bytes are and how to have certificates of them, where they are a PKCS#7 bundle in DER: an
/// outer SEQUENCE that begins with the name of signed data (RFC 5652 3, 5.1).
pub fn bundled_certificates(bytes: &[u8]) -> Option<&'static str> {
    const SIGNED_DATA: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    // The length of a SEQUENCE takes one byte, or as many more as its first says.
    let (tag, rest) = bytes.split_first()?;
    let long = rest.first()?.checked_sub(0x80).unwrap_or_default();
    let inside = rest.get(1 + usize::from(long)..)?;
    (*tag == 0x30 && inside.starts_with(&SIGNED_DATA)).then_some(
        "it is a PKCS#7 bundle; take the certificates out with \
         `openssl pkcs7 -inform der -print_certs`",
    )
}

/// Whether `text` has the beginning of a PEM block anywhere.
pub fn looks_like_pem(text: &str) -> bool {
    text.contains(BEGIN)
}

/// The blocks of a PEM text, in order; what stands between them is skipped (RFC 7468 5.2).
///
/// A private key among them refuses the whole text before anything is decoded.
///
/// # Errors
///
/// `input.pem_malformed`, `input.private_key_given`.
pub fn pem_blocks(text: &str) -> Result<Vec<PemBlock<'_>>, Reason> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let Some((label, after)) = after.split_once(DASHES) else {
            return Err(pem_malformed("a BEGIN line does not end in five hyphens"));
        };
        let Some((body, after)) = after.split_once("-----END ") else {
            return Err(pem_malformed(&format!(
                "the block `{}` has no END line",
                shown(label)
            )));
        };
        if body.contains(BEGIN) {
            return Err(pem_malformed(&format!(
                "the block `{}` has no END line",
                shown(label)
            )));
        }
        let Some(after) = after
            .strip_prefix(label)
            .and_then(|after| after.strip_prefix(DASHES))
        else {
            return Err(pem_malformed(&format!(
                "the block `{}` ends with another name than it began with",
                shown(label)
            )));
        };
        blocks.push(PemBlock { label, body });
        rest = after;
    }
    if let Some(key) = blocks.iter().find(|block| block.is_private_key()) {
        return Err(Reason::PrivateKeyGiven {
            found: format!("a PEM block `{}`", shown(key.label)),
        });
    }
    Ok(blocks)
}

/// The DER of the certification request in a PEM text, under the name that it has now or the one that
/// older programs write (RFC 7468 7).
///
/// # Errors
///
/// `issue.request_malformed` if there is none, and those of [`pem_blocks`].
pub fn pem_signing_request(text: &str) -> Result<Vec<u8>, Reason> {
    let blocks = pem_blocks(text)?;
    let labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
    let refuse = |detail: &str| {
        let detail = detail.to_owned();
        Err(Reason::IssueRequest { detail })
    };
    let mut requests = blocks.iter().filter(|block| labels.contains(&block.label));
    match (requests.next(), requests.next()) {
        (Some(block), None) => block.decode(),
        (None, _) => refuse("there is no PEM block `CERTIFICATE REQUEST`"),
        // Whoever sent both would not know for which key the certificate is.
        (Some(_), Some(_)) => refuse(
            "there are several PEM blocks `CERTIFICATE REQUEST`, and one certificate is issued at a time",
        ),
    }
}

/// One block of PEM (RFC 7468 2), in lines of 64 characters.
pub fn to_pem(label: &str, der: &[u8]) -> String {
    let encoded = Base64::encode_string(der);
    let mut block = format!("-----BEGIN {label}-----\n");
    for (place, character) in encoded.chars().enumerate() {
        if place > 0 && place % 64 == 0 {
            block.push('\n');
        }
        block.push(character);
    }
    block.push_str(&format!("\n-----END {label}-----\n"));
    block
}

/// Standard base64 with padding (RFC 4648 4), in which white space is skipped.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    Base64::decode_vec(std::str::from_utf8(&dense).ok()?).ok()
}

/// A document of SAML: XML as it is, or base64 of it as the bindings of SAML and of OAuth have it
/// (SAML Bindings 3.5.4, RFC 7522 2.1).
pub fn saml(text: &str) -> Option<String> {
    let text = text.trim();
    if text.starts_with('<') {
        return Some(text.to_owned());
    }
    let url_safe = || Base64UrlUnpadded::decode_vec(text.trim_end_matches('=')).ok();
    let bytes = base64(text).or_else(url_safe)?;
    let document = String::from_utf8(bytes).ok()?;
    document.trim_start().starts_with('<').then_some(document)
}

/// A moment (RFC 3339), or a day, which stands for its first second in UTC.
pub fn time(text: &str) -> Option<Time> {
    Time::parse_or_day(text).ok()
}

fn pem_malformed(detail: &str) -> Reason {
    Reason::PemMalformed {
        detail: detail.to_owned(),
    }
}

/// A label as it may be shown: cut, since without its hyphens it may be anything.
fn shown(label: &str) -> String {
    printable(&label.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_between_blocks_is_skipped_and_blocks_keep_their_order() {
        let text = "Bag Attributes\n-----BEGIN A-----\r\nAA==\r\n-----END A-----\nx\n\
                    -----BEGIN B-----AQ==-----END B-----";
        let blocks = pem_blocks(text).unwrap();
        let read: Vec<_> = blocks
            .iter()
            .map(|block| (block.label(), block.decode().unwrap()))
            .collect();
        assert_eq!(read, [("A", vec![0]), ("B", vec![1])]);
    }

    #[test]
    fn a_private_key_refuses_the_whole_text_before_anything_is_decoded() {
        let text = "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n\
                    -----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";
        let reason = pem_blocks(text).err().unwrap();
        assert_eq!(reason.code(), "input.private_key_given");
        assert!(!reason.sentence().contains("c2VjcmV0"));
    }

    #[test]
    fn what_stands_in_the_place_of_a_label_is_cut_before_it_is_shown() {
        let text = format!("-----BEGIN {}-----", "secret".repeat(100));
        let sentence = pem_blocks(&text).err().unwrap().sentence();
        assert!(sentence.len() < 150, "{sentence}");
    }

    #[test]
    fn a_block_that_was_written_is_read_again() {
        let der: Vec<u8> = (0..200).collect();
        let text = to_pem("CERTIFICATE", &der);
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        let blocks = pem_blocks(&text).unwrap();
        assert_eq!(blocks[0].decode().unwrap(), der);
    }

    #[test]
    fn of_several_signing_requests_none_is_taken() {
        let (one, other) = (
            to_pem("CERTIFICATE REQUEST", &[1]),
            to_pem("NEW CERTIFICATE REQUEST", &[2]),
        );
        assert_eq!(pem_signing_request(&one), Ok(vec![1]));
        assert_eq!(pem_signing_request(&other), Ok(vec![2]));
        for text in [
            format!("{one}{one}"),
            format!("{one}{other}"),
            String::new(),
        ] {
            let refused = pem_signing_request(&text).unwrap_err();
            assert_eq!(refused.code(), "issue.request_malformed");
        }
    }

    #[test]
    fn a_day_is_its_first_second() {
        assert_eq!(time("2026-01-31"), time("2026-01-31T00:00:00Z"));
        assert_eq!(time("2026-02-30"), None);
        assert_eq!(time("tomorrow"), None);
    }
}
