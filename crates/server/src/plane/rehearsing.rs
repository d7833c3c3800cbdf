//! What ends before its commit because it was only asked for.

use std::sync::Arc;

use avouch_store::{Change, TenantRecord};

use super::{OPERATOR, Plane};
use crate::dry_run;
use crate::fault::Refused;
use crate::tenant::Tenant;

impl Plane {
    /// In a dry run, has the store do and undo what was to be stored, so that it refuses what it would
    /// refuse, and ends there.
    ///
    /// # Errors
    ///
    /// In a dry run always: what the store refuses, or that nothing is wrong.
    pub(super) fn rehearse_if_asked(
        &self,
        tenant: &Arc<Tenant>,
        changes: &[Change],
    ) -> Result<(), Refused> {
        if dry_run::is_on() {
            let held = tenant.read(|snapshot| snapshot.sequence);
            let within = self.bounds_of(tenant, changes);
            self.store.rehearse(tenant.id(), held, changes, &within)?;
        }
        Ok(dry_run::stop()?)
    }

    /// As [`Plane::rehearse_if_asked`], of a new tenant.
    ///
    /// # Errors
    ///
    /// As that.
    pub(super) fn rehearse_tenant_if_asked(&self, record: &TenantRecord) -> Result<(), Refused> {
        if dry_run::is_on() {
            self.store.rehearse_tenant(&OPERATOR, record)?;
        }
        Ok(dry_run::stop()?)
    }
}
