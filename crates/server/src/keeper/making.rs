//! Making the next authority, and the key that it signs with.

use std::sync::Arc;

use avouch_issuer::authority::{self, AuthorityPlan, X509Authority};
use avouch_issuer::key::PublicHalf;
use avouch_issuer::key_manager::{Kept, NewKey};
use avouch_issuer::life_cycle::LifeCycle;
use avouch_issuer::stages::issue_one;
use avouch_issuer::token::{self, TokenAuthority, TokenKind};
use avouch_store::{AuthorityId, AuthorityRecord, AuthorityRole, AuthorityState, AuthorityUse};

use super::{Draft, Group};
use crate::authority_record::{self, Opened};
use crate::fault::{Fault, Refused};
use crate::issuing::StoreLog;

impl Draft<'_> {
    pub(crate) fn prepare(&mut self, group: Group) -> Result<(), Refused> {
        let record = match group {
            Group::Root => self.new_x509(AuthorityRole::Root, AuthorityUse::Services)?,
            Group::Intermediate(used_for) => {
                self.new_x509(AuthorityRole::Intermediate, used_for)?
            }
            Group::Jwt => self.new_token(TokenKind::Jwt)?,
            Group::Wit => self.new_token(TokenKind::Wit)?,
        };
        self.put(record);
        Ok(())
    }

    /// A new key, which is destroyed again unless the change is stored.
    pub(crate) fn new_key(
        &mut self,
        name: &dyn Fn(&PublicHalf) -> String,
    ) -> Result<NewKey, Fault> {
        let key = self.tenant.keys.generate(self.tenant.id(), name)?;
        if let Kept::Elsewhere(address) = &key.kept {
            self.made.push(address.clone());
        }
        Ok(key)
    }

    fn new_x509(
        &mut self,
        role: AuthorityRole,
        used_for: AuthorityUse,
    ) -> Result<AuthorityRecord, Refused> {
        let key = self.new_key(&x509_name)?;
        let lifetimes = self.plane.settings.authorities;
        let plan = AuthorityPlan {
            lifetime: match role {
                AuthorityRole::Root => lifetimes.root,
                AuthorityRole::Intermediate => lifetimes.intermediate,
            },
            ..self.plan_of(used_for)
        };
        let signer = Arc::clone(&key.signer);
        let random = &self.plane.random;
        let prepared = match role {
            AuthorityRole::Root => plan.prepare_root(signer, self.now, random)?,
            AuthorityRole::Intermediate => {
                let root = self.signing_root()?;
                plan.prepare_intermediate(&root, signer, self.now, random)?
            }
        };
        let authority = issue_one(prepared, &StoreLog::of(self.plane, self.tenant))?;
        let place = |id: &AuthorityId| self.tenant.keys.place(id, &key.kept);
        let record = authority_record::of_x509(&authority, role, used_for, place, self.now)?;
        Ok(record)
    }

    /// What a new authority for this use is to be like: as its predecessor, where there is one.
    fn plan_of(&self, used_for: AuthorityUse) -> AuthorityPlan {
        let bounds = self.bounds.clone().unwrap_or_else(|| {
            let last = self.records.values().filter(|record| {
                Group::Intermediate(used_for).has(record)
                    && record.state != AuthorityState::Requested
            });
            let last = last.max_by_key(|record| record.not_before);
            last.map(authority_record::name_bounds).unwrap_or_default()
        });
        AuthorityPlan {
            tenant: self.tenant.id().clone(),
            trust_domain: self.trust_domain.clone(),
            lifetime: self.plane.settings.authorities.intermediate,
            constrain_names: bounds.ids,
            permit_dns: bounds.dns,
            used_for: authority_record::use_of(used_for),
        }
    }

    fn new_token(&mut self, kind: TokenKind) -> Result<AuthorityRecord, Refused> {
        let key = self.new_key(&token_name)?;
        let lifetime = i64::from(self.plane.settings.authorities.token);
        let authority = TokenAuthority::open(
            self.tenant.id().clone(),
            self.trust_domain.clone(),
            kind,
            Arc::clone(&key.signer),
            LifeCycle::prepared(self.now, self.now.plus(lifetime)),
        )?;
        let place = |id: &AuthorityId| self.tenant.keys.place(id, &key.kept);
        let record = authority_record::of_token(&authority, place, self.now)?;
        Ok(record)
    }

    pub(crate) fn signing_root(&self) -> Result<Arc<X509Authority>, Refused> {
        let roots = self.records.values().filter(|record| {
            Group::Root.has(record)
                && record.state == AuthorityState::Active
                && self.now <= record.not_after
        });
        let Some(root) = roots.max_by_key(|record| record.not_after) else {
            return Err(Fault::Bug("there is no root to sign with".to_owned()).into());
        };
        match authority_record::open(self.tenant.id(), &self.tenant.keys, root)? {
            Some(Opened::X509(root)) => Ok(root),
            Some(Opened::Token(_)) | None => {
                Err(Fault::Stored(format!("the root {} has no key", root.id)).into())
            }
        }
    }
}

/// How the authority of a key that signs certificates is called.
pub(crate) fn x509_name(key: &PublicHalf) -> String {
    authority::name_of(key)
}

fn token_name(key: &PublicHalf) -> String {
    token::name_of(key)
}
