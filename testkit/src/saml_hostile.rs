//! What is done to SAML responses to have another believed than was signed, and what looks like it
//! and is right.

use crate::certificate::CertificateForge;
use crate::key::{Key, RsaTestKey};
use crate::saml::{self, SamlForge, response, signature};
use crate::world::{Authority, pem};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

/// The identity provider.
pub const ISSUER: &str = "https://idp.example.com/saml";
/// The service.
pub const AUDIENCE: &str = "https://app.example.com/saml/metadata";
/// Where it is shown assertions.
pub const RECIPIENT: &str = "https://app.example.com/saml/acs";
/// Who signs in.
pub const SUBJECT: &str = "alice@example.com";

/// One case: how it is called, what is shown, and the code of the refusal.
pub type Hostile = (&'static str, String, &'static str);

/// The key of the identity provider.
pub fn key() -> Key {
    Key::rsa(RsaTestKey::A)
}

/// The identity provider as an anchor.
pub fn anchor() -> Value {
    let authority = Authority::root_with("Example Identity Provider", key(), |forge| forge);
    let certificate = pem("CERTIFICATE", &authority.certificate);
    json!({"saml": {"entity_id": ISSUER, "certificates": [certificate]}})
}

/// An assertion in which everything is right.
pub fn forge() -> SamlForge {
    SamlForge::new(ISSUER, SUBJECT, AUDIENCE, RECIPIENT)
}

/// The assertion, signed.
pub fn signed() -> String {
    forge().sign(&key())
}

/// A response in which everything is right.
pub fn good() -> String {
    response(&signed())
}

/// What nobody signed: the same about an administrator.
fn evil() -> SamlForge {
    forge()
        .with(saml::ID, "_evil")
        .with(SUBJECT, "admin@example.com")
}

/// The signature of the good assertion, and the assertion without it.
fn parted() -> (String, String) {
    let signed = signed();
    let (before, rest) = signed.split_once("<ds:Signature ").expect("it is signed");
    let (inside, after) = rest.split_once("</ds:Signature>").expect("it ends");
    (
        format!("<ds:Signature {inside}</ds:Signature>"),
        format!("{before}{after}"),
    )
}

/// `outer` with `inside` after its issuer.
fn after_issuer(outer: &str, inside: &str) -> String {
    outer.replacen("</saml:Issuer>", &format!("</saml:Issuer>{inside}"), 1)
}

/// Every kind of hostile input 58 that shows in what is presented.
pub fn hostile() -> Vec<Hostile> {
    [wrapped(), misread(), unsigned(), weak(), misplaced()].concat()
}

/// The eight wrappings of "On Breaking SAML" (2012), and their kin.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn wrapped() -> Vec<Hostile> {
    let count = "federation.saml_assertion_count";
    let evil = evil().unsigned();
    let (signature, bare) = parted();
    let signed = signed();
    let of_response = |inside: &str| response(inside).replace("\"_r1\"", "\"_r2\"");
    let last = |outer: &str, inside: &str| {
        outer.replacen(
            "</saml:Assertion>",
            &format!("{inside}</saml:Assertion>"),
            1,
        )
    };
    let in_signature =
        |inside: &str| signature.replace("</ds:Signature>", &format!("{inside}</ds:Signature>"));
    let object = |inside: &str| format!("<ds:Object>{inside}</ds:Object>");
    let extensions = |inside: &str| {
        format!(
            "<samlp:Extensions xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\">{inside}\
             </samlp:Extensions>"
        )
    };
    vec![
        (
            "XSW1: the signed response inside of the signature of another",
            response(&format!("{}{evil}", in_signature(&of_response(&bare)))),
            count,
        ),
        (
            "XSW2: the signed response beside the signature of another",
            response(&format!("{}{signature}{evil}", of_response(&bare))),
            count,
        ),
        (
            "XSW3: another assertion before it",
            response(&format!("{evil}{signed}")),
            count,
        ),
        (
            "XSW3: another assertion after it",
            response(&format!("{signed}{evil}")),
            count,
        ),
        (
            "XSW4: inside of another assertion",
            response(&last(&evil, &signed)),
            count,
        ),
        (
            "XSW5: another has its signature",
            response(&format!("{}{bare}", after_issuer(&evil, &signature))),
            count,
        ),
        (
            "XSW6: inside of its signature, in another",
            response(&after_issuer(&evil, &in_signature(&bare))),
            count,
        ),
        (
            "XSW7: another in an extension",
            response(&format!("{}{signed}", extensions(&evil))),
            count,
        ),
        (
            "XSW8: inside of an object of its signature, in another",
            response(&after_issuer(&evil, &in_signature(&object(&bare)))),
            count,
        ),
        (
            "two that are both signed",
            response(&format!("{signed}{}", {
                forge().with(saml::ID, "_a2").sign(&key())
            })),
            count,
        ),
        (
            "a signed one in another response",
            response(&of_response(&signed)),
            "federation.saml_signature_misplaced",
        ),
        (
            "another beside one that is encrypted",
            response(&format!(
                "{signed}<saml:EncryptedAssertion \
                 xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>"
            )),
            count,
        ),
    ]
}

