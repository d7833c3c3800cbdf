//! The rules by which the server finds something about a tenant, each with a stable code.

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its code, which is never reused.
    pub code: &'static str,
    /// How grave what it finds is.
    pub severity: &'static str,
    /// What it finds.
    pub title: &'static str,
    /// Where it is told.
    pub told_by: &'static str,
}

/// Static credentials that are good for too long.
pub(crate) const LONG_LIVED: Rule = Rule {
    code: "long-lived-secret",
    severity: "low; medium from 90 days on, high from a year on",
    title: "A static credential that is not over within 90 days of its beginning.",
    told_by: "avouch audit secrets",
};

/// Keys of roots where a program can read them; as grave as a line of the audit that is not met.
pub(crate) const SOFTWARE_ROOT: Rule = Rule {
    code: "software-root",
    severity: "medium",
    title: "A root whose key is in the store and not in a token of PKCS #11.",
    told_by: "avouch audit zero-trust",
};

/// What has an owner who is gone; as grave as a line of the audit that is not met.
pub(crate) const ORPHANED: Rule = Rule {
    code: "orphaned",
    severity: "medium",
    title: "An entry, a rule, an issuer, an anchor or an egress whose owner's account was closed where they signed in.",
    told_by: "avouch audit zero-trust, avouch entry list",
};

/// Entries of which something is not said.
const UNSAID: Rule = Rule {
    code: "unsaid",
    severity: "low in the record of one",
    title: "A registration entry without an owner or a purpose.",
    told_by: "avouch entry list, avouch audit record",
};

/// All there are.
pub const RULES: [Rule; 4] = [LONG_LIVED, ORPHANED, SOFTWARE_ROOT, UNSAID];
