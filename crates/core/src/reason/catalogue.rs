//! The one table of refusals.
//!
//! A row is a code, the evidence it carries, a sentence, the smallest fix and the standard it
//! rests on. `docs/reasons.md` is made from it, and every row has a worked example under
//! `conformance/reasons/`. A code is never reused and never given another meaning.

use super::{Entry, Evidence, Family};
use crate::time::Time;

macro_rules! catalogue {
    ($($family:ident { $(
        $variant:ident { $($field:ident: $type:ty),* $(,)? } = $code:literal,
            $sentence:literal,
            fix: $hint:literal,
            spec: $spec:literal;
    )* })*) => {
        /// Why a credential was not believed: one variant for each row of the catalogue, with its
        /// evidence.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names of evidence are explained by the sentence they stand in")]
        pub enum Reason {
            $($(
                #[doc = concat!("`", $code, "`: ", $sentence)]
                $variant { $($field: $type),* },
            )*)*
        }

        /// Every refusal there is, in the order of the table.
        pub const CATALOGUE: &[Entry] = &[
            $($(Entry {
                code: $code,
                family: Family::$family,
                sentence: $sentence,
                hint: $hint,
                spec: $spec,
                evidence: &[$(stringify!($field)),*],
            },)*)*
        ];

        /// The place of each variant's row in [`CATALOGUE`].
        #[derive(Clone, Copy)]
        enum Row { $($($variant,)*)* }

        impl Reason {
            /// The row of the catalogue.
            #[expect(clippy::indexing_slicing, reason = "there is a row for each variant")]
            pub fn entry(&self) -> &'static Entry {
                let row = match self { $($(Self::$variant { .. } => Row::$variant,)*)* };
                &CATALOGUE[row as usize]
            }

            /// The typed facts, in the order of the table.
            pub fn evidence(&self) -> Vec<(&'static str, Evidence)> {
                match self {
                    $($(Self::$variant { $($field),* } =>
                        vec![$((stringify!($field), Evidence::from($field.clone()))),*],)*)*
                }
            }
        }
    };
}