/// What two readers read differently.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn misread() -> Vec<Hostile> {
    let malformed = "input.saml_malformed";
    let comment = "federation.saml_comment";
    let good = good();
    let mallory = format!("{SUBJECT}.evil.test");
    let laughs = "<!DOCTYPE r [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">\
                  <!ENTITY c \"&b;&b;&b;&b;\">]>";
    let entity = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    let of_mallory = response(&forge().with(SUBJECT, &mallory).sign(&key()));
    vec![
        (
            "a comment that cuts the name short",
            of_mallory.replace(&mallory, &format!("{SUBJECT}<!---->.evil.test")),
            comment,
        ),
        (
            "a comment in the digest (CVE-2025-29775)",
            good.replace("<ds:DigestValue>", "<ds:DigestValue><!--AAAA-->"),
            comment,
        ),
        (
            "a name in CDATA",
            good.replace(SUBJECT, &format!("<![CDATA[{SUBJECT}]]>")),
            malformed,
        ),
        (
            "an instruction",
            good.replace(SUBJECT, &format!("{SUBJECT}<?x?>")),
            malformed,
        ),
        (
            "an entity from a file",
            format!("{entity}{}", good.replace(SUBJECT, "&x;")),
            malformed,
        ),
        (
            "a billion laughs",
            format!("{laughs}{}", good.replace(SUBJECT, "&c;")),
            malformed,
        ),
        (
            "a document type alone",
            format!("<!DOCTYPE r>{good}"),
            malformed,
        ),
        (
            "an assertion of SAML 1.1",
            good.replace("SAML:2.0:assertion", "SAML:1.0:assertion"),
            "federation.saml_assertion_count",
        ),
        (
            "a response in no namespace",
            good.replace("samlp:", "")
                .replace(" xmlns:samlp=", " xmlns:x="),
            malformed,
        ),
        (
            "a relative namespace, of which there is no canonical form",
            good.replace("<saml:Issuer>", "<saml:Issuer xmlns:x=\"1\">"),
            malformed,
        ),
        (
            "an attribute that stands twice",
            response(
                &forge()
                    .with(
                        "</saml:AttributeStatement>",
                        "<saml:Attribute \
             Name=\"department\"><saml:AttributeValue>admins</saml:AttributeValue>\
             </saml:Attribute></saml:AttributeStatement>",
                    )
                    .sign(&key()),
            ),
            "federation.saml_attribute_duplicate",
        ),
        (
            "a name inside of a name",
            response(
                &forge()
                    .with(
                        &format!("{SUBJECT}</saml:NameID>"),
                        &format!("<saml:NameID>admin</saml:NameID>{SUBJECT}</saml:NameID>"),
                    )
                    .sign(&key()),
            ),
            malformed,
        ),
        (
            "two names",
            response(
                &forge()
                    .with(
                        "<saml:SubjectConfirmation ",
                        "<saml:NameID>admin\
             </saml:NameID><saml:SubjectConfirmation ",
                    )
                    .sign(&key()),
            ),
            malformed,
        ),
    ]
}

