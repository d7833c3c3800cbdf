//! What a newcomer finds: a tenant, and an identity for every process of the user who started it.

use std::sync::Arc;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_server::entries::EntryDraft;
use avouch_server::{Plane, Refused};
use avouch_store::TenantKind;
use nix::unistd::{Uid, User};

/// The name of the tenant.
pub(super) const TENANT: &str = "demo";

/// Its trust domain.
pub(super) const TRUST_DOMAIN: &str = "demo.avouch.test";

/// The name of the entry.
pub(super) const ENTRY: &str = "current-user";

/// How many changes the tenant has seen before anyone but this could have made one: its trust
/// domain and its authorities.
const FIRST_CHANGES: u64 = 2;

/// Makes it once. What someone has changed or removed since stays so.
pub(super) fn make(plane: &Arc<Plane>) -> Result<(), Refused> {
    let tenant = match plane.tenant_named(TENANT)? {
        Some(tenant) => tenant,
        None => {
            let id = TenantId::parse(TENANT)
                .ok_or_else(|| avouch_server::Fault::Bug("no name".to_owned()))?;
            plane.add_tenant(&id, Some(plane.root()?.id()), TenantKind::Tenant)?
        }
    };
    let changes = tenant.read(|snapshot| snapshot.sequence.number());
    if changes > FIRST_CHANGES {
        return Ok(());
    }
    plane.add_trust_domain(&tenant, &TrustDomain::parse(TRUST_DOMAIN)?)?;
    let (number, name) = current_user();
    let entry = EntryDraft {
        id: Some(ENTRY.to_owned()),
        spiffe_id: format!("spiffe://{TRUST_DOMAIN}/user/{name}"),
        selectors: vec![format!("unix:uid:{number}")],
        owner: Some(name.clone()),
        purpose: Some(format!("every process of the user {name} on this machine")),
        ..EntryDraft::default()
    };
    for answer in plane.put_entries(&tenant, vec![entry])? {
        answer?;
    }
    Ok(())
}

/// The user who runs this, by number and by a name that can stand in a SPIFFE ID.
fn current_user() -> (u32, String) {
    let uid = Uid::effective();
    let number = uid.as_raw();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let is_segment = |name: &String| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        !name.is_empty() && name.bytes().all(fits) && name != "." && name != ".."
    };
    let name = name.filter(is_segment);
    (number, name.unwrap_or_else(|| number.to_string()))
}