catalogue! {
    Input {
        Base64urlNotCanonical { part: &'static str } = "input.base64url_not_canonical",
            "The {part} of the token is not base64url in its one canonical form.",
            fix: "Pass the token exactly as it was issued, without padding, line breaks or re-encoding.",
            spec: "RFC 7515 2";
        BundleMalformed { trust_domain: String, detail: String } = "input.bundle_malformed",
            "The SPIFFE bundle of {trust_domain} cannot be read: {detail}.",
            fix: "Fetch the bundle of {trust_domain} again from its bundle endpoint.",
            spec: "SPIFFE Trust Domain and Bundle 4";
        CertificateMalformed { position: String, detail: String } = "input.certificate_malformed",
            "The {position} cannot be read as an X.509 certificate: {detail}.",
            fix: "Export the certificate again as DER or PEM; what was given is damaged or is something else.",
            spec: "RFC 5280 4.1";
        CertificatesMissing {} = "input.certificates_missing",
            "No certificate was given.",
            fix: "Give the end-entity certificate first, then its intermediates.",
            spec: "RFC 5280 6.1";
        CrlMalformed { position: String, detail: String } = "input.crl_malformed",
            "The {position} cannot be read as a certificate revocation list: {detail}.",
            fix: "Fetch the list again from its distribution point.",
            spec: "RFC 5280 5.1";
        EntityStatementMalformed { position: usize, detail: String } = "input.entity_statement_malformed",
            "Statement {position} of the trust chain cannot be read: {detail}.",
            fix: "Get the chain again, and pass each statement exactly as it was issued.",
            spec: "OpenID Federation 1.0 3.1, 3.2";
        HeaderMalformed { member: &'static str, detail: String } = "input.header_malformed",
            "The header of the token cannot be used, because of `{member}`: {detail}.",
            fix: "Have the issuer write `{member}` as the standard asks.",
            spec: "RFC 7515 4.1";
        JsonDuplicateMember { part: &'static str, member: String } = "input.json_duplicate_member",
            "The {part} names `{member}` twice, so two readers could take different values from it.",
            fix: "Have the issuer send each member once; refuse the sender if it is not yours.",
            spec: "RFC 8725 2.4; RFC 7519 4";
        JsonMalformed { part: &'static str, detail: String } = "input.json_malformed",
            "The {part} is not a JSON object: {detail}.",
            fix: "Pass the {part} exactly as it was issued.",
            spec: "RFC 8259";
        JwkMalformed { key: String, detail: String } = "input.jwk_malformed",
            "The key {key} cannot be read as a JSON Web Key: {detail}.",
            fix: "Publish the key again with the members its type requires.",
            spec: "RFC 7517 4; RFC 7518 6";
        JwksMalformed { issuer: String, detail: String } = "input.jwks_malformed",
            "The key set of {issuer} cannot be used: {detail}.",
            fix: "Fetch the key set of {issuer} again.",
            spec: "RFC 7517 5";
        JwksPrivateKey { issuer: String, key: String } = "input.jwks_private_key",
            "The key set of {issuer} publishes private or shared key material in key {key}.",
            fix: "Treat {key} as stolen: have {issuer} replace it and publish only public members.",
            spec: "RFC 7517 9.2";
        Malformed { detail: String } = "input.malformed",
            "The question cannot be read: {detail}.",
            fix: "Correct the named field; the shape is described in docs/how-to/verify.md.",
            spec: "docs/how-to/verify.md";
        PemMalformed { detail: String } = "input.pem_malformed",
            "The PEM text cannot be read: {detail}.",
            fix: "Check that each block has matching BEGIN and END lines and nothing but base64 between them.",
            spec: "RFC 7468 3";
        PrivateKeyGiven { found: String } = "input.private_key_given",
            "This is a private key ({found}), not a credential; it was not read further and is not shown.",
            fix: "Give the certificate instead, and replace the key if it has now been where it should not be.",
            spec: "RFC 5280 4.1";
        SamlMalformed { detail: String } = "input.saml_malformed",
            "The SAML document cannot be used: {detail}.",
            fix: "Pass the response or the assertion exactly as it was issued.",
            spec: "SAML Core 1.3, 2.3; XML 1.0";
        SshMalformed { part: &'static str, detail: String } = "input.ssh_malformed",
            "The {part} of SSH cannot be read: {detail}.",
            fix: "Send the line of the file `.pub` or `-cert.pub` as it is, and the proof as `ssh-keygen -Y sign` writes it.",
            spec: "OpenSSH PROTOCOL.certkeys, PROTOCOL.sshsig";
        TokenEncrypted {} = "input.token_encrypted",
            "The token has five parts, so it is encrypted and cannot be checked by anyone but its recipient.",
            fix: "Ask the issuer for a signed token, or decrypt it first at its recipient.",
            spec: "RFC 7516 3.1";
        TokenNotCompact { detail: String } = "input.token_not_compact",
            "The token is not a compact JWS of three parts: {detail}.",
            fix: "Pass the token in its compact form, `header.payload.signature`.",
            spec: "RFC 7515 3.1";
        TrustDocumentMalformed { what: &'static str, detail: String } = "input.trust_document_malformed",
            "The {what} cannot be read: {detail}.",
            fix: "Correct what is named; docs/how-to/trust-documents.md describes trust documents, docs/how-to/import-trust.md what is read of other systems.",
            spec: "docs/how-to/trust-documents.md; docs/how-to/import-trust.md";
        UnsafeText { claim: String, character: String } = "input.unsafe_text",
            "The claim `{claim}` holds the character {character}, which can make a log or a rule show something else than is there.",
            fix: "Refuse the token; have the issuer forbid such characters in `{claim}`.",
            spec: "RFC 8725 3.10; Unicode TR 36";
        Unrecognised { found: String } = "input.unrecognised",
            "This is no credential that can be recognised: {found}.",
            fix: "Give a certificate (PEM or DER), a JWT, a SAML assertion, an SSH certificate or key, or an API key.",
            spec: "docs/how-to/verify.md";
        Unsupported { kind: String } = "input.unsupported",
            "Credentials of the kind {kind} are recognised but cannot be decided by this version.",
            fix: "Give a certificate, a JWT, a WIT with its proof, a SAML assertion, an SSH certificate or key with its proof, or an API key.",
            spec: "docs/how-to/verify.md";
    }

    Pki {
        AnchorNotTrusted { subject: String, sha256: String } = "pki.anchor_not_trusted",
            "The path ends at the self-signed certificate {subject}, which is not one of the trust anchors.",
            fix: "If you mean to trust {subject} (SHA-256 {sha256}), add it to the trust document with an owner, a reason and an expiry.",
            spec: "RFC 5280 6.1.1 (d)";
        AuthorityKeyIdMismatch { subject: String, authority_key_id: String, subject_key_id: String } = "pki.authority_key_id_mismatch",
            "The self-signed certificate {subject} names {authority_key_id} as its signing key, but its own key is {subject_key_id}.",
            fix: "Reissue {subject} with an authority key identifier equal to its subject key identifier.",
            spec: "CA/B BR 7.1.2.1.3";
        AuthorityKeyIdMissing { subject: String } = "pki.authority_key_id_missing",
            "The certificate {subject} has no authority key identifier naming the key that signed it.",
            fix: "Reissue {subject} with the key identifier of its issuer, or verify it under the `private` profile.",
            spec: "RFC 5280 4.2.1.1";
        AuthorityKeyIdForm { subject: String, field: &'static str } = "pki.authority_key_id_form",
            "The authority key identifier of {subject} carries `{field}`, which a root certificate must not.",
            fix: "Reissue {subject} with a key identifier alone.",
            spec: "CA/B BR 7.1.2.1.3";
        BasicConstraintsMissing { subject: String } = "pki.basic_constraints_missing",
            "The certificate {subject} issued another, but has no basic constraints to say it is a CA.",
            fix: "Replace {subject} by a CA certificate; an end-entity certificate cannot issue.",
            spec: "RFC 5280 4.2.1.9, 6.1.4 (k)";
        CommonNameForm { common_name: String, detail: &'static str } = "pki.common_name_form",
            "The common name `{common_name}` is not written as the Baseline Requirements ask: {detail}.",
            fix: "Reissue with the name in the subject alternative names only, and no common name.",
            spec: "CA/B BR 7.1.4.3";
        CommonNameNotInSan { common_name: String, names: Vec<String> } = "pki.common_name_not_in_san",
            "The common name `{common_name}` is not one of the subject alternative names ({names}).",
            fix: "Reissue without a common name, or with an exact copy of one of the subject alternative names.",
            spec: "CA/B BR 7.1.4.3";
        CriticalExtensionUnknown { subject: String, oid: String } = "pki.critical_extension_unknown",
            "The certificate {subject} has the critical extension {oid}, which this verifier does not know.",
            fix: "Reissue {subject} without {oid}, or with it marked non-critical if it may be ignored.",
            spec: "RFC 5280 4.2";
        EndEntityIsCa { subject: String, detail: &'static str } = "pki.end_entity_is_ca",
            "The certificate {subject} was shown as an end entity, but {detail}.",
            fix: "Present an end-entity certificate; a CA certificate must not authenticate.",
            spec: "CA/B BR 7.1.2.7.8; SPIFFE X.509-SVID 5.2";
        Expired { subject: String, not_after: Time, at: Time, ago: String } = "pki.expired",
            "The certificate {subject} expired on {not_after}, {ago} before the time of the check ({at}).",
            fix: "Renew {subject}; if it should still be valid, check the clock.",
            spec: "RFC 5280 4.1.2.5, 6.1.3 (a) (2)";
        ExtendedKeyUsageAny { subject: String } = "pki.extended_key_usage_any",
            "The certificate {subject} allows any extended key usage, which a server certificate of the public Web must not.",
            fix: "Reissue {subject} with `serverAuth` alone.",
            spec: "CA/B BR 7.1.2.7.10";
        ExtendedKeyUsageCritical { subject: String } = "pki.extended_key_usage_critical",
            "The extended key usage of {subject} is marked critical, which the Baseline Requirements forbid.",
            fix: "Reissue {subject} with a non-critical extended key usage.",
            spec: "CA/B BR 7.1.2.7.6";
        ExtendedKeyUsageInRoot { subject: String } = "pki.extended_key_usage_in_root",
            "The root certificate {subject} has an extended key usage, which the Baseline Requirements forbid.",
            fix: "Reissue the root without it, and constrain intermediates instead.",
            spec: "CA/B BR 7.1.2.1.2";
        ExtendedKeyUsageMissing { subject: String, purpose: String } = "pki.extended_key_usage_missing",
            "The certificate {subject} has no extended key usage, so it does not say that it may be used for {purpose}.",
            fix: "Reissue {subject} with the extended key usage {purpose}.",
            spec: "CA/B BR 7.1.2.7.6";
        ExtendedKeyUsageNotPermitted { subject: String, purpose: String, usages: Vec<String> } = "pki.extended_key_usage_not_permitted",
            "The certificate {subject} may be used for {usages}, not for {purpose}.",
            fix: "Use a certificate issued for {purpose}, or ask for the purpose the certificate has.",
            spec: "RFC 5280 4.2.1.12";
        ExtensionCriticality { subject: String, extension: &'static str, required: &'static str } = "pki.extension_criticality",
            "The extension {extension} of {subject} must be marked {required}.",
            fix: "Reissue {subject} with {extension} marked {required}.",
            spec: "RFC 5280 4.2.1, 4.2.2";
        ExtensionDuplicate { subject: String, oid: String } = "pki.extension_duplicate",
            "The certificate {subject} carries the extension {oid} more than once.",
            fix: "Reissue {subject} with each extension once.",
            spec: "RFC 5280 4.2";
        ExtensionMalformed { subject: String, extension: String, detail: String } = "pki.extension_malformed",
            "The extension {extension} of {subject} cannot be read: {detail}.",
            fix: "Reissue {subject}; the CA that made it encodes {extension} wrongly.",
            spec: "RFC 5280 4.2";
        IssuerEmpty { subject: String } = "pki.issuer_empty",
            "The certificate {subject} does not name its issuer.",
            fix: "Reissue {subject} with the subject name of its issuer.",
            spec: "RFC 5280 4.1.2.4";
        IssuerNotFound { subject: String, issuer: String, authority_key_id: String } = "pki.issuer_not_found",
            "Nothing given was issued as {issuer}, the issuer of {subject} (key identifier {authority_key_id}).",
            fix: "Add the missing intermediate {issuer} to the chain, or the anchor above it to the trust document.",
            spec: "RFC 5280 6.1";
        KeyAlgorithmForbidden { subject: String, algorithm: String } = "pki.key_algorithm_forbidden",
            "The key of {subject} is of the kind {algorithm}, which is not accepted.",
            fix: "Reissue {subject} with an ECDSA P-256, P-384 or P-521, RSA (2048 bits or more) or Ed25519 key.",
            spec: "RFC 8301 3.1; CA/B BR 6.1.5, 7.1.3.1";
        KeyMalformed { subject: String, detail: String } = "pki.key_malformed",
            "The public key of {subject} cannot be used: {detail}.",
            fix: "Reissue {subject} with a well-formed key on a named curve.",
            spec: "RFC 5480 2.1.1; CA/B BR 7.1.3.1.2";
        KeySize { subject: String, bits: u32, required: &'static str } = "pki.key_size",
            "The RSA key of {subject} has {bits} bits; {required}.",
            fix: "Reissue {subject} with an RSA key of 2048, 3072 or 4096 bits, or an ECDSA P-256 key.",
            spec: "CA/B BR 6.1.5; NIST SP 800-131A 3";
        KeyUsageCertSignForbidden { subject: String } = "pki.key_usage_cert_sign_forbidden",
            "The certificate {subject} is no CA, yet its key usage says it may sign certificates.",
            fix: "Reissue {subject} without `keyCertSign`, or as a CA if it is one.",
            spec: "RFC 5280 4.2.1.3, 4.2.1.9";
        KeyUsageCertSignMissing { subject: String } = "pki.key_usage_cert_sign_missing",
            "The key usage of {subject} does not allow it to sign certificates.",
            fix: "Reissue the CA {subject} with `keyCertSign`.",
            spec: "RFC 5280 4.2.1.3, 6.1.4 (n)";
        KeyUsageNotForKey { subject: String, algorithm: String } = "pki.key_usage_not_for_key",
            "The key usage of {subject} says that its key may encrypt or agree on keys, but a key of the kind {algorithm} can only sign.",
            fix: "Reissue {subject} with `digitalSignature` alone.",
            spec: "RFC 9295 3; RFC 9881 5";
        Loop { subject: String } = "pki.loop",
            "The path comes back to {subject}, so it never reaches an anchor.",
            fix: "Remove the cross-certificates that sign each other, or add the anchor above one of them.",
            spec: "RFC 4158 2.4.2";
        NameConstraintMalformed { subject: String, constraint: String, detail: &'static str } = "pki.name_constraint_malformed",
            "The name constraint `{constraint}` of the CA {subject} cannot be applied: {detail}.",
            fix: "Reissue the CA {subject} with the constraint in the form of RFC 5280 4.2.1.10.",
            spec: "RFC 5280 4.2.1.10";
        NameConstraintUnsupported { subject: String, kind: String } = "pki.name_constraint_unsupported",
            "The CA {subject} constrains names of the kind {kind}, and such a name stands on the path, but this verifier cannot compare them.",
            fix: "Reissue without the {kind} name, or constrain another kind of name.",
            spec: "RFC 5280 4.2.1.10";
        NameConstraintsEmpty { subject: String } = "pki.name_constraints_empty",
            "The name constraints of {subject} neither permit nor exclude anything.",
            fix: "Reissue {subject} with at least one subtree, or without name constraints.",
            spec: "RFC 5280 4.2.1.10; CA/B BR 7.1.2.5.2";
        NameConstraintsInEndEntity { subject: String } = "pki.name_constraints_in_end_entity",
            "The end-entity certificate {subject} carries name constraints, which only a CA may.",
            fix: "Reissue {subject} without name constraints.",
            spec: "RFC 5280 4.2.1.10";
        NameExcluded { subject: String, name: String, by: String, constraint: String } = "pki.name_excluded",
            "The name {name} of {subject} is one that the CA {by} may not vouch for (excluded: {constraint}).",
            fix: "Issue {name} from a CA that is not constrained this way.",
            spec: "RFC 5280 4.2.1.10, 6.1.3 (c)";
        NameMalformed { subject: String, name: String, detail: &'static str } = "pki.name_malformed",
            "The name `{name}` of {subject} is not well formed: {detail}.",
            fix: "Reissue {subject} with a well-formed name.",
            spec: "RFC 5280 4.2.1.6; RFC 1034 3.5";
        NameMismatch { expected: String, names: Vec<String> } = "pki.name_mismatch",
            "The certificate is for {names}, not for {expected}.",
            fix: "Connect by a name the certificate has, or reissue it with {expected} among its subject alternative names.",
            spec: "RFC 9525 6; RFC 6125 6.4";
        NameNotPermitted { subject: String, name: String, by: String, permitted: Vec<String> } = "pki.name_not_permitted",
            "The name {name} of {subject} is outside what the CA {by} may vouch for (permitted: {permitted}).",
            fix: "Issue {name} from a CA that may, or reissue {by} with it permitted.",
            spec: "RFC 5280 4.2.1.10, 6.1.3 (b)";
        NotACa { subject: String } = "pki.not_a_ca",
            "The certificate {subject} issued another, but its basic constraints say it is not a CA.",
            fix: "Replace {subject} by a CA certificate; an end-entity certificate cannot issue.",
            spec: "RFC 5280 4.2.1.9, 6.1.4 (k)";
        NotYetValid { subject: String, not_before: Time, at: Time, ahead: String } = "pki.not_yet_valid",
            "The certificate {subject} is valid from {not_before}, {ahead} after the time of the check ({at}).",
            fix: "Wait until {not_before}; if it should be valid now, check the clock.",
            spec: "RFC 5280 4.1.2.5, 6.1.3 (a) (2)";
        PathLengthExceeded { subject: String, allowed: u32, below: u32 } = "pki.path_length_exceeded",
            "The CA {subject} allows {allowed} intermediates below it, but the path has {below}.",
            fix: "Issue from a CA closer to {subject}, or reissue {subject} with a longer path length.",
            spec: "RFC 5280 4.2.1.9, 6.1.4 (l)";
        PathLengthWithoutCertSign { subject: String } = "pki.path_length_without_cert_sign",
            "The certificate {subject} limits the path length, but is not a CA that may sign certificates.",
            fix: "Reissue {subject} as a CA with `keyCertSign`, or without a path length.",
            spec: "RFC 5280 4.2.1.9";
        PolicyMappingOfAny { subject: String } = "pki.policy_mapping_of_any",
            "The CA {subject} maps a policy from or to `anyPolicy`, which would let it vouch for every policy.",
            fix: "Reissue {subject} with mappings between named policies.",
            spec: "RFC 5280 4.2.1.5, 6.1.4 (a)";
        PolicyNotAccepted { subject: String, policies: Vec<String>, accepted: Vec<String> } = "pki.policy_not_accepted",
            "The path to {subject} holds under the policies {policies}, and none of them is accepted ({accepted}).",
            fix: "Issue {subject} under one of the accepted policies, or accept one that it has.",
            spec: "RFC 5280 6.1.5 (g); RFC 9618 5.6";
        PolicyNotPermitted { subject: String, required_by: String } = "pki.policy_not_permitted",
            "{required_by} requires a certificate policy that holds for the whole path, and none is left at {subject}.",
            fix: "Issue {subject} under a policy that every certificate above it also asserts.",
            spec: "RFC 5280 6.1.3 (f), 6.1.5 (g); RFC 9618";
        PublicSuffixWildcard { name: String, suffix: String } = "pki.public_suffix_wildcard",
            "The wildcard `{name}` covers everything under the public suffix `{suffix}`.",
            fix: "Reissue for the domain that is registered under `{suffix}`.",
            spec: "CA/B BR 3.2.2.6";
        SanCriticality { subject: String, required: &'static str } = "pki.san_criticality",
            "The subject alternative names of {subject} must be marked {required}.",
            fix: "Reissue {subject}: critical when the subject is empty, otherwise not critical.",
            spec: "RFC 5280 4.2.1.6; CA/B BR 7.1.2.7.12";
        SanMissing { subject: String } = "pki.san_missing",
            "The certificate {subject} has no subject alternative names; the common name is not looked at.",
            fix: "Reissue {subject} with its names as subject alternative names.",
            spec: "RFC 9525 6.2; CA/B BR 7.1.2.7.12";
        SerialInvalid { subject: String, serial: String, detail: &'static str } = "pki.serial_invalid",
            "The serial number {serial} of {subject} {detail}.",
            fix: "Reissue {subject} with a positive serial number of at most 20 octets.",
            spec: "RFC 5280 4.1.2.2";
        SignatureAlgorithmForbidden { subject: String, algorithm: String } = "pki.signature_algorithm_forbidden",
            "The certificate {subject} is signed with {algorithm}, which is not accepted.",
            fix: "Reissue {subject} with SHA-256 or better and an RSA, ECDSA, Ed25519 or ML-DSA key.",
            spec: "RFC 9155 2; CA/B BR 7.1.3.2";
        SignatureAlgorithmMismatch { subject: String, outer: String, inner: String } = "pki.signature_algorithm_mismatch",
            "The certificate {subject} names two signature algorithms, {outer} outside and {inner} inside what is signed.",
            fix: "Refuse {subject}; a CA writes the same algorithm in both places.",
            spec: "RFC 5280 4.1.1.2";
        SignatureInvalid { subject: String, issuer: String, issuer_key: String } = "pki.signature_invalid",
            "The certificate {subject} was not signed by the key {issuer_key} of {issuer}, which has the name of its issuer.",
            fix: "If {issuer} changed its key, add its certificate with the key that signed; otherwise treat {subject} as forged.",
            spec: "RFC 5280 6.1.3 (a) (1)";
        SubjectEmpty { position: String } = "pki.subject_empty",
            "The {position} is a CA certificate without a subject name.",
            fix: "Reissue the CA with a subject name.",
            spec: "RFC 5280 4.1.2.6";
        SubjectKeyIdMissing { subject: String } = "pki.subject_key_id_missing",
            "The CA certificate {subject} has no subject key identifier.",
            fix: "Reissue {subject} with one, or verify under the `private` profile.",
            spec: "RFC 5280 4.2.1.2";
        ValidatorsDisagree { second: String } = "pki.validators_disagree",
            "This verifier accepts the path, but the second opinion (rustls-webpki) refuses it: {second}.",
            fix: "Please report it with the certificates; until it is understood the path is refused.",
            spec: "SECURITY.md";
        VersionUnsupported { subject: String, version: u32 } = "pki.version_unsupported",
            "The certificate {subject} is of version {version}; only version 3 can carry what a path needs.",
            fix: "Reissue {subject} as an X.509 version 3 certificate.",
            spec: "RFC 5280 4.1.2.1, 6.1.4 (k)";
    }

    Revocation {
        CrlCriticalExtensionUnknown { issuer: String, oid: String } = "revocation.crl_critical_extension_unknown",
            "The revocation list of {issuer} has the critical extension {oid}, which this verifier does not know.",
            fix: "Publish the list without {oid}.",
            spec: "RFC 5280 5.2";
        CrlDeltaWithoutBase { issuer: String } = "revocation.crl_delta_without_base",
            "The revocation list of {issuer} is a delta list, and the complete list that it builds on is not there.",
            fix: "Give the complete list of {issuer} too.",
            spec: "RFC 5280 5.2.4, 6.3.3 (c)";
        CrlExpired { issuer: String, next_update: Time, at: Time } = "revocation.crl_expired",
            "The revocation list of {issuer} should have been replaced on {next_update}; at {at} it no longer tells who is revoked.",
            fix: "Fetch the list again; if {issuer} no longer publishes, that is the fault to mend.",
            spec: "RFC 5280 6.3.3 (a)";
        CrlIndirectUnsupported { issuer: String } = "revocation.crl_indirect_unsupported",
            "The revocation list of {issuer} speaks for other issuers (indirect), which this version cannot read.",
            fix: "Give a list that {issuer} publishes for itself alone.",
            spec: "RFC 5280 5.2.5";
        CrlInvalid { issuer: String, field: String, detail: String } = "revocation.crl_invalid",
            "The revocation list of {issuer} does not follow its standard: its {field} {detail}.",
            fix: "Have {issuer} publish a list that follows RFC 5280 5.",
            spec: "RFC 5280 5.1, 5.2, 5.3";
        CrlNotYetValid { issuer: String, this_update: Time, at: Time } = "revocation.crl_not_yet_valid",
            "The revocation list of {issuer} is dated {this_update}, after the time of the check ({at}).",
            fix: "Check the clock, here and at {issuer}.",
            spec: "RFC 5280 5.1.2.4";
        CrlOutOfScope { subject: String, issuer: String, detail: &'static str } = "revocation.crl_out_of_scope",
            "No revocation list of {issuer} that was given speaks of {subject}: {detail}.",
            fix: "Give the list that covers {subject}; its distribution points say where it is.",
            spec: "RFC 5280 5.2.5, 6.3.3 (b)";
        CrlSignatureAlgorithmForbidden { issuer: String, algorithm: String } = "revocation.crl_signature_algorithm_forbidden",
            "The revocation list of {issuer} is signed with {algorithm}, which is not accepted.",
            fix: "Have {issuer} sign its lists with SHA-256 or better.",
            spec: "RFC 9155 2; CA/B BR 7.1.3.2";
        CrlSignatureInvalid { issuer: String } = "revocation.crl_signature_invalid",
            "The revocation list that names {issuer} was not signed by the key of {issuer}.",
            fix: "Fetch the list again from {issuer}; treat this one as forged.",
            spec: "RFC 5280 6.3.3 (g)";
        CrlSigningForbidden { issuer: String } = "revocation.crl_signing_forbidden",
            "The key usage of {issuer} does not allow it to sign revocation lists.",
            fix: "Reissue the CA {issuer} with `cRLSign`.",
            spec: "RFC 5280 4.2.1.3, 6.3.3 (f)";
        CredentialRevoked { subject: String, serial: String, revoked_at: Time, why: String, by: String } = "revocation.revoked",
            "The certificate {subject} (serial {serial}) was revoked by {by} on {revoked_at}: {why}.",
            fix: "Replace the credential; do not use it again.",
            spec: "RFC 5280 6.3";
        StatusIndex { uri: String, index: i64, entries: usize } = "revocation.status_index_beyond",
            "The token has the number {index} in the status list {uri}, which has {entries} entries.",
            fix: "Have the issuer publish a list with an entry for each token that names it.",
            spec: "draft-ietf-oauth-status-list 6.2, 8.3";
        StatusListExpired { uri: String, expired: Time, at: Time } = "revocation.status_list_expired",
            "The status list {uri} ended on {expired}; at {at} it no longer tells which tokens were taken back.",
            fix: "Fetch the list again; if it is not published any more, that is the fault to mend.",
            spec: "draft-ietf-oauth-status-list 5.1, 8.3";
        StatusListMalformed { detail: String } = "revocation.status_list_malformed",
            "The status list of tokens cannot be read: {detail}.",
            fix: "Fetch the list again, and pass it exactly as it was issued.",
            spec: "draft-ietf-oauth-status-list 4, 5.1";
        StatusListSignature { uri: String, issuer: String } = "revocation.status_list_signature_invalid",
            "The status list {uri} was not signed by {issuer}, whose tokens name it.",
            fix: "Fetch the list again from {uri}; treat this one as forged.",
            spec: "draft-ietf-oauth-status-list 8.3, 11.3";
        StatusListSubject { uri: String, subject: String } = "revocation.status_list_subject",
            "What was found at {uri} is another status list: it says that it is {subject}.",
            fix: "Have the issuer publish each list at the address that its `sub` names.",
            spec: "draft-ietf-oauth-status-list 5.1, 8.3";
        StatusUnknown { subject: String, issuer: String } = "revocation.status_unknown",
            "Revocation must be checked, and no list of {issuer} covers {subject}.",
            fix: "Give the current revocation list of {issuer}, or do not require one for this anchor.",
            spec: "RFC 5280 6.3.3";
        SubjectEnded { what: String, by: String, event: String, at: Time } = "revocation.subject_ended",
            "{by} ended {what} on {at} ({event}), and what was had before is believed no more.",
            fix: "Have the subject sign in anew and present what it gets then; what was closed must be opened first.",
            spec: "OpenID CAEP 1.0 3; OpenID RISC 1.0 2";
        TokenStatus { issuer: String, uri: String, index: i64, status: String, as_of: Time } = "revocation.token_status",
            "{issuer} has taken the token back: entry {index} of its status list {uri} says {status}, as of {as_of}.",
            fix: "Get a new token from {issuer}; what is suspended may hold again later.",
            spec: "draft-ietf-oauth-status-list 7.1, 8.3";
        StatusMissing { issuer: String } = "revocation.token_status_missing",
            "The token does not say where its status is told, and tokens of {issuer} must.",
            fix: "Have {issuer} put `status.status_list` in its tokens, or do not require it of this anchor.",
            spec: "draft-ietf-oauth-status-list 6.1";
    }

    Spiffe {
        BundleHasNoKeys { trust_domain: String, key_use: &'static str } = "spiffe.bundle_has_no_keys",
            "The bundle of {trust_domain} holds no usable key for `{key_use}`, so no such SVID of it is believed.",
            fix: "Fetch the bundle of {trust_domain} again; an empty one means all its SVIDs are withdrawn.",
            spec: "SPIFFE Trust Domain and Bundle 4.1.3, 6";
        IdInvalid { id: String, detail: &'static str } = "spiffe.id_invalid",
            "`{id}` is not a SPIFFE ID: {detail}.",
            fix: "Issue an ID of the form `spiffe://trust-domain/path` in lower-case trust domain and unescaped path.",
            spec: "SPIFFE-ID 2";
        IdMismatch { expected: String, id: String } = "spiffe.id_mismatch",
            "The SVID is for {id}, not for {expected}.",
            fix: "Expect {id} if that is who you meant to reach; otherwise you are talking to someone else.",
            spec: "SPIFFE X.509-SVID 5";
        KeyUsageMissing { subject: String, detail: &'static str } = "spiffe.key_usage",
            "The key usage of the SVID {subject} is not what SPIFFE asks: {detail}.",
            fix: "Reissue with a critical key usage: `digitalSignature` for a workload, `keyCertSign` for a signing certificate.",
            spec: "SPIFFE X.509-SVID 4.3";
        LeafIdWithoutPath { id: String } = "spiffe.leaf_id_without_path",
            "The SVID {id} names a whole trust domain; a workload's ID has a path.",
            fix: "Issue the workload an ID such as `{id}/ns/name`.",
            spec: "SPIFFE X.509-SVID 2";
        SigningIdWithPath { id: String } = "spiffe.signing_id_with_path",
            "The signing certificate {id} has an ID with a path, which only workloads have.",
            fix: "Reissue the signing certificate with the ID of its trust domain alone.",
            spec: "SPIFFE X.509-SVID 2";
        TrustDomainMismatch { id: String, trust_domain: String } = "spiffe.trust_domain_mismatch",
            "The SVID {id} was signed by an authority of {trust_domain}, which may speak only for its own trust domain.",
            fix: "Present an SVID signed by the authority of its own trust domain, or federate with that trust domain.",
            spec: "SPIFFE-ID 3; SPIFFE X.509-SVID 5";
        TrustDomainUnknown { trust_domain: String, known: Vec<String> } = "spiffe.trust_domain_unknown",
            "There is no bundle for the trust domain {trust_domain} (known: {known}).",
            fix: "If you mean to trust it, federate with {trust_domain} by adding its bundle.",
            spec: "SPIFFE Trust Domain and Bundle 6";
        UriSanCount { subject: String, count: usize } = "spiffe.uri_san_count",
            "An X.509-SVID has exactly one URI name; {subject} has {count}.",
            fix: "Reissue {subject} with its SPIFFE ID as the only URI name.",
            spec: "SPIFFE X.509-SVID 2, 5";
    }
    Ssh {
        SshAuthorityUnknown { authority: String } = "ssh.authority_unknown",
            "The certificate was signed by {authority}, which is no trusted authority of SSH.",
            fix: "Have the key certified by a trusted authority, or add the key of this one to an anchor.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshExpired { until: Time, at: Time } = "ssh.expired",
            "The certificate was valid until {until}; it is {at}.",
            fix: "Have the key certified anew by `ssh-keygen -s`.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshKeyUnknown { fingerprint: String } = "ssh.key_unknown",
            "The key {fingerprint} is not listed, and nobody has certified it.",
            fix: "Have the key certified by a trusted authority, or list it in an anchor.",
            spec: "docs/how-to/trust-documents.md";
        SshKindMismatch { found: &'static str, expected: &'static str } = "ssh.kind_mismatch",
            "The certificate is of the kind {found}, and its authority is trusted for the kind {expected} alone.",
            fix: "Certify the key for what it is: `ssh-keygen -h` makes the certificate of a host, and without it that of a user.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshNameMismatch { names: Vec<String>, expected: String } = "ssh.name_mismatch",
            "What was presented is of {names}, not of {expected}.",
            fix: "Look whether you reached whom you meant; if {expected} it is, have its key certified for that name by `ssh-keygen -n`.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshNotSigned { authority: String } = "ssh.not_signed",
            "The certificate was not signed by {authority}, which it names, or was changed after it was signed.",
            fix: "Have the key certified anew; if it fails again, treat the sender as hostile.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshNotYetValid { from: Time, at: Time } = "ssh.not_yet_valid",
            "The certificate is valid from {from}; it is {at}.",
            fix: "Wait until then; if it should be valid now, check the clock of the authority.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshOptionNotHonoured { option: String } = "ssh.option_not_honoured",
            "The certificate holds only under the critical option {option}, which binds a login by SSH and cannot be kept to here.",
            fix: "Have the key certified for this use without {option}.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshOptionUnknown { option: String } = "ssh.option_unknown",
            "The certificate holds only under the critical option {option}, which is not known here.",
            fix: "Have the key certified without it.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshPrincipalAmbiguous { principals: Vec<String> } = "ssh.principal_ambiguous",
            "The certificate is for {principals}, and only one of them can be who is meant.",
            fix: "Name the one that is meant in `principals` of the anchor, or have the key certified for one name by `ssh-keygen -n`.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshPrincipalMissing {} = "ssh.principal_missing",
            "The certificate is for nobody in particular, which is not for everybody.",
            fix: "Have the key certified for a name by `ssh-keygen -n`.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshPrincipalNotAccepted { principals: Vec<String>, accepted: Vec<String> } = "ssh.principal_not_accepted",
            "The certificate is for {principals}, and the anchor takes only {accepted}.",
            fix: "Have the key certified for one of these names by `ssh-keygen -n`, or let the anchor take more.",
            spec: "OpenSSH PROTOCOL.certkeys";
        SshProofInvalid {} = "ssh.proof_invalid",
            "The proof is not over what was asked for: this challenge, for this relying party.",
            fix: "Sign the statement anew, with the challenge that was given out last and the issuer identifier of the tenant.",
            spec: "OpenSSH PROTOCOL.sshsig";
        SshProofKey { found: String, expected: String } = "ssh.proof_key",
            "The proof was made with the key {found}, and what was presented is about {expected}.",
            fix: "Sign with the private key that belongs to what is presented.",
            spec: "OpenSSH PROTOCOL.sshsig";
        SshProofMissing {} = "ssh.proof_missing",
            "A challenge was given out, and nothing shows that whoever sent the key or certificate holds the private key.",
            fix: "Send the signature over the challenge with it, as `proof` (`ssh-keygen -Y sign`); a question that means the public key alone names no `nonce`.",
            spec: "OpenSSH PROTOCOL.sshsig";
        SshProofNamespace { found: String, expected: &'static str } = "ssh.proof_namespace",
            "The proof was made for the namespace {found}, and only {expected} counts here.",
            fix: "Sign with `ssh-keygen -Y sign -n {expected}`.",
            spec: "OpenSSH PROTOCOL.sshsig";
    }

    Federation {
        AlgorithmForbidden { algorithm: String } = "federation.algorithm_forbidden",
            "The token asks to be checked with `{algorithm}`, which is never accepted.",
            fix: "Have the issuer sign with ES256, RS256, PS256 or EdDSA; an unsigned or shared-secret token proves nothing.",
            spec: "RFC 8725 3.1, 3.2";
        AlgorithmNotAllowed { algorithm: String, allowed: Vec<String> } = "federation.algorithm_not_allowed",
            "The token is signed with {algorithm}; for this issuer or kind of token only {allowed} is accepted.",
            fix: "Have the issuer sign with one of {allowed}, or allow {algorithm} for it.",
            spec: "RFC 8725 3.1; SPIFFE JWT-SVID 2.2";
        ApiKeyUnknown { digest: String } = "federation.api_key_unknown",
            "No API key with the digest {digest} is known.",
            fix: "Check that the whole key was given, and that its digest stands in the trust document.",
            spec: "docs/how-to/trust-documents.md";
        AudienceExtra { audiences: Vec<String>, expected: Vec<String> } = "federation.audience_extra",
            "The token is for {audiences}; here it must be for {expected} alone, since any other party it is for could replay it.",
            fix: "Ask the issuer for a token whose only audience is {expected}.",
            spec: "RFC 8725 3.9; RFC 7523 3";
        AudienceMismatch { audiences: Vec<String>, expected: Vec<String> } = "federation.audience_mismatch",
            "The token is for {audiences}, not for {expected}; it was meant for someone else.",
            fix: "Request a token with the audience {expected}; do not widen what this service accepts.",
            spec: "RFC 7519 4.1.3; RFC 8725 3.9";
        AuthorizedPartyMismatch { authorized_party: String, expected: Vec<String> } = "federation.authorized_party_mismatch",
            "The token was issued to {authorized_party}, not to {expected}.",
            fix: "Present a token that the issuer gave to {expected}.",
            spec: "OpenID Connect Core 3.1.3.7 (4), (5)";
        ChainBroken { entity: String, known: Vec<String> } = "federation.chain_broken",
            "No statement leads from {entity} to a trust anchor (trusted: {known}).",
            fix: "Send the whole chain: the configuration of the issuer, then what each superior says of the one below.",
            spec: "OpenID Federation 1.0 4, 10.1";
        ChainLoop { entity: String } = "federation.chain_loop",
            "The chain comes back to {entity}, which is on it already.",
            fix: "Send a chain in which each entity stands once.",
            spec: "OpenID Federation 1.0 10.1";
        ChainName { issuer: String, entity: String } = "federation.chain_name_excluded",
            "{issuer} does not permit {entity} below it.",
            fix: "Ask {issuer} whether {entity} belongs below it; if not, refuse the sender.",
            spec: "OpenID Federation 1.0 6.2.2";
        ChainPathLength { issuer: String, allowed: i64, intermediates: usize } = "federation.chain_path_length",
            "{issuer} permits {allowed} intermediates below it, and there are {intermediates}.",
            fix: "Use a shorter chain, or ask {issuer} to permit more.",
            spec: "OpenID Federation 1.0 6.2.1";
        ClaimMissing { claim: &'static str } = "federation.claim_missing",
            "The token has no `{claim}` claim.",
            fix: "Have the issuer set `{claim}`; a token without it cannot be bounded.",
            spec: "RFC 7519 4.1; RFC 8725 3.8, 3.9";
        ClaimMistyped { claim: String, expected: &'static str, found: &'static str } = "federation.claim_mistyped",
            "The claim `{claim}` must be {expected}, but is {found}.",
            fix: "Have the issuer write `{claim}` as {expected}.",
            spec: "RFC 7519 4.1";
        ClaimUnexpected { claim: &'static str } = "federation.claim_unexpected",
            "The token has the claim `{claim}`, which this kind of token must not have.",
            fix: "Have the issuer leave `{claim}` out, or present the token as what it is.",
            spec: "SPIFFE WIT-SVID 3";
        CriticalHeaderUnsupported { names: Vec<String> } = "federation.critical_header_unsupported",
            "The token says that {names} must be understood, and this verifier does not understand it.",
            fix: "Have the issuer leave `crit` out, or use a relying party made for {names}.",
            spec: "RFC 7515 4.1.11";
        EntityKeysMissing { entity: String } = "federation.entity_keys_missing",
            "{entity} publishes no keys for tokens, or is not allowed to be what it says it is.",
            fix: "Have {entity} publish `jwks` in its metadata, as an entity of a type that its superiors and the anchor permit; or add its type to `entity_types` of the anchor.",
            spec: "OpenID Federation 1.0 5.2.1, 6.2.3";
        HeaderUnexpected { member: String } = "federation.header_unexpected",
            "The header of the token has the member `{member}`, which this kind of token must not have.",
            fix: "Have the issuer leave `{member}` out of the header.",
            spec: "RFC 8725 3.10; SPIFFE JWT-SVID 2";
        IntrospectionMalformed { issuer: String, detail: String } = "federation.introspection_malformed",
            "What {issuer} answered about the token cannot be used: {detail}.",
            fix: "Have {issuer} answer as the standard asks.",
            spec: "RFC 7662 2.2";
        IssuedInFuture { issued_at: Time, at: Time, ahead: String } = "federation.issued_in_future",
            "The token says it was issued on {issued_at}, {ahead} after the time of the check ({at}).",
            fix: "Check the clocks, here and at the issuer.",
            spec: "RFC 7519 4.1.6; RFC 8725 3.8";
        IssuerQuarantined { issuer: String, since: Time, cause: String } = "federation.issuer_quarantined",
            "Nothing of {issuer} is believed since {since}: {cause}.",
            fix: "Once it is known what happened there, release it with `avouch issuer release`.",
            spec: "docs/how-to/issuers.md";
        IssuerUnknown { issuer: String, known: Vec<String> } = "federation.issuer_unknown",
            "The token was issued by {issuer}, which is not trusted here (trusted: {known}).",
            fix: "If you mean to trust {issuer}, add it with its keys, its audiences and a rule on who may come from it.",
            spec: "RFC 8725 3.8";
        KeyAlgorithmMismatch { key: String, key_algorithm: String, algorithm: String } = "federation.key_algorithm_mismatch",
            "The token is signed with {algorithm}, but its key {key} is for {key_algorithm}.",
            fix: "Have the issuer sign with {key_algorithm}, or publish a key for {algorithm}.",
            spec: "RFC 8725 3.1; RFC 7517 4.4";
        KeyAmbiguous { issuer: String, count: usize } = "federation.key_ambiguous",
            "The token does not say which of the {count} keys of {issuer} signed it.",
            fix: "Have the issuer put the `kid` of its key in the header.",
            spec: "RFC 7515 4.1.4; RFC 7515 6";
        KeyChanged { key: String, issuer: String, since: Time } = "federation.key_changed",
            "{issuer} has published another key under the name {key} since {since}, so neither of the two is believed.",
            fix: "Ask {issuer} which of the two is its own; then release it with `avouch issuer release`, or have it choose a new `kid`.",
            spec: "RFC 7517 4.5";
        KeyDuplicate { issuer: String, key: String } = "federation.key_duplicate",
            "The key set of {issuer} has two different keys called {key}, so a token cannot say which one it means.",
            fix: "Have {issuer} give each key its own `kid`.",
            spec: "RFC 7517 4.5";
        KeyFromToken { member: String } = "federation.key_from_token",
            "The token brings or points to its own key (`{member}`); anyone can sign with a key of their own.",
            fix: "Refuse the sender; keys come from the trust document only.",
            spec: "RFC 8725 3.10; RFC 7515 4.1.2, 4.1.3, 4.1.5, 4.1.6";
        KeyNotForSigning { key: String, detail: String } = "federation.key_not_for_signing",
            "The key {key} is not for checking signatures: {detail}.",
            fix: "Have the issuer sign with a key published for `sig` and `verify`.",
            spec: "RFC 7517 4.2, 4.3";
        KeyRemoved { key: String, issuer: String, since: Time } = "federation.key_removed",
            "{issuer} has taken the key {key} out of its key set, seen on {since}, so what it signed is withdrawn.",
            fix: "Present a token that {issuer} has signed with one of the keys it publishes now.",
            spec: "RFC 7517 5; OpenID Connect Core 10.1.1";
        KeyUnknown { key: String, issuer: String, known: Vec<String> } = "federation.key_unknown",
            "The key {key} that the token names is not one of {issuer} (known: {known}).",
            fix: "Fetch the keys of {issuer} again; if {key} was removed there, the token is withdrawn.",
            spec: "RFC 7517 5; RFC 7515 4.1.4";
        KeyUnpinned { key: String, issuer: String, since: Time, pinned: Vec<String> } = "federation.key_unpinned",
            "{issuer} publishes the key {key} since {since}, and it is not one of those that are pinned here (pinned: {pinned}).",
            fix: "Ask {issuer}, by another way than its address, whether the key is its own; if so, pin it with `avouch pin stage`.",
            spec: "RFC 7638 3; docs/how-to/pins.md";
        KeysStale { issuer: String, as_of: Time, usable_until: Time } = "federation.keys_stale",
            "The keys of {issuer} were fetched on {as_of} and may be used until {usable_until}; there are no newer ones.",
            fix: "See with `avouch issuer show` why they cannot be fetched; until then nobody knows which were withdrawn.",
            spec: "docs/how-to/issuers.md";
        KeyWeak { key: String, detail: String } = "federation.key_weak",
            "The key {key} is not strong enough: {detail}.",
            fix: "Have the issuer publish an RSA key of at least 2048 bits, or an ECDSA P-256 key.",
            spec: "RFC 7518 3.3; RFC 8725 3.5";
        LegacyKubernetesToken {} = "federation.legacy_kubernetes_token",
            "This is a Kubernetes Secret token of the old kind: it is for any audience and never expires.",
            fix: "Mount a projected service account token with an audience and an expiry instead.",
            spec: "KEP-1205; KEP-2799";
        LifetimeExcessive { lifetime: String, allowed: String } = "federation.lifetime_excessive",
            "The token lives {lifetime}; more than {allowed} is not accepted from this issuer.",
            fix: "Have the issuer shorten the lifetime, or raise `max_lifetime` for it in the trust document.",
            spec: "RFC 8725 3.8; RFC 7523 3 (4)";
        MetadataPolicyConflict { entity_type: String, parameter: String, detail: String } = "federation.metadata_policy_conflict",
            "The policies on the chain contradict each other for `{parameter}` of `{entity_type}`: {detail}.",
            fix: "Have the superiors agree; until then nobody below them is believed this way.",
            spec: "OpenID Federation 1.0 6.1.3, 6.1.4";
        MetadataPolicyViolated { entity_type: String, parameter: String, detail: String } = "federation.metadata_policy_violated",
            "The metadata of the issuer is not what its superiors ask for, in `{parameter}` of `{entity_type}`: {detail}.",
            fix: "Have the issuer change `{parameter}`.",
            spec: "OpenID Federation 1.0 6.1.4.2";
        NonceMismatch {} = "federation.nonce_mismatch",
            "The token does not carry the nonce that was asked for, so it may be a replay.",
            fix: "Start the sign-in again and use the token it returns.",
            spec: "OpenID Connect Core 3.1.3.7 (11)";
        PinMissed { issuer: String, since: Time, expected: Vec<String>, seen: Vec<String> } = "federation.pin_missed",
            "The keys of {issuer} are too old, and none were taken since {since}, because its server shows no certificate that is pinned: pinned {expected}, shown {seen}.",
            fix: "Ask {issuer}, by another way than its address, whether that certificate is its own; if so, pin it with `avouch pin stage`.",
            spec: "docs/how-to/pins.md";
        ProofInvalid { detail: String } = "federation.proof_invalid",
            "The proof of possession does not fit the token: {detail}.",
            fix: "Make a new proof with the key named in `cnf` for this token and this audience.",
            spec: "draft-ietf-wimse-wpt-02 2; RFC 7800 3";
        ProofMissing {} = "federation.proof_missing",
            "The token is bound to a key, so it is only believed together with proof that its holder has that key.",
            fix: "With a WIT-SVID, send a workload proof token (WPT) made with the key in `cnf`; with a token that came with a DPoP proof, ask `/decide` with `credential.dpop`: the proof, its method and its URL; about any other ask `/introspect`, and check the client certificate against the `cnf` it answers.",
            spec: "RFC 7800 3; RFC 7662 2.2; RFC 9449 6.2; RFC 8705 3.2; SPIFFE WIT-SVID 5; draft-ietf-wimse-wpt-02 2";
        SamlAlgorithm { algorithm: String } = "federation.saml_algorithm_forbidden",
            "The signature of the assertion is made with `{algorithm}`, which is not accepted.",
            fix: "Have the identity provider sign with RSA or ECDSA and SHA-256 or longer, over exclusive canonical XML.",
            spec: "SAML Core 5.4; RFC 9231 2; NIST SP 800-131A";
        SamlAssertionCount { found: usize } = "federation.saml_assertion_count",
            "The response holds {found} assertions, of which at most one can be the one that is meant; it must hold one.",
            fix: "Have the identity provider send one assertion; if it did, whoever sent this has added to it.",
            spec: "SAML Profiles 4.1.4.2";
        SamlAttributeDuplicate { attribute: String } = "federation.saml_attribute_duplicate",
            "The assertion has the attribute {attribute} twice, so two readers could take different values from it.",
            fix: "Have the identity provider send each attribute once, with all of its values.",
            spec: "SAML Core 2.7.3";
        SamlComment { element: String } = "federation.saml_comment",
            "There is a comment inside of the assertion, in `{element}`; a comment can cut a name in two and leave the signature whole.",
            fix: "Refuse the sender; identity providers do not write comments.",
            spec: "SAML Core 5.4.3; CVE-2017-11427 class";
        SamlCondition { condition: String } = "federation.saml_condition_unknown",
            "The assertion holds under the condition `{condition}`, which is not understood here.",
            fix: "Have the identity provider leave `{condition}` out for this service.",
            spec: "SAML Core 2.5.1.1";
        SamlConfirmation { detail: String } = "federation.saml_confirmation_unusable",
            "Whoever shows the assertion cannot be confirmed to be its subject: {detail}.",
            fix: "Have the identity provider confirm the subject as a bearer, with a `Recipient` and a `NotOnOrAfter`.",
            spec: "SAML Profiles 4.1.4.2";
        SamlContent { detail: String } = "federation.saml_signed_content",
            "What was signed is not the assertion that was presented: {detail}.",
            fix: "Treat the sender as hostile: the signature is real, and was put on something else.",
            spec: "XML Signature 3.2; SAML Core 5.4.2";
        SamlElementMissing { element: &'static str } = "federation.saml_element_missing",
            "The assertion has no `{element}`, without which it is not bounded.",
            fix: "Have the identity provider set `{element}`.",
            spec: "SAML Core 2.3.3; SAML Profiles 4.1.4.2";
        SamlEncrypted {} = "federation.saml_encrypted",
            "The assertion is encrypted, so whether anyone signed it cannot be told.",
            fix: "Have the identity provider send the assertion signed and not encrypted, over TLS.",
            spec: "SAML Core 2.3.4, 6.2";
        SamlIdDuplicate { id: String } = "federation.saml_id_duplicate",
            "Two elements have the ID `{id}`, so a signature of that ID could be of either.",
            fix: "Treat the sender as hostile; identity providers give each element its own ID.",
            spec: "SAML Core 5.4.2; XML Signature 4.4.3.2";
        SamlInResponseTo { found: String, expected: String } = "federation.saml_in_response_to_mismatch",
            "The assertion answers {found}, and what is expected answers {expected}.",
            fix: "Give the ID of the request with `--in-response-to`; where requests are not known, set `in_response_to` of the anchor to `any`.",
            spec: "SAML Profiles 4.1.4.3; SAML Core 2.4.1.2";
        SamlMetadataExpired { issuer: String, valid_until: Time, at: Time } = "federation.saml_metadata_expired",
            "The metadata of {issuer} could be used until {valid_until}; it is {at}.",
            fix: "Put the metadata that {issuer} publishes now into the trust document.",
            spec: "SAML Metadata 2.3.2";
        SamlRecipient { recipients: Vec<String>, expected: Vec<String> } = "federation.saml_recipient_mismatch",
            "The assertion may be shown at {recipients}, not at {expected}; it was meant for another place.",
            fix: "Have the identity provider send assertions for this service to {expected}.",
            spec: "SAML Profiles 4.1.4.3; SAML Core 3.2.2";
        SamlSignature { key: String, issuer: String } = "federation.saml_signature_invalid",
            "The assertion was not signed by the key {key} of {issuer}, or was changed after it was signed.",
            fix: "Get a new assertion; if {issuer} has changed its key, put its metadata of now into the trust document.",
            spec: "SAML Core 5.4; XML Signature 3.2";
        SamlSignaturePlace { detail: String } = "federation.saml_signature_misplaced",
            "The signature is not where it must be, or not of what it must be: {detail}.",
            fix: "Treat the sender as hostile: this is how one assertion is wrapped around another.",
            spec: "SAML Core 5.4.1, 5.4.2";
        SamlStatus { status: String } = "federation.saml_status",
            "The identity provider answers that it did not succeed: {status}.",
            fix: "Sign in again; the log of the identity provider says what went wrong.",
            spec: "SAML Core 3.2.2.2";
        SamlSubject { detail: String } = "federation.saml_subject_unusable",
            "The subject of the assertion cannot be used: {detail}.",
            fix: "Have the identity provider name the subject with a plain `NameID` of its own.",
            spec: "SAML Core 2.2.3, 2.4.1";
        SamlTransform { transform: String } = "federation.saml_transform_forbidden",
            "What is signed would be worked out by `{transform}`, which is not accepted.",
            fix: "Have the identity provider use the enveloped signature and exclusive canonical XML, and nothing else.",
            spec: "SAML Core 5.4.4";
        SamlUnsigned {} = "federation.saml_unsigned",
            "The assertion carries no signature of its own; one around it says nothing about it.",
            fix: "Have the identity provider sign assertions (often called `WantAssertionsSigned`).",
            spec: "SAML Profiles 4.1.3.5; SAML Core 5.2";
        StatementCritical { names: Vec<String> } = "federation.statement_critical",
            "A statement of the chain says that {names} must be understood, and this verifier does not understand it.",
            fix: "Have the superior leave {names} out, or use a relying party made for it.",
            spec: "OpenID Federation 1.0 3.1.1, 6.1.3.2";
        StatementExpired { issuer: String, entity: String, expired: Time, at: Time } = "federation.statement_expired",
            "What {issuer} says of {entity} expired on {expired}; it is {at}.",
            fix: "Get the chain again from {issuer}.",
            spec: "OpenID Federation 1.0 10.2";
        StatementSignature { issuer: String, entity: String } = "federation.statement_signature_invalid",
            "What {issuer} says of {entity} was not signed with a key that {issuer} has according to whoever is above it.",
            fix: "Get the chain again; if {issuer} has changed its keys, its superior or the trust document must know.",
            spec: "OpenID Federation 1.0 10.2";
        SubjectMismatch { subject: String, expected: String } = "federation.subject_mismatch",
            "The token is for {subject}, not for {expected}.",
            fix: "Expect {subject} if that is who you meant to hear from; otherwise refuse the sender.",
            spec: "RFC 7519 4.1.2";
        SubjectNotOfIssuer { subject: String, detail: String } = "federation.subject_not_of_issuer",
            "The subject `{subject}` does not agree with the other claims: {detail}.",
            fix: "Refuse the token; an issuer writes both from the same facts.",
            spec: "RFC 8725 3.8";
        TokenInactive { issuer: String, at: Time } = "federation.token_inactive",
            "{issuer} was asked at {at} whether the token holds, and says that it does not.",
            fix: "Get a new token from {issuer}; this one has ended, was taken back, or is not of {issuer}.",
            spec: "RFC 7662 2.2";
        TokenExpired { expired: Time, at: Time, ago: String } = "federation.token_expired",
            "The token expired on {expired}, {ago} before the time of the check ({at}).",
            fix: "Get a new token; if it should still be valid, check the clock.",
            spec: "RFC 7519 4.1.4";
        TokenOpaque { known: Vec<String> } = "federation.token_opaque",
            "Nobody but its issuer can read the token, and which of those that are asked about such tokens it is was not said: {known}.",
            fix: "Name the issuer of the token (`issuer`, or `subject_issuer` at the token endpoint); it must be trusted with `introspection`.",
            spec: "RFC 7662 2.1, 4";
        TokenNotYetValid { not_before: Time, at: Time, ahead: String } = "federation.token_not_yet_valid",
            "The token is valid from {not_before}, {ahead} after the time of the check ({at}).",
            fix: "Wait until then; if it should be valid now, check the clock.",
            spec: "RFC 7519 4.1.5";
        TokenSignatureInvalid { key: String, issuer: String } = "federation.signature_invalid",
            "The token was not signed by the key {key} of {issuer}, or was changed after it was signed.",
            fix: "Get a new token from {issuer}; if it fails again, treat the sender as hostile.",
            spec: "RFC 7515 5.2";
        TrustMark { entity: String, mark: String, detail: String } = "federation.trust_mark_missing",
            "{entity} lacks the trust mark {mark}: {detail}.",
            fix: "Have {entity} get the mark from who may give it, and publish it in its configuration.",
            spec: "OpenID Federation 1.0 7.3";
        TypeUnexpected { found: String, expected: Vec<String> } = "federation.type_unexpected",
            "This is a token of the type {found}; here {expected} is expected.",
            fix: "Present the token that was issued for this use; other kinds prove other things.",
            spec: "RFC 8725 3.11";
    }

    Fetch {
        FetchAddress { host: String, address: String, range: &'static str } = "fetch.address_forbidden",
            "{host} leads to {address}, which is {range}; only the public Internet is called.",
            fix: "If it is meant, have the operator start the server with `--allow-fetch {host}`.",
            spec: "RFC 6890; docs/how-to/issuers.md";
        FetchBroken { host: String, detail: String } = "fetch.answer_broken",
            "{host} did not give a whole HTTP answer: {detail}.",
            fix: "See what {host} answers, for instance with curl, and have it answer by HTTP/1.1.",
            spec: "RFC 9112";
        FetchBudget { detail: String } = "fetch.budget_spent",
            "The tenant has fetched as much as it may for now: {detail}.",
            fix: "Wait a moment; if this is usual, have fewer issuers and bundles, or refresh them less often.",
            spec: "docs/how-to/issuers.md";
        FetchBundleForeign { trust_domain: String, found: String } = "fetch.bundle_foreign",
            "The bundle that was fetched for {trust_domain} has a CA that calls itself {found}.",
            fix: "Ask whoever answers for {trust_domain} why; nothing of this bundle is taken, and the one before stays.",
            spec: "X509-SVID 3.2; SPIFFE Trust Domain and Bundle 5";
        FetchBundleLarge { trust_domain: String, keys: usize, allowed: usize } = "fetch.bundle_large",
            "The bundle that was fetched for {trust_domain} has {keys} keys, and at most {allowed} are taken.",
            fix: "Have whoever answers for {trust_domain} take out the keys that are over.",
            spec: "docs/how-to/federate.md";
        FetchBundleOlder { trust_domain: String, held: String, seen: String } = "fetch.bundle_older",
            "The bundle that was fetched for {trust_domain} has the number {seen}, and {held} is here already.",
            fix: "If {trust_domain} was set up anew, put its relation again with the bundle it has now; otherwise someone plays back an old one.",
            spec: "SPIFFE Federation 4.4; SPIFFE Trust Domain and Bundle 4.1.1";
        FetchDiscoveryIssuer { url: String, configured: String, found: String } = "fetch.discovery_issuer_mismatch",
            "{url} says that its issuer is {found}, but {configured} was asked for.",
            fix: "Configure the issuer exactly as it names itself, with or without a slash at its end, if it is the one that you mean.",
            spec: "OpenID Connect Discovery 4.3; RFC 9207";
        FetchDiscoveryMalformed { url: String, detail: String } = "fetch.discovery_malformed",
            "What {url} says cannot be read as a discovery document: {detail}.",
            fix: "Check that the issuer offers OpenID Connect Discovery; if not, give `jwks_url` or `jwks`.",
            spec: "OpenID Connect Discovery 3, 4.2";
        FetchEncoded { host: String, encoding: String } = "fetch.encoding_refused",
            "{host} answered with a body that is encoded as {encoding}, though it was asked for none.",
            fix: "Have {host} honour `Accept-Encoding: identity`.",
            spec: "RFC 9110 12.5.3";
        FetchEntityElsewhere { url: String, anchor: String, host: String } = "fetch.entity_elsewhere",
            "A federation below {anchor} points to {url}, which is on {host}, where nobody has said that its entities may be.",
            fix: "If {host} belongs to the federation, add it to `fetch.hosts` of the anchor.",
            spec: "OpenID Federation 1.0 9, 10.1; docs/how-to/trust-documents.md";
        FetchKeysElsewhere { url: String, keys: String, host: String } = "fetch.keys_elsewhere",
            "{url} says that its keys are at {keys}, on another host, {host}, which nobody has allowed.",
            fix: "If {host} is meant to keep the keys of this issuer, allow it with `jwks_hosts`.",
            spec: "OpenID Connect Discovery 7.2; docs/how-to/issuers.md";
        FetchLarge { host: String, part: &'static str, allowed: usize } = "fetch.too_large",
            "The {part} of the answer of {host} has more than {allowed} bytes.",
            fix: "See what {host} answers; no honest document of this kind is so large.",
            spec: "docs/how-to/issuers.md";
        FetchPinMissed { host: String, expected: Vec<String>, seen: Vec<String> } = "fetch.pin_missed",
            "{host} shows no certificate that is pinned: pinned {expected}, shown {seen}.",
            fix: "Ask whoever runs {host}, by another way than its address, whether that certificate is its own; if so, pin it with `avouch pin stage`.",
            spec: "RFC 7469 2.6; docs/how-to/pins.md";
        FetchRedirect { url: String, location: String } = "fetch.redirect_refused",
            "{url} redirects to {location}, which is not followed.",
            fix: "Give the address at which it really is; a redirect is followed at the same host only, and only where it is expected.",
            spec: "RFC 9110 15.4; OpenID Connect Discovery 4.3";
        FetchSlow { host: String, phase: &'static str, milliseconds: u32 } = "fetch.too_slow",
            "{host} took longer than {milliseconds} ms for {phase}.",
            fix: "See whether {host} is overloaded or a firewall drops what is sent to it.",
            spec: "docs/how-to/issuers.md";
        FetchStatus { url: String, status: u32 } = "fetch.status",
            "{url} answered with the status {status}.",
            fix: "Check the address, and that it may be read without a credential.",
            spec: "RFC 9110 15";
        FetchStatusListElsewhere { url: String, issuer: String, host: String } = "fetch.status_list_elsewhere",
            "Tokens of {issuer} name the status list {url}, which is on {host}, where nobody has said that its lists may be.",
            fix: "Check with whoever runs the issuer; add {host} to `status_list_hosts` of the issuer if it is theirs.",
            spec: "draft-ietf-oauth-status-list 8.1; docs/how-to/token-status.md";
        FetchStatusListOlder { url: String, known: Time, found: Time } = "fetch.status_list_older",
            "The status list at {url} is of {found}, and one of {known} was there before: what was taken back in between would hold again.",
            fix: "Find out who serves the older list; the newer one is used until it is too old.",
            spec: "draft-ietf-oauth-status-list 11.5";
        FetchTls { host: String, detail: String } = "fetch.tls_failed",
            "{host} has not shown that it is {host}: {detail}.",
            fix: "If it has a certificate of a private CA, give that CA with it; otherwise do not trust what answers there.",
            spec: "RFC 9110 4.3.4; RFC 9525";
        FetchUnreachable { host: String, detail: String } = "fetch.unreachable",
            "{host} cannot be reached: {detail}.",
            fix: "Check that it is up and that this server may reach it.",
            spec: "RFC 9110 4.3.3";
        FetchUnresolved { host: String, detail: String } = "fetch.name_unresolved",
            "The name {host} cannot be resolved: {detail}.",
            fix: "Check the name, and the name servers of this machine.",
            spec: "RFC 1034 5";
        FetchUrl { url: String, detail: &'static str } = "fetch.url_refused",
            "The address {url} is not called: {detail}.",
            fix: "Write it as `https://host/path`, with a port if it needs one.",
            spec: "RFC 3986 3; RFC 9110 4.2.2";
    }

    Issue {
        IssueActor { detail: String } = "issue.actor_not_allowed",
            "Nobody may act for this subject in this way: {detail}.",
            fix: "Let the rule name who may act (`actors`), or leave `actor_token` out.",
            spec: "RFC 8693 2.1, 4.4";
        IssueAssurance { missing: String, asked: String, acr: Vec<String>, max_age: i64 } = "issue.assurance_insufficient",
            "The subject has not signed in as surely as the rule asks: {missing}. It asks for: {asked}.",
            fix: "Have the subject sign in again as the rule asks, and exchange the new token.",
            spec: "RFC 9470 3; OpenID Connect Core 2";
        IssueAttestationFact { method: &'static str, fact: &'static str } = "issue.attestation_fact_missing",
            "What the node showed by {method} does not tell {fact}, from which the node would have its name.",
            fix: "Have the issuer say it, or let the node join by another method or with a join token.",
            spec: "docs/how-to/nodes.md";
        IssueAttestationMalformed { method: String, detail: String } = "issue.attestation_malformed",
            "What the node showed by {method} cannot be read: {detail}.",
            fix: "Use an agent of the same version as the server, with the files that its help names.",
            spec: "docs/how-to/nodes.md";
        IssueAttestationNotProven { method: &'static str } = "issue.attestation_not_proven",
            "The node did not show by {method} that it has the key: the challenge of the server was not signed with it.",
            fix: "Give the agent the key that belongs to the certificate; if it has it, treat the sender as hostile.",
            spec: "docs/how-to/nodes.md";
        IssueAttestorUnknown { tenant: String, attestor: String, method: String } = "issue.attestor_unknown",
            "The tenant `{tenant}` has no attestor `{attestor}` of the method {method}.",
            fix: "Correct `--attest-tenant` and `--attestor` of the agent, or make one with `avouch node attestor put`.",
            spec: "docs/how-to/nodes.md";
        IssueAudience { detail: String } = "issue.audience_invalid",
            "The JWT-SVID cannot be issued for this audience: {detail}.",
            fix: "Name the service that will receive the token, exactly as it calls itself.",
            spec: "SPIFFE JWT-SVID 3.2";
        IssueAuthorityExpired { authority: String, not_after: Time, at: Time } = "issue.authority_expired",
            "The authority {authority} cannot sign on {at}: it is valid until {not_after}.",
            fix: "Prepare and activate a new authority.",
            spec: "RFC 5280 4.1.2.5";
        IssueAuthorityInUse { authority: String, credentials: usize, nodes: usize, readers: usize } = "issue.authority_in_use",
            "Revoking the authority {authority} now would end {credentials} credentials that nothing has replaced yet, and {nodes} nodes and {readers} readers of its bundle may not know its successor.",
            fix: "Wait until every node and every reader has the successor (`avouch authority list`), and what it signed is renewed or has ended, as tokens do by themselves; or revoke it with `--anyway`.",
            spec: "docs/how-to/authorities.md";
        IssueAuthorityNotHeld { authority: String, nodes: usize, readers: usize } = "issue.authority_not_held",
            "The authority {authority} cannot sign yet: {nodes} nodes and {readers} readers of its bundle do not know it, and could not check what it signs.",
            fix: "Wait until `avouch authority list` shows that every node and every reader knows it, or find out why some do not.",
            spec: "SPIFFE Federation 5.2.2; docs/how-to/authorities.md";
        IssueAuthorityNoSuccessor { authority: String, trust_domain: String } = "issue.authority_no_successor",
            "Nothing would sign X.509-SVIDs of {trust_domain} after {authority}: its certificates end at a root elsewhere, and no successor is prepared.",
            fix: "Bring the next one (`avouch authority csr {trust_domain}`, and `avouch authority import` when it is signed), or go back to an own root (`avouch authority prepare {trust_domain}`), and ask again; or with `--anyway`, and nothing is issued until it is there.",
            spec: "docs/how-to/authorities.md";
        IssueAuthorityState { authority: String, state: &'static str, action: &'static str } = "issue.authority_state",
            "The authority {authority} is {state}, so it cannot {action}.",
            fix: "Use another authority of the trust domain, or prepare and activate a new one; what signs is tainted before it is revoked.",
            spec: "docs/glossary.md";
        IssueBoundExceeded { anchor: String, bound: &'static str, most: String, asked: String } = "issue.bound_exceeded",
            "Through {anchor} at most {most} may be had (`{bound}`), and this would be {asked}.",
            fix: "Have the rule give less, or widen `grants_at_most.{bound}` of {anchor}, which bounds what its thief can get.",
            spec: "docs/how-to/issuers.md";
        IssueBodyMalformed { object: &'static str, detail: String } = "issue.body_malformed",
            "The {object} that was sent cannot be read: {detail}.",
            fix: "Correct what is named and send it again: `--help` of the command tells the options, `/openapi.json` the members of each address, as one JSON object or as a form.",
            spec: "docs/how-to/run.md";
        IssueBootstrapMismatch { shown: String, own: String } = "issue.bootstrap_ca_mismatch",
            "The node was told to believe a cluster CA with the key {shown}, and that of this cluster has {own}: it was given a wrong hash, or is being led to another cluster.",
            fix: "Compare the hash with what `avouch authority bootstrap-token` has told; if it was copied well, find out who answered the node.",
            spec: "docs/how-to/cluster.md";
        IssueBootstrapNode { node: String, asked: String } = "issue.bootstrap_node",
            "The bootstrap token is for the node {node}, and the request is for {asked}.",
            fix: "Request the certificate of the node that the token was made for, or make a token for this one.",
            spec: "docs/how-to/cluster.md";
        IssueBootstrapTokenExpired { expires: Time, at: Time } = "issue.bootstrap_token_expired",
            "The bootstrap token ended on {expires}; it is {at}.",
            fix: "Make a new one with `avouch authority bootstrap-token`, and start the kubelet before it ends.",
            spec: "docs/how-to/cluster.md";
        IssueBootstrapTokenUnknown {} = "issue.bootstrap_token_unknown",
            "The bootstrap token is not one of this tenant's.",
            fix: "Check that it was copied as a whole, six characters, a point and sixteen, and that the address names the tenant that made it.",
            spec: "docs/how-to/cluster.md";
        IssueBootstrapTokenUsed { used: Time } = "issue.bootstrap_token_used",
            "The bootstrap token was used on {used}, and it gives one certificate only.",
            fix: "If it was you and the answer got lost, ask again with the same key within five minutes, or make a new token; if someone else used it, revoke the certificate of its node first.",
            spec: "docs/how-to/cluster.md";
        IssueBootstrapUnpinned {} = "issue.bootstrap_unpinned",
            "Nothing says how the node knows the cluster CA, so it may be talking to anyone.",
            fix: "Send `ca_cert_hash` as `avouch authority bootstrap-token` shows it, or, if you must, `unsafe_skip_ca_verification`.",
            spec: "docs/how-to/cluster.md";
        IssueClusterRequest { signer: &'static str, detail: String } = "issue.cluster_request_refused",
            "The signer {signer} does not sign this request: {detail}.",
            fix: "Make the request as Kubernetes documents it for this signer, and send it again.",
            spec: "Kubernetes, Certificates and Certificate Signing Requests, Kubernetes signers";
        IssueClusterSigner { signer: String, detail: &'static str } = "issue.cluster_signer_unknown",
            "Nothing is signed here for {signer}: {detail}.",
            fix: "Name kubernetes.io/kube-apiserver-client, kubernetes.io/kube-apiserver-client-kubelet or kubernetes.io/kubelet-serving.",
            spec: "Kubernetes, Certificates and Certificate Signing Requests, Kubernetes signers";
        IssueClient { detail: String } = "issue.client_not_authenticated",
            "The client has not shown who it is: {detail}.",
            fix: "Sign a fresh assertion whose audience is the issuer identifier of the tenant, with a key that a rule names.",
            spec: "RFC 6749 5.2; RFC 7523 3";
        IssueConflict { detail: String } = "issue.conflict",
            "What was asked for does not fit to what is there: {detail}.",
            fix: "Look at what is there now, and ask again for what is still wanted.",
            spec: "docs/how-to/run.md";
        IssueCredentialMissing { whose: &'static str, wanted: &'static str } = "issue.credential_missing",
            "The request brings no credential of {whose}.",
            fix: "Send {wanted}.",
            spec: "RFC 6750 2.1";
        IssueDelegation { detail: String } = "issue.delegation_refused",
            "The chain of those who act for one another is refused: {detail}.",
            fix: "Exchange the token of the first subject again instead of handing it on.",
            spec: "RFC 8693 4.1";
        IssueDnsName { name: String, detail: &'static str } = "issue.dns_name_invalid",
            "The certificate cannot carry the DNS name {name}: {detail}.",
            fix: "Give the full name of one host, such as `db.example.com`.",
            spec: "RFC 5280 4.2.1.6; RFC 1123 2.1";
        IssueEgressBearer { egress: String } = "issue.egress_bearer",
            "The API {egress} is lent to whoever shows an X.509-SVID and its key; a token could be anyone's.",
            fix: "Call over mutual TLS, or say `bearer: true` for {egress} if tokens are kept well.",
            spec: "docs/how-to/third-party-api.md";
        IssueEgressBusy { egress: String, waiting: u32 } = "issue.egress_busy",
            "No more uses of the API {egress} may wait for an answer now; {waiting} uses of the tenant's APIs do.",
            fix: "Ask again later. If the API does not answer at all, have its callers give up sooner.",
            spec: "RFC 6585 4";
        IssueEgressKeyWaits { egress: String } = "issue.egress_key_waits",
            "The API {egress} has a key that comes next already, and some server may use it.",
            fix: "End the earlier key at the API and run `avouch egress promote {egress}`, then rotate; or say `--force` if the one that waits is of no use.",
            spec: "docs/how-to/third-party-api.md";
        IssueEgressLeak { egress: String } = "issue.egress_leak",
            "The API {egress} has answered with its own key, so the answer is kept back.",
            fix: "Forbid the path that answers so in the rules of {egress}, and replace the key.",
            spec: "docs/how-to/third-party-api.md";
        IssueEgressNotPermitted { subject: String, egress: String, method: String, path: String } = "issue.egress_not_permitted",
            "No rule of the API {egress} lets {subject} use {method} on {path}.",
            fix: "If it should, say so in `rules` of {egress} with `avouch egress put`; what a rule says in `facts` and `attested` must hold of every registration entry of the identity.",
            spec: "docs/how-to/third-party-api.md";
        IssueEgressPath { egress: String } = "issue.egress_path",
            "The path for the API {egress} could be read in more than one way.",
            fix: "Leave out empty segments, `.` and `..`, and escapes of `/`, `.`, `;` and `%`.",
            spec: "RFC 3986 3.3, 6.2.2";
        IssueEgressRate { most: u32, seconds: u32 } = "issue.egress_rate_exceeded",
            "The rule lets its caller ask {most} times a minute, and it has; the next in {seconds} seconds.",
            fix: "Ask again in {seconds} seconds, or say a larger `per_minute`.",
            spec: "RFC 6585 4";
        IssueEndingsExcess { what: String, most: u32 } = "issue.endings_exceeded",
            "No more than {most} names may have ended for {what} at once, and that many have.",
            fix: "Look at `avouch signal ended` for what fills it; if a stream is right to end so many, give it a larger `most_ended`.",
            spec: "docs/how-to/signals.md";
        IssueEntryExpired { entry: String, expires: Time, at: Time } = "issue.entry_expired",
            "The registration entry {entry} ended on {expires}; it is {at}.",
            fix: "Have the owner of the entry review it and set a new expiry, or remove it.",
            spec: "docs/how-to/run.md";
        IssueEntryUnfilled { entry: String, place: String, why: String } = "issue.entry_unfilled",
            "The registration entry {entry} gives no identity here: {place} {why}.",
            fix: "Look with `avouch why-not` at what is attested; register this workload by an entry of its own if its facts cannot stand in a name.",
            spec: "docs/how-to/dynamic-entries.md";
        IssueEventAudience { audiences: Vec<String>, expected: Vec<String> } = "issue.event_audience",
            "The event is for {audiences}, and this receiver is {expected}.",
            fix: "Have the transmitter put the audience of this stream into its events.",
            spec: "RFC 8417 2.2; OpenID SSF 1.0 4.1";
        IssueEventIssuer { issuer: String } = "issue.event_issuer_unknown",
            "No stream of signals here is of {issuer}.",
            fix: "Add a stream with `avouch signal put`, or have the transmitter stop sending here.",
            spec: "RFC 8417 2.2; RFC 8935 2.4";
        IssueEventKey { issuer: String, detail: String } = "issue.event_key",
            "The event was not signed as {issuer} signs: {detail}.",
            fix: "See with `avouch issuer show` which keys of {issuer} are known; treat an event that none of them signed as forged.",
            spec: "RFC 8935 2.4; RFC 7515 5.2";
        IssueEvent { detail: String } = "issue.event_malformed",
            "What was sent is no security event token as it has to be: {detail}.",
            fix: "Send a token of the type `secevent+jwt` with `iss`, `iat`, `jti`, `aud`, `sub_id` and one event.",
            spec: "RFC 8417 2; OpenID SSF 1.0 4.1";
        IssueEventState { issuer: String } = "issue.event_state",
            "{issuer} answers a question whether it is there that was not asked.",
            fix: "Ask it anew with `avouch signal verify`; if it goes on, someone else sends in its name.",
            spec: "OpenID SSF 1.0 8.1.4.1";
        IssueEventSubject { issuer: String, detail: String } = "issue.event_subject",
            "{issuer} cannot end what the event names: {detail}.",
            fix: "Have the transmitter name a subject of its own, in a format of RFC 9493 that is known here.",
            spec: "RFC 9493 3; OpenID SSF 1.0 3";
        IssueEventTime { detail: String } = "issue.event_time",
            "The event is not of now: {detail}.",
            fix: "Correct the clock of the transmitter, or have it send the event anew.",
            spec: "RFC 8417 2.2; OpenID CAEP 1.0 2";
        IssueEventsExcess { stream: String, most: u32 } = "issue.events_exceeded",
            "The stream {stream} ended more than {most} subjects in a minute; the rest waits.",
            fix: "Look at what the transmitter does; what waits is taken when it is sent again.",
            spec: "RFC 6585 4";
        IssueExchange { subject: String, closest: String, differs: Vec<String> } = "issue.exchange_not_admitted",
            "No rule of this tenant gives {subject} anything; the closest, {closest}, differs in {differs}.",
            fix: "Present a token with the facts that {closest} asks for, or add a rule; `avouch rule preview` shows whom it would admit.",
            spec: "RFC 8693 2.2.2";
        IssueGrant { grant: String, supported: Vec<String> } = "issue.grant_unsupported",
            "The grant type {grant} is not known here; known are: {supported}.",
            fix: "Send one of {supported} as `grant_type`.",
            spec: "RFC 6749 5.2";
        IssueIdOutside { id: String, trust_domain: String } = "issue.id_outside_trust_domain",
            "The ID {id} does not lie in the trust domain {trust_domain}, whose authority was asked.",
            fix: "Ask the authority of the trust domain in the ID, or correct the registration entry.",
            spec: "SPIFFE-ID 5";
        IssueIdReserved { id: String } = "issue.id_reserved",
            "The ID {id} cannot be registered: the path `/avouch` is kept for nodes and servers.",
            fix: "Choose a path that does not begin with `/avouch`.",
            spec: "docs/how-to/run.md";
        IssueIdentityAdministers { id: String, role: String, tenant: String, subject: String } = "issue.identity_administers",
            "{id} has the role {role} in the tenant {tenant}, which may more than the roles of {subject}: whoever says who gets this identity could be it.",
            fix: "Ask someone who could give that role, or choose another identity.",
            spec: "docs/how-to/run.md";
        IssueJoinTokenExpired { expires: Time, at: Time } = "issue.join_token_expired",
            "The join token ended on {expires}; it is {at}.",
            fix: "Make a new one with `avouch node token`, and start the agent before it ends.",
            spec: "docs/how-to/run.md";
        IssueJoinTokenUnknown {} = "issue.join_token_unknown",
            "The join token is not one of this server's.",
            fix: "Check that it was copied as a whole and that the agent calls the server that made it.",
            spec: "docs/how-to/run.md";
        IssueJoinTokenUsed { used: Time } = "issue.join_token_used",
            "The join token was used on {used}, and it can be used once only.",
            fix: "If the agent that used it is not yours, ban its node; then make a new token.",
            spec: "docs/how-to/run.md";
        IssueKeyAddress { detail: String } = "issue.key_address_refused",
            "The key at this address cannot sign for an authority: {detail}.",
            fix: "Name a key of the token of `--keys` by token and id, of P-256 or RSA, with both halves, that was not made here and cannot be taken out.",
            spec: "RFC 7512; docs/how-to/authorities.md";
        IssueKeyAwaited { key: String, issuer: String, seconds: u32 } = "issue.key_awaited",
            "{issuer} did not have the key {key} when its keys were looked at last; they are looked at again in {seconds} seconds, and until then nobody knows.",
            fix: "Send the same again in {seconds} seconds.",
            spec: "docs/how-to/issuers.md; RFC 9110 10.2.3";
        IssueKeyKind { found: String, accepted: Vec<String> } = "issue.key_not_accepted",
            "A credential for a key of the kind {found} is not issued here; accepted are: {accepted}.",
            fix: "Make a new key of one of these kinds: {accepted}.",
            spec: "SPIFFE X.509-SVID 4; SPIFFE WIT-SVID 3";
        IssueLineage { anchor: String } = "issue.lineage_broken",
            "The token descends from {anchor}, which is not trusted here any more.",
            fix: "Begin again with a token of an issuer that is trusted now.",
            spec: "docs/how-to/exchange.md";
        IssueMethodNotAllowed { method: String, allowed: Vec<String> } = "issue.method_not_allowed",
            "The address does not know the method {method}; it knows {allowed}.",
            fix: "Use one of {allowed}; `/openapi.json` says what each does.",
            spec: "RFC 9110 15.5.6";
        IssueNameResurrected { name: String, rule: String, held: String, seen: String } = "issue.name_resurrected",
            "The {name} was {held} when the rule {rule} first admitted it, and is {seen} now: someone else has taken the name, or it was made anew.",
            fix: "Find out whose the name is now; if it is who you mean, let it be held anew with `avouch rule forget`.",
            spec: "docs/how-to/drift.md";
        IssueNamesExcess { what: String, most: u32 } = "issue.names_exceeded",
            "No more than {most} names are held for {what}, and that many are; a name that was not seen before is not admitted.",
            fix: "Ask for the id of the subject in the rule in the place of its name, or let names that are not in use any more go with `avouch rule forget`.",
            spec: "docs/how-to/drift.md";
        IssueNodeJoined { node: String, since: Time, detail: &'static str } = "issue.node_joined_already",
            "The node {node} joined on {since}, and what it shows does not let it join again: {detail}.",
            fix: "If that was not it, ban the node; otherwise show something newer, or let the attestor take it with `rejoin`.",
            spec: "docs/how-to/nodes.md";
        IssueNodeNameTaken { node: String, attested_by: String } = "issue.node_name_taken",
            "The name {node} is that of a node which joined in another way, by {attested_by}.",
            fix: "Evict that node if it is gone, and let this one join again.",
            spec: "docs/how-to/nodes.md";
        IssueNodeNotAdmitted { node: String, detail: &'static str } = "issue.node_not_admitted",
            "The node {node} gets no identities: {detail}.",
            fix: "If it should, lift the ban with `avouch node unban`, or let it join again with a new join token.",
            spec: "docs/how-to/run.md";
        IssueNodeRenewals { node: String, seconds: u32 } = "issue.node_renews_too_often",
            "The node {node} has had its own identity renewed far more often than an agent does; the next time in {seconds} seconds.",
            fix: "Look at what runs on {node} and why it asks: an agent renews once in half of the life of its identity. If it is not yours any more, ban it with `avouch node ban`.",
            spec: "docs/how-to/nodes.md";
        IssueNonce { detail: &'static str, nonce: String } = "issue.nonce_required",
            "The proof that the sender has its key must answer a nonce of this server, and {detail}.",
            fix: "Sign a new DPoP proof with the `nonce` of the header `DPoP-Nonce`, and send it within five minutes.",
            spec: "RFC 9449 8";
        IssueNotPermitted { subject: String, verb: &'static str, noun: &'static str } = "issue.not_permitted",
            "The role of {subject} does not let it {verb} the {noun} of this tenant.",
            fix: "Ask someone who administers the tenant, or have them give {subject} another role.",
            spec: "docs/how-to/run.md";
        IssueObjectMalformed { object: &'static str, member: String, detail: String } = "issue.object_malformed",
            "The {object} cannot be taken as it is: `{member}`: {detail}.",
            fix: "Correct `{member}` and send the {object} again; nothing of it was stored.",
            spec: "docs/how-to/run.md";
        IssueObjectUnknown { object: &'static str, name: String } = "issue.object_unknown",
            "There is no {object} `{name}` here.",
            fix: "Check the name and the tenant; what another tenant has is not seen from here.",
            spec: "docs/how-to/run.md";
        IssueProof { detail: String } = "issue.proof_invalid",
            "The proof that the sender has its key is not good: {detail}.",
            fix: "Sign a new DPoP proof for this address and this moment.",
            spec: "RFC 9449 4.3";
        IssuePreconditionFailed { object: &'static str, name: String } = "issue.precondition_failed",
            "The {object} `{name}` is not what the request expects to be there (`If-Match`, `If-None-Match`).",
            fix: "Read it again, and ask for the change of what is there now.",
            spec: "RFC 9110 13.1";
        IssueProofRequired { rule: String } = "issue.proof_required",
            "The rule {rule} gives nothing to bearers, and no key was proved with the request.",
            fix: "Send a DPoP proof, call over mutual TLS, or have the rule say `bearer` with a reason and an end.",
            spec: "RFC 9449 5; RFC 8705 3";
        IssuePublicKey { detail: String } = "issue.public_key_malformed",
            "The public key cannot be used: {detail}.",
            fix: "Send the key as a DER SubjectPublicKeyInfo.",
            spec: "RFC 5280 4.1.2.7";
        IssueProxyRestricted { issuer: String, detail: String } = "issue.proxy_restricted",
            "Nothing is given on the word of the assertion of {issuer}: {detail}.",
            fix: "Have the identity provider leave `ProxyRestriction` out for this service, or name there whom the credential is to be for.",
            spec: "SAML Core 2.5.1.6";
        IssueQuota { what: &'static str, most: u32 } = "issue.quota_exceeded",
            "The tenant, or one above it, may have {most} {what}, and has them.",
            fix: "Remove {what} that nobody needs, or ask who administers the tenant above for more (`avouch tenant quota`).",
            spec: "docs/how-to/run.md";
        IssueRate { most: u32, seconds: u32 } = "issue.rate_exceeded",
            "The tenant, or one above it, may be issued {most} credentials a minute, and has been; the next in {seconds} seconds.",
            fix: "Ask again in {seconds} seconds; look for who asks so often, or ask who administers the tenant above for more (`avouch tenant quota`).",
            spec: "docs/how-to/run.md; RFC 6585 4";
        IssueReleaseStale { issuer: String, named: String, found: String } = "issue.release_stale",
            "What waits for release of {issuer} is {found}, and {named} was looked at.",
            fix: "Look at what waits now with `avouch issuer show`, and release that by its `etag`.",
            spec: "docs/how-to/issuers.md";
        IssueRemovalUnconfirmed { what: String, goes: String, confirm: String } = "issue.removal_unconfirmed",
            "The {what} is in use; with it would go {goes}.",
            fix: "Look at what goes (`--dry-run`), and name the tenants and trust domains of it: `--confirm {confirm}`.",
            spec: "docs/how-to/remove.md";
        IssueRequest { detail: String } = "issue.request_malformed",
            "The certification request cannot be read: {detail}.",
            fix: "Make a PKCS#10 request anew, as `openssl req -new -key KEY -out FILE` writes one, and send that.",
            spec: "RFC 2986 4";
        IssueRequestNotSigned {} = "issue.request_not_signed",
            "The certification request was not signed by the private half of the key it brings.",
            fix: "Make the request again with the key it is for.",
            spec: "RFC 2986 3";
        IssueRequestRefused { id: String, more: String } = "issue.request_refused",
            "The certification request asks for {more}, which is not given to {id}.",
            fix: "Make the request without it: only its key is taken. DNS names are given by the registration entry.",
            spec: "docs/how-to/authorities.md";
        IssueRevocationKind { kind: &'static str, instead: &'static str } = "issue.revocation_unsupported",
            "What was presented is {kind}, and nothing of that kind is ended here.",
            fix: "Have an administrator say `{instead}`.",
            spec: "RFC 7009 2.2.1";
        IssueRevocationUntold { authority: String, issuer: String, not_after: Time } = "issue.revocation_untold",
            "Revoking the authority {authority} would be news to nobody: the root {issuer} above it may not sign revocation lists, so what {authority} signed is believed until {not_after}.",
            fix: "Replace the root with `avouch authority taint {issuer}`, have verifiers believe its successor, and revoke the root; or wait until {not_after}; or revoke it with `--anyway`.",
            spec: "RFC 5280 4.2.1.3 (cRLSign)";
        IssueScope { asked: String, allowed: Vec<String> } = "issue.scope_not_allowed",
            "The scope {asked} is wider than what may be had here; that is: {allowed}.",
            fix: "Ask for less.",
            spec: "RFC 6749 5.2; RFC 8693 2.1";
        IssueSshAuthority { authority: String } = "issue.ssh_authority_unknown",
            "The host certificate was signed by {authority}, which the attestor does not trust.",
            fix: "Have the host certified by a trusted authority, or add the key of this one to the attestor.",
            spec: "OpenSSH PROTOCOL.certkeys";
        IssueSshChallenge { detail: &'static str, challenge: String } = "issue.ssh_challenge",
            "Whoever presents a key of SSH must show that they hold it, for a challenge of this server: {detail}.",
            fix: "Sign the statement for the `challenge` of this answer with `ssh-keygen -Y sign -n proof@avouch`, and send it within minutes; `avouch token exchange --ssh-key` does so by itself.",
            spec: "OpenSSH PROTOCOL.sshsig; RFC 9449 8";
        IssueSshKind { found: &'static str } = "issue.ssh_not_a_host",
            "What the node showed is {found}, not the certificate of a host.",
            fix: "Certify the key of the host with `ssh-keygen -h`.",
            spec: "OpenSSH PROTOCOL.certkeys";
        IssueSshNotSigned { authority: String } = "issue.ssh_not_signed",
            "The host certificate was not signed by {authority}, which it names, or was changed after it was signed.",
            fix: "Have the host certified anew; if it fails again, treat the sender as hostile.",
            spec: "OpenSSH PROTOCOL.certkeys";
        IssueSshNotValid { from: Time, until: Time, at: Time } = "issue.ssh_not_valid",
            "The host certificate is valid from {from} to {until}; it is {at}.",
            fix: "Have the host certified anew; if it should be valid now, check the clock.",
            spec: "OpenSSH PROTOCOL.certkeys";
        IssueSshOption { option: String } = "issue.ssh_option_unknown",
            "The host certificate holds only under the critical option {option}, which is not known here.",
            fix: "Have the host certified without it; no critical option is defined for hosts.",
            spec: "OpenSSH PROTOCOL.certkeys";
        IssueSshPrincipal { principals: Vec<String>, accepted: Vec<String> } = "issue.ssh_principal",
            "The host certificate is for {principals}, and the attestor takes only {accepted}.",
            fix: "Have the host certified with its own name by `ssh-keygen -n`, or let the attestor take more names.",
            spec: "OpenSSH PROTOCOL.certkeys";
        IssueSubjectEnds { left: i64, least: i64 } = "issue.subject_ends_soon",
            "What was presented ends in {left} seconds, and nothing shorter than {least} seconds is issued.",
            fix: "Present a fresh token; if what is presented holds only for seconds, as the answer of a cluster that is asked does, have the rule say `outlives`.",
            spec: "RFC 8693 5";
        IssueTarget { asked: String, allowed: Vec<String> } = "issue.target_not_allowed",
            "A credential for {asked} cannot be had here; possible are: {allowed}.",
            fix: "Name one of the audiences of the rule as `audience` or `resource`.",
            spec: "RFC 8693 2.2.2; RFC 8707 2";
        IssueTemplate { fact: String, detail: String } = "issue.template_unfit",
            "No identity can be made of this token: its {fact} {detail}.",
            fix: "Make the identity of another fact, one whose values are a single path segment.",
            spec: "SPIFFE-ID 2.2";
        IssueTokenReview { detail: String } = "issue.token_review_refused",
            "The cluster did not vouch for the token of the pod: {detail}.",
            fix: "Look at `review` of the attestor; `kubectl create --raw` with a TokenReview shows what the cluster says.",
            spec: "Kubernetes API authentication.k8s.io/v1 TokenReview";
        IssueTokenTypeFalse { parameter: &'static str, detail: String } = "issue.token_type_false",
            "What was sent is not what `{parameter}` says: {detail}.",
            fix: "Send the token that the type names, or name the type that the token has.",
            spec: "RFC 8693 2.1; RFC 8725 3.11";
        IssueTokenOfAnother {} = "issue.token_of_another",
            "The token was given to somebody else, who alone can end it here.",
            fix: "Ask as its subject, as the client that it was given to, or with a proof of the key that it is bound to; administrators say `avouch signal end`.",
            spec: "RFC 7009 2.1";
        IssueTokenType { parameter: &'static str, found: String, supported: Vec<String> } = "issue.token_type_unsupported",
            "The `{parameter}` {found} is not known here; known are: {supported}.",
            fix: "Send one of {supported}.",
            spec: "RFC 8693 3";
        IssueUsed { what: &'static str, at: Time } = "issue.token_used",
            "The {what} was used on {at}, and it can be used once only.",
            fix: "Get a fresh one; if it was not you who used it, someone else has it.",
            spec: "RFC 8693 5; RFC 7523 3; RFC 9449 11.1";
        IssueTpmCertificate {} = "issue.tpm_certificate_purpose",
            "The certificate does not say that its key is the endorsement key of a TPM, so anyone may hold that key.",
            fix: "Show the certificate that the maker of the TPM has given it; `tpm2_getekcertificate` finds it.",
            spec: "TCG EK Credential Profile for TPM 2.0, 3.2.16";
        IssueTpmKey { key: String } = "issue.tpm_endorsement_key",
            "The endorsement key that the TPM showed is not that of the certificate: it is {key}.",
            fix: "Give the agent the certificate of this TPM and of this kind of key; if it has it, treat the sender as hostile.",
            spec: "TCG EK Credential Profile for TPM 2.0, 2.1";
        IssueTpmKeyUnknown { key: String } = "issue.tpm_endorsement_unknown",
            "The endorsement key {key} is not among those that the attestor takes.",
            fix: "If the machine is yours, add {key} to `endorsement_keys` of the attestor.",
            spec: "docs/how-to/nodes.md";
        IssueTpmAttributes { role: &'static str, detail: &'static str } = "issue.tpm_key_attributes",
            "The {role} that was shown {detail}, so what it signs proves nothing about a TPM.",
            fix: "Let the agent make the keys itself; if it did, treat the sender as hostile.",
            spec: "TPM 2.0 Library Part 1, 23.1, 31.2";
        IssueTpmNodeKey {} = "issue.tpm_node_key",
            "The TPM vouches for another key than the one that the identity is asked for.",
            fix: "Use an agent of the same version as the server; if it is, treat the sender as hostile.",
            spec: "TPM 2.0 Library Part 3, 18.2";
        IssueTpmNodeKeyKept { node: String } = "issue.tpm_node_key_kept",
            "The node {node} has joined with a key in its TPM, and asks for an identity with another key.",
            fix: "Let the node join again by its TPM, or evict it and let it join by another method.",
            spec: "docs/how-to/nodes.md";
        IssueTpmNotActivated {} = "issue.tpm_not_activated",
            "The attestation key is not in the TPM of the endorsement key: what was sealed for both was not opened.",
            fix: "Let the agent use one TPM for both; if it did, treat the sender as hostile.",
            spec: "TPM 2.0 Library Part 1, 24; Part 3, 12.5";
        IssueTpmNotSigned { about: &'static str } = "issue.tpm_not_signed",
            "What the TPM is said to say about {about} is not signed with the attestation key that was shown.",
            fix: "Let the agent ask the TPM again; if that does not help, treat the sender as hostile.",
            spec: "TPM 2.0 Library Part 3, 18.2, 18.4";
        IssueTpmRegister { register: u32, seen: String, accepted: Vec<String> } = "issue.tpm_register",
            "The register {register} of the TPM has the value {seen}, and the attestor takes only {accepted}.",
            fix: "If what was started on the machine is as you want it, add {seen} to `pcr_values` of the attestor.",
            spec: "TCG PC Client Platform Firmware Profile 3.3.4";
        IssueTpmRegisters { detail: &'static str } = "issue.tpm_registers",
            "What was measured on the machine is not what its TPM vouches for: {detail}.",
            fix: "Let the agent ask the TPM again, with its bank of SHA-256 in use; if that does not help, treat the sender as hostile.",
            spec: "TPM 2.0 Library Part 3, 18.4";
        IssueTpmStale { about: &'static str } = "issue.tpm_statement_stale",
            "What the TPM says about {about} answers another question than the one that was asked now.",
            fix: "Let the agent ask the TPM anew; a statement that was made before, or for somebody else, is worth nothing.",
            spec: "TPM 2.0 Library Part 1, 31.3";
        IssueTrustMutable { rule: String, names: Vec<String>, pins: Vec<String> } = "issue.trust_mutable",
            "The rule {rule} trusts whoever has the names {names}, and somebody else may have them later.",
            fix: "Pin one of {pins} as well; to trust a name alone for a while, say `override` (of an anchor or an exchange rule: `unpinned`) with a reason and an expiry.",
            spec: "docs/how-to/issuers.md";
        IssueTrustUnconditional { issuer: String, rule: String, population: String } = "issue.trust_unconditional",
            "Trusting {issuer} by the rule {rule} believes {population}.",
            fix: "Say in `rules` whose tokens are meant; to believe all of them for a while, say `override` (of an anchor: `unpinned`) with a reason and an expiry.",
            spec: "docs/how-to/issuers.md";
        IssueTimeToLive { asked: u32, least: u32, most: u32 } = "issue.ttl_out_of_bounds",
            "A credential for {asked} seconds is not issued here; the profile allows {least} to {most}.",
            fix: "Ask for {least} to {most} seconds, or change the profile.",
            spec: "docs/glossary.md";
        IssueUndecided { need: String } = "issue.undecided",
            "It cannot be told whether this is to be believed: {need}.",
            fix: "Give the tenant what is missing, and send the request again.",
            spec: "ARCHITECTURE.md";
        IssueUpstreamKey { trust_domain: String } = "issue.upstream_key",
            "None of the certificates is for a key of {trust_domain} that waits for one, or for the key that was given with them.",
            fix: "Give the certificate that was signed for a request of `avouch authority csr` that still waits; with a key, the certificate of that key.",
            spec: "RFC 5280 4.1.2.7";
        IssueUpstreamMalformed { detail: String } = "issue.upstream_malformed",
            "The certificates cannot be taken: {detail}.",
            fix: "Give one PEM file with its certificate and all above it, up to the root.",
            spec: "docs/how-to/authorities.md";
        IssueWebhookMalformed { egress: String, header: &'static str, detail: &'static str } = "issue.webhook_malformed",
            "The webhook of {egress} cannot be checked: its header `{header}` {detail}.",
            fix: "Send the body and the header exactly as they came from the API, and look whether `webhook.scheme` is its own.",
            spec: "RFC 2104; docs/how-to/third-party-api.md";
        IssueWebhookNotPermitted { egress: String, subject: String } = "issue.webhook_not_permitted",
            "The webhooks of {egress} are not for {subject}.",
            fix: "If they are, name it in `webhook.ids` of {egress} with `avouch egress put`.",
            spec: "docs/how-to/third-party-api.md";
        IssueWebhookSignature { egress: String } = "issue.webhook_signature",
            "The webhook was signed with no secret that is known of {egress}.",
            fix: "If the API has a new secret, put it with `--webhook-secret-file`; if not, whoever sent this is not the API.",
            spec: "RFC 2104; docs/how-to/third-party-api.md";
        IssueWebhookStale { made: Time, at: Time, tolerance: u32 } = "issue.webhook_stale",
            "The webhook was signed on {made}, and it is {at}: further away than {tolerance} seconds.",
            fix: "Check it when it comes, and look at the clock of this server; if it is old, someone sends it again.",
            spec: "docs/how-to/third-party-api.md";
    }
    Policy {
        AnchorAudience { anchor: String, list: &'static str, asked: Vec<String>, permitted: Vec<String> } = "policy.anchor_audience",
            "{anchor} is trusted only for what is meant for {permitted} (its `{list}`), and here it is to be for {asked}.",
            fix: "Add {asked} to the `{list}` of {anchor}, or send what is meant for {permitted} to where that is.",
            spec: "docs/how-to/trust-documents.md; RFC 7519 4.1.3";
        AnchorExpired { anchor: String, expires: Time, at: Time } = "policy.anchor_expired",
            "The path ends at {anchor}, but its owner trusted it only until {expires}; it is {at}.",
            fix: "Have the owner of {anchor} review it and set a new expiry, or remove it.",
            spec: "docs/how-to/trust-documents.md";
        AnchorName { anchor: String, name: String, permitted: Vec<String> } = "policy.anchor_name",
            "{anchor} is trusted for {permitted} only, and {name} is not among them.",
            fix: "Use an anchor that is trusted for {name}, or widen the constraint with a reason.",
            spec: "RFC 5937 3";
        AnchorPathLength { anchor: String, allowed: u32, intermediates: u32 } = "policy.anchor_path_length",
            "{anchor} is trusted with at most {allowed} intermediates below it; the path has {intermediates}.",
            fix: "Use a shorter path, or widen the constraint with a reason.",
            spec: "RFC 5937 3";
        AnchorPurpose { anchor: String, purpose: String, permitted: Vec<String> } = "policy.anchor_purpose",
            "{anchor} is trusted for {permitted} only, not for {purpose}.",
            fix: "Use an anchor that is trusted for {purpose}, or widen the constraint with a reason.",
            spec: "RFC 5937 3";
        AnchorTenant { anchor: String, tenant: String } = "policy.anchor_tenant",
            "{anchor} belongs to another tenant than {tenant}.",
            fix: "Add the anchor to {tenant} itself; what another tenant trusts counts for that tenant alone.",
            spec: "ARCHITECTURE.md";
        AnchorTrustDomain { anchor: String, trust_domain: String, permitted: Vec<String> } = "policy.anchor_trust_domain",
            "{anchor} is not trusted for the trust domain {trust_domain}; its constraints name {permitted}.",
            fix: "Use the bundle of {trust_domain} itself; where that is known, or the constraints name others, an anchor vouches for {trust_domain} only if they name it, too.",
            spec: "RFC 5937 3; SPIFFE-ID 3";
        ClaimBeyondBound { anchor: String, fact: String, value: String, permitted: String } = "policy.claim_beyond_bound",
            "The {fact} of what was presented is {value}, and {anchor} is believed only if it says {permitted}.",
            fix: "Have the issuer say what it is bounded to, or widen `grants_at_most.claims` of {anchor}.",
            spec: "docs/how-to/trust-documents.md";
        NoAnchors {} = "policy.no_anchors",
            "There is nothing to trust: no anchor was given for this kind of credential.",
            fix: "Give a trust document with `--trust FILE`, or `--trust system` for the public Web.",
            spec: "RFC 5280 6.1.1 (d)";
        PublicStore { anchor: String, store: String, what: String } = "policy.public_store",
            "{anchor} is trusted as a member of the public store {store}, which vouches for servers by their names and not for {what}.",
            fix: "Trust who issued it by an anchor of its own, with an owner and bounds: anyone may have a certificate of a public authority.",
            spec: "CA/Browser Forum TLS BR 1.1";
        RuleInvalid { rule: String, detail: String } = "policy.rule_invalid",
            "The rule {rule} cannot be used: {detail}.",
            fix: "Correct the rule; the facts and matchers are listed in docs/how-to/trust-documents.md.",
            spec: "docs/how-to/trust-documents.md";
        RuleNotMatched { issuer: String, closest: String, differs: Vec<String>, fix_admits: String } = "policy.rule_not_matched",
            "{issuer} really issued this token, but no rule admits it; the closest, {closest}, differs in {differs}.",
            fix: "Present a token with the facts that {closest} asks for, or add a rule for these facts.",
            spec: "docs/how-to/trust-documents.md";
        ServiceModel { service: String, model: String, permitted: Vec<String> } = "policy.service_model",
            "{model} decided, and for {service} only {permitted} may.",
            fix: "Present what {permitted} vouches for, or let {model} decide for {service}, too: `models` of the service.",
            spec: "docs/how-to/services.md";
        SharedIssuerUnpinned { issuer: String, rule: String, population: String, pins: Vec<String> } = "policy.shared_issuer_unpinned",
            "Trusting {issuer} by the rule {rule} admits {population}, since the issuer is shared by all its customers.",
            fix: "Pin one of {pins} to your own value in every rule for {issuer}.",
            spec: "docs/how-to/trust-documents.md";
    }

    Limit {
        Certificates { given: usize, allowed: usize } = "limit.certificates",
            "The chain brings {given} certificates; more than {allowed} are not read.",
            fix: "Send the end-entity certificate and the intermediates that lead to its anchor, nothing else.",
            spec: "RFC 4158 2.4";
        InputSize { part: &'static str, size: usize, allowed: usize } = "limit.input_size",
            "The {part} is {size} bytes long; more than {allowed} are not read.",
            fix: "Send less; no honest {part} is this long.",
            spec: "RFC 8725 3.6";
        JsonDepth { part: &'static str, allowed: usize } = "limit.json_depth",
            "The {part} is nested deeper than {allowed} levels.",
            fix: "Refuse the sender; no honest {part} is nested like this.",
            spec: "RFC 8259 9";
        JsonMembers { part: &'static str, allowed: usize } = "limit.json_members",
            "The {part} has more than {allowed} members and elements.",
            fix: "Refuse the sender; no honest {part} has so many.",
            spec: "RFC 8259 9";
        NameComparisons { allowed: u32 } = "limit.name_comparisons",
            "Comparing the names with the name constraints would take more than {allowed} comparisons.",
            fix: "Issue certificates with fewer names, or CAs with fewer constraints.",
            spec: "RFC 5280 8; CVE-2018-0739 class";
        PathLength { allowed: u32 } = "limit.path_length",
            "No anchor is reached within {allowed} intermediates.",
            fix: "Shorten the path, or raise `limits.max_path_length` if you expect one this long.",
            spec: "RFC 4158 2.4";
        PolicyNodes { allowed: u32 } = "limit.policy_nodes",
            "The certificate policies of the path would take more than {allowed} nodes to compare.",
            fix: "Issue CA certificates with fewer policies and mappings.",
            spec: "RFC 9618 1; CVE-2023-0464";
        SearchSteps { allowed: u32 } = "limit.search_steps",
            "The search for a path took more than {allowed} steps without reaching an anchor.",
            fix: "Send only the intermediates that lead to the anchor.",
            spec: "RFC 4158 2.4.2";
        SignatureWork { allowed: u32 } = "limit.signature_work",
            "The search for a path would take more than {allowed} microseconds of signature checks.",
            fix: "Send only the intermediates that lead to the anchor, each with its key identifiers.",
            spec: "RFC 4158 2.4.2";
        StatusListSize { allowed: usize } = "limit.status_list_size",
            "The status list of tokens takes more than {allowed} bytes, which are not read.",
            fix: "Have the issuer use several lists; what unpacks to more than this may be made to.",
            spec: "draft-ietf-oauth-status-list 4.1, 11.1";
    }
}
