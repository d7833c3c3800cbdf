//! Quarantines that outlive their issuer. Whoever removes an issuer that is in one does not believe again
//! what descends from it, nor another registration of the same issuer: that takes a release.

use avouch_core::reason::Reason;
use avouch_store::{Change, IssuerId, IssuerKeysRecord, Key};

use super::keys::{Keys, Quarantine};
use super::put_keys;
use super::settings::IssuerSettings;
use crate::fault::{Fault, Refused};
use crate::tenant::Tenant;

/// A quarantine whose issuer is not there any more.
pub(super) struct Left {
    /// The name under which it was.
    id: IssuerId,
    /// What the issuer is called.
    pub(super) issuer: String,
    pub(super) quarantine: Quarantine,
}

/// All of a tenant.
///
/// # Errors
///
/// That one cannot be read: of whom that cannot be told, nothing is assumed.
pub(super) fn all(tenant: &Tenant) -> Result<Vec<Left>, Refused> {
    let records: Vec<IssuerKeysRecord> = tenant.read(|snapshot| {
        let records = snapshot.issuer_keys.values();
        let left = records.filter(|record| !snapshot.issuers.contains_key(&record.id));
        left.cloned().collect()
    });
    let mut all = Vec::new();
    for IssuerKeysRecord { id, document } in records {
        let damaged = || Fault::Stored(format!("what is known of the keys of {id} cannot be read"));
        let keys = Keys::read(&document).ok_or_else(damaged)?;
        let quarantine = keys.quarantine;
        let named = quarantine.and_then(|mut one| Some((one.of.take()?, one)));
        all.extend(named.map(|(issuer, quarantine)| Left {
            id,
            issuer,
            quarantine,
        }));
    }
    Ok(all)
}

/// What becomes of what is known of the keys of an issuer when it is removed.
pub(super) fn removed(id: &IssuerId, settings: &IssuerSettings, keys: &Keys) -> Change {
    match &keys.quarantine {
        None => Change::Remove(Key::IssuerKeys(id.clone())),
        Some(quarantine) => {
            let left = Quarantine {
                of: Some(settings.issuer.clone()),
                ..quarantine.clone()
            };
            let keys = Keys {
                quarantine: Some(left),
                ..Keys::default()
            };
            put_keys(id, &keys)
        }
    }
}

/// Puts an issuer that is registered anew where it was left, and says what else has to change for it.
///
/// # Errors
///
/// `issue.conflict` for another issuer under the name of one that was removed in quarantine.
pub(super) fn taken_up(
    tenant: &Tenant,
    id: &IssuerId,
    settings: &IssuerSettings,
    keys: &mut Keys,
) -> Result<Vec<Change>, Refused> {
    let mut changes: Vec<Change> = Vec::new();
    for left in all(tenant)? {
        if left.issuer == settings.issuer {
            keys.quarantine.get_or_insert(left.quarantine);
            if left.id != *id {
                changes.push(Change::Remove(Key::IssuerKeys(left.id)));
            }
        } else if left.id == *id {
            return Err(Reason::IssueConflict {
                detail: format!(
                    "`{id}` is the name of {}, which was removed in quarantine: take another name, or put \
                     it again and release it",
                    left.issuer
                ),
            }
            .into());
        }
    }
    Ok(changes)
}