/// What no one has signed, or someone else has.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn unsigned() -> Vec<Hostile> {
    let invalid = "federation.saml_signature_invalid";
    let good = good();
    let mallory = Key::rsa(RsaTestKey::B);
    let authority = Authority::root_with("Mallory", mallory.clone(), |forge| forge);
    let certificate = Base64::encode_string(&authority.certificate);
    let x509 = format!(
        "<ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data>"
    );
    let leaf = authority.issue(CertificateForge::bare(
        "Example Identity Provider",
        &mallory,
    ));
    let leaf = Base64::encode_string(&leaf);
    let same_name =
        format!("<ds:X509Data><ds:X509Certificate>{leaf}</ds:X509Certificate></ds:X509Data>");
    let around = signature(&key(), "#_r1", "", "");
    let unsigned = forge().unsigned();
    vec![
        (
            "nothing signed",
            response(&unsigned),
            "federation.saml_unsigned",
        ),
        (
            "only the response signed",
            response(&format!("{around}{unsigned}")),
            "federation.saml_unsigned",
        ),
        (
            "another element signed",
            response(&format!(
                "{unsigned}<samlp:Extensions>{around}</samlp:Extensions>"
            )),
            "federation.saml_signature_misplaced",
        ),
        (
            "a signature of no XML signature",
            good.replace("http://www.w3.org/2000/09/xmldsig#\"", "urn:evil:xmldsig\""),
            "federation.saml_unsigned",
        ),
        (
            "only encrypted",
            response(
                "<saml:EncryptedAssertion \
                 xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>",
            ),
            "federation.saml_encrypted",
        ),
        (
            "a key that it brings",
            response(&forge().key_info(&x509).sign(&mallory)),
            invalid,
        ),
        (
            "a key that it brings in the right name",
            response(&forge().key_info(&same_name).sign(&mallory)),
            invalid,
        ),
        (
            "a key that it says is ours",
            response(
                &forge()
                    .key_info("<ds:KeyName>anchor</ds:KeyName>")
                    .sign(&mallory),
            ),
            invalid,
        ),
        (
            "a changed name",
            good.replace(SUBJECT, "admin@example.com"),
            invalid,
        ),
        (
            "a changed end",
            good.replace("T00:05:00Z", "T23:05:00Z"),
            invalid,
        ),
        (
            "another issuer in the same words",
            good.replace(ISSUER, "https://evil.example.com/saml"),
            "federation.issuer_unknown",
        ),
    ]
}

/// Algorithms and transforms.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn weak() -> Vec<Hostile> {
    let good = good();
    let forbidden = "federation.saml_algorithm_forbidden";
    let transform = "federation.saml_transform_forbidden";
    let method = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
    let digest = "http://www.w3.org/2001/04/xmlenc#sha256";
    let exclusive = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">";
    let enveloped =
        "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\">";
    let with_method = |name: &str| good.replace(method, name);
    let with_transform =
        |name: &str| good.replace(exclusive, &format!("<ds:Transform Algorithm=\"{name}\">"));
    vec![
        (
            "SHA-1",
            with_method("http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
            forbidden,
        ),
        (
            "a digest of SHA-1",
            good.replace(digest, "http://www.w3.org/2000/09/xmldsig#sha1"),
            forbidden,
        ),
        (
            "HMAC",
            with_method("http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
            forbidden,
        ),
        (
            "DSA",
            with_method("http://www.w3.org/2000/09/xmldsig#dsa-sha1"),
            forbidden,
        ),
        (
            "MD5",
            with_method("http://www.w3.org/2001/04/xmldsig-more#rsa-md5"),
            forbidden,
        ),
        (
            "SignedInfo in inclusive canonical form",
            good.replace(
                "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">",
                "<ds:CanonicalizationMethod \
                 Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\">",
            ),
            forbidden,
        ),
        (
            "XSLT",
            with_transform("http://www.w3.org/TR/1999/REC-xslt-19991116"),
            transform,
        ),
        (
            "XPath",
            with_transform("http://www.w3.org/TR/1999/REC-xpath-19991116"),
            transform,
        ),
        (
            "XPath filter",
            with_transform("http://www.w3.org/2002/06/xmldsig-filter2"),
            transform,
        ),
        (
            "base64",
            with_transform("http://www.w3.org/2000/09/xmldsig#base64"),
            transform,
        ),
        (
            "a script inside of a transform",
            good.replacen(
                exclusive,
                &format!("{exclusive}<ds:XPath>true()</ds:XPath>"),
                1,
            ),
            transform,
        ),
        (
            "the same transform many times",
            good.replace(enveloped, &format!("{enveloped}</ds:Transform>{enveloped}")),
            transform,
        ),
    ]
}

/// Signatures that are not of the assertion, or not one.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn misplaced() -> Vec<Hostile> {
    let misplaced = "federation.saml_signature_misplaced";
    let good = good();
    let signature = parted().0;
    let reference = signature
        .split_once("<ds:Reference ")
        .and_then(|(_, rest)| rest.split_once("</ds:Reference>"))
        .map(|(inside, _)| format!("<ds:Reference {inside}</ds:Reference>"))
        .expect("it has a reference");
    let other_info = signature
        .split_once("<ds:SignedInfo>")
        .and_then(|(_, rest)| rest.split_once("</ds:SignedInfo>"))
        .map(|(inside, _)| format!("<ds:SignedInfo>{inside}</ds:SignedInfo>"))
        .expect("it has a SignedInfo");
    vec![
        (
            "one ID for two elements",
            good.replace("\"_r1\"", &format!("\"{}\"", saml::ID)),
            "federation.saml_id_duplicate",
        ),
        (
            "one ID for two elements, in another spelling",
            good.replace(
                "<samlp:Status>",
                &format!("<samlp:Status Id=\"{}\">", saml::ID),
            ),
            "federation.saml_id_duplicate",
        ),
        (
            "a reference to the whole",
            response(&forge().sign_as(&key(), "")),
            misplaced,
        ),
        (
            "a reference to the response",
            response(&forge().sign_as(&key(), "#_r1")),
            misplaced,
        ),
        (
            "a reference that is an expression",
            response(&forge().sign_as(&key(), "#xpointer(id('_a1'))")),
            misplaced,
        ),
        (
            "a reference to elsewhere",
            response(&forge().sign_as(&key(), "https://evil.example.com/a#_a1")),
            misplaced,
        ),
        (
            "two references",
            good.replace("</ds:SignedInfo>", &format!("{reference}</ds:SignedInfo>")),
            misplaced,
        ),
        (
            "two SignedInfo (CVE-2025-29774)",
            good.replace(
                "<ds:SignatureValue>",
                &format!("{other_info}<ds:SignatureValue>"),
            ),
            misplaced,
        ),
        (
            "two signatures",
            good.replace("</ds:Signature>", &format!("</ds:Signature>{signature}")),
            misplaced,
        ),
        (
            "a SignedInfo outside of the signature",
            good.replace(
                "</ds:Signature>",
                &format!(
                    "</ds:Signature><saml:Advice xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\
                 {other_info}</saml:Advice>"
                ),
            ),
            misplaced,
        ),
        (
            "a manifest",
            good.replace(
                "</ds:Signature>",
                "<ds:Object><ds:Manifest/></ds:Object></ds:Signature>",
            ),
            misplaced,
        ),
        (
            "no success",
            good.replace("status:Success", "status:Requester"),
            "federation.saml_status",
        ),
    ]
}

