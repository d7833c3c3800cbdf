//! What every anchor has, whatever its kind.

use avouch_core::anchor::{
    Anchor, AnchorKind, Constraints, KeyOrigin, PublicStore, StatusUse, Stewardship, StoreLabel,
};
use avouch_core::exchange::at_most::GrantsAtMost;
use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::reason::Reason;

use crate::members::Members;
use crate::question::PURPOSES;

/// The members of an anchor that may be `null`, as they are where a verdict shows an anchor that does not
/// have them: what they say describes it. None of what bounds an anchor is: when it ends, its constraints, its
/// tenant, and what its kind adds.
pub(super) const MAY_BE_NULL: &[&str] =
    &["added", "key_origin", "name", "owner", "reason", "store"];

fn status_use(members: &mut Members) -> Result<StatusUse, Reason> {
    let Some(name) = members.text("status_lists")? else {
        return Ok(StatusUse::default());
    };
    let read = StatusUse::parse(&name);
    read.ok_or_else(|| members.refuse("status_lists", "must be checked, ignored or required"))
}

fn key_origin(members: &mut Members) -> Result<Option<KeyOrigin>, Reason> {
    let Some(name) = members.text("key_origin")? else {
        return Ok(None);
    };
    match KeyOrigin::parse(&name) {
        Some(origin) => Ok(Some(origin)),
        None => Err(members.refuse("key_origin", "must be file, memory, pkcs11 or tpm")),
    }
}

/// The public store that an anchor is of.
fn public_store(members: &mut Members) -> Result<Option<PublicStore>, Reason> {
    let Some(mut store) = members.members("store")? else {
        return Ok(None);
    };
    let label = StoreLabel::parse(&store.required_text("label")?);
    let label = label.ok_or_else(|| store.refuse("label", "must be web-pki"))?;
    let source = store.required_text("source")?;
    let as_of = store.time("as_of")?;
    let as_of = as_of.ok_or_else(|| store.refuse("as_of", "is missing"))?;
    store.finish()?;
    Ok(Some(PublicStore {
        label,
        source,
        as_of: Some(as_of),
    }))
}

/// What every anchor has, whatever its kind.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) name: Option<String>,
    pub(super) stewardship: Stewardship,
    pub(super) constraints: Constraints,
    pub(super) tenant: TenantId,
}

impl Common {
    pub(super) fn of_nothing(tenant: &TenantId) -> Self {
        Self {
            name: None,
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: tenant.clone(),
        }
    }

    pub(super) fn take(
        path: &str,
        members: &mut Members,
        tenant: &TenantId,
    ) -> Result<Self, Reason> {
        let grants_at_most = match members.take("grants_at_most") {
            None => GrantsAtMost::default(),
            Some(value) => GrantsAtMost::read_at(&format!("{path}.grants_at_most"), &value)?,
        };
        let tenant = match members.text("tenant")? {
            None => tenant.clone(),
            Some(name) => TenantId::parse(&name).ok_or_else(|| {
                members.refuse(
                    "tenant",
                    "must be 1 to 63 lower-case letters, digits and hyphens",
                )
            })?,
        };
        Ok(Self {
            name: members.text("name")?,
            stewardship: Stewardship {
                owner: members.text("owner")?,
                reason: members.text("reason")?,
                added: members.time("added")?,
                expires: members.time("expires")?,
                key_origin: key_origin(members)?,
                public_store: public_store(members)?,
            },
            constraints: Constraints {
                grants_at_most,
                ..constraints(members.members("constraints")?)?
            },
            tenant,
        })
    }

    pub(super) fn anchor(self, name: String, kind: AnchorKind, source: &str) -> Anchor {
        Anchor {
            name: self.name.unwrap_or(name),
            kind,
            stewardship: self.stewardship,
            constraints: self.constraints,
            tenant: self.tenant,
            source: Some(source.to_owned()),
        }
    }
}

fn constraints(members: Option<Members>) -> Result<Constraints, Reason> {
    let Some(mut members) = members else {
        return Ok(Constraints::default());
    };
    let trust_domains = members
        .texts("trust_domains")?
        .iter()
        .map(|name| {
            TrustDomain::parse_named(name)
                .map_err(|_| members.refuse("trust_domains", "has a name that is no trust domain"))
        })
        .collect::<Result<_, _>>()?;
    let dns = members.texts("dns")?;
    if dns.iter().any(|name| !is_dns_subtree(name)) {
        return Err(members.refuse(
            "dns",
            "must name domains such as `example.com`, which stands for itself and all below it",
        ));
    }
    let constraints = Constraints {
        trust_domains,
        dns,
        purposes: members.choices("purposes", PURPOSES)?,
        path_length: members.count("path_length")?,
        status_lists: status_use(&mut members)?,
        ..Constraints::default()
    };
    members.finish()?;
    Ok(constraints)
}

/// Whether a name can be a subtree: labels of letters, digits, `-` and `_`, without a wildcard or
/// a leading dot, which would mean something else than it seems to.
fn is_dns_subtree(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}
