//! Endpoints of the profile `https_spiffe` (SPIFFE Federation 5.2.2): whoever connects sees an
//! X.509-SVID of the trust domain whose bundle it comes for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use avouch_core::id::TrustDomain;
use avouch_core::time::Time;
use rustls::ServerConfig;

use super::{Svid, config};
use crate::fault::{Refused, unknown};
use crate::plane::{Plane, reserved};

/// Shows `spiffe://TRUST-DOMAIN/avouch/server`. The trust domain is the one whose name the client
/// asks for (RFC 6066 3), as it does where the trust domain is named by the host of its endpoint;
/// failing that, the one that the listener was opened for. So a peer needs nothing but the bundle
/// of the trust domain itself ("self-serving", SPIFFE Federation 5.2.2.3), and not that of who runs
/// the deployment.
pub struct SpiffeEndpoint {
    plane: Arc<Plane>,
    otherwise: TrustDomain,
    held: RwLock<BTreeMap<TrustDomain, HeldSvid>>,
    /// Whoever has one issued holds it, so that of many who connect at once one does.
    issuing: Mutex<()>,
}

#[derive(Clone)]
struct HeldSvid {
    config: Arc<ServerConfig>,
    renew_at: Time,
    not_after: Time,
    /// When the authorities it comes from changed last.
    bundle_sequence: u64,
}

impl SpiffeEndpoint {
    /// For the trust domain `otherwise` where a client names none; that of the root if it is none
    /// either.
    pub fn new(plane: Arc<Plane>, otherwise: Option<TrustDomain>) -> Self {
        let root = plane.server_id().trust_domain().clone();
        Self {
            otherwise: otherwise.unwrap_or(root),
            plane,
            held: RwLock::default(),
            issuing: Mutex::default(),
        }
    }

    /// How to shake hands with whoever asks for `name`. What is shown is replaced when half of its
    /// life is over, and when the authorities that it comes from have changed.
    ///
    /// # Errors
    ///
    /// Why there is nothing to show.
    pub(super) fn config(&self, name: Option<&str>) -> Result<Arc<ServerConfig>, Refused> {
        // Names of hosts are compared without regard to case (RFC 6066 3).
        let named = name.map(str::to_ascii_lowercase);
        let named = named.and_then(|name| TrustDomain::parse(&name).ok());
        let named = named.filter(|name| self.plane.is_owned(name));
        let trust_domain = named.as_ref().unwrap_or(&self.otherwise);
        if let Some(held) = self.fresh(trust_domain) {
            return Ok(held.config);
        }
        let issuing = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = self.fresh(trust_domain) {
            return Ok(held.config);
        }
        let renewed = self.renew(trust_domain);
        drop(issuing);
        renewed.or_else(|error| {
            let now = self.plane.now();
            let held = self.held(trust_domain).filter(|held| now < held.not_after);
            held.map(|held| held.config).ok_or(error)
        })
    }

    fn fresh(&self, trust_domain: &TrustDomain) -> Option<HeldSvid> {
        let owner = self.plane.owner_of(trust_domain).ok()??;
        let bundle_sequence = owner.held().bundle_sequence.number();
        let now = self.plane.now();
        let held = self.held(trust_domain)?;
        (now < held.renew_at && held.bundle_sequence == bundle_sequence).then_some(held)
    }

    fn held(&self, trust_domain: &TrustDomain) -> Option<HeldSvid> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(trust_domain).cloned()
    }

    fn renew(&self, trust_domain: &TrustDomain) -> Result<Arc<ServerConfig>, Refused> {
        let unknown = || unknown("trust domain", trust_domain.as_str());
        let owner = self.plane.owner_of(trust_domain)?.ok_or_else(unknown)?;
        let bundle_sequence = owner.held().bundle_sequence.number();
        let id = reserved(trust_domain, "server")?;
        let svid = Svid::issue(&self.plane, &owner, id)?;
        let config = config(svid.key)?;
        let held = HeldSvid {
            config: Arc::clone(&config),
            renew_at: svid.renew_at,
            not_after: svid.not_after,
            bundle_sequence,
        };
        let mut all = self.held.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(trust_domain.clone(), held);
        Ok(config)
    }
}

impl fmt::Debug for SpiffeEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpiffeEndpoint")
            .field("otherwise", &self.otherwise)
            .finish_non_exhaustive()
    }
}