/// What is right, and looks like what is not; all of it in the form that is signed.
pub fn near_misses() -> Vec<(&'static str, String)> {
    let good = good();
    let authority = Authority::root_with("Example Identity Provider", key(), |forge| forge);
    let certificate = Base64::encode_string(&authority.certificate);
    let x509 = format!(
        "<ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data>"
    );
    let around = signature(&key(), "#_r1", "", "");
    vec![
        ("as it is", good.clone()),
        ("the assertion alone", signed()),
        (
            "a comment outside of the assertion",
            good.replace("<samlp:Status>", "<!-- ok --><samlp:Status>"),
        ),
        (
            "a declaration",
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{good}"),
        ),
        (
            "a key that is ours",
            response(&forge().key_info(&x509).sign(&key())),
        ),
        (
            "the response signed too",
            response(&format!("{around}{}", signed())),
        ),
        (
            "lines between elements",
            good.replace("<samlp:Status>", "\n  <samlp:Status>\n"),
        ),
        (
            "a name that only looks like an address of Mallory",
            response(
                &forge()
                    .with(SUBJECT, &format!("{SUBJECT}.evil.test"))
                    .sign(&key()),
            ),
        ),
        (
            "two values of one attribute",
            response(
                &forge()
                    .with(
                        "</saml:Attribute>",
                        "<saml:AttributeValue>dev\
             </saml:AttributeValue></saml:Attribute>",
                    )
                    .sign(&key()),
            ),
        ),
        (
            "the same address of two restrictions",
            response(
                &forge()
                    .with(
                        "</saml:Conditions>",
                        &format!(
                            "<saml:AudienceRestriction><saml:Audience>{AUDIENCE}</saml:Audience>\
                 </saml:AudienceRestriction><saml:OneTimeUse></saml:OneTimeUse></saml:Conditions>"
                        ),
                    )
                    .sign(&key()),
            ),
        ),
    ]
}

/// What is right and written in another way than the one that is signed.
pub fn near_misses_in_other_words() -> Vec<(&'static str, String)> {
    let good = good();
    let exclusive = "Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"";
    vec![
        (
            "a transform spelt out",
            good.replace(exclusive, &format!("{exclusive} ")),
        ),
        (
            "attributes in another order and single quotes",
            good.replace(
                "NotOnOrAfter=\"2024-06-01T00:05:00Z\" Recipient=\"https://app.example.com/saml/acs\"",
                "Recipient='https://app.example.com/saml/acs' NotOnOrAfter='2024-06-01T00:05:00Z'",
            ),
        ),
        (
            "elements without an end",
            good.replace("></saml:SubjectConfirmationData>", "/>")
                .replace("></ds:DigestMethod>", "/>"),
        ),
        (
            "names of namespaces above",
            good.replacen(" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"", "", 1)
                .replacen("<samlp:Response ", "<samlp:Response \
                 xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" xmlns:xs=\"urn:x&amp;y\" ", 1),
        ),
        (
            "letters as numbers",
            good.replace(SUBJECT, "&#97;lice@example.com"),
        ),
    ]
}
