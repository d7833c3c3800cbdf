//! What an operator may choose.

use std::sync::Arc;

use avouch_issuer::cluster::ClusterProfile;
use avouch_issuer::key_manager::{FileKeys, KeyManager};
use avouch_issuer::profile::{InvalidLifetime, JwtProfile, Lifetime, WitProfile, X509Profile};

use crate::fetch::Permitted;

/// What holds for all tenants of a deployment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the keys of new authorities are made and kept.
    pub keys: Arc<dyn KeyManager>,
    /// How long authorities live.
    pub authorities: AuthorityLifetimes,
    /// How long X.509-SVIDs of nodes and of the server itself are valid, in seconds.
    pub node_ttl: u32,
    /// How often verifiers should look for a new bundle, in seconds (SPIFFE Federation 5.2.3).
    pub bundle_refresh_hint: u32,
    /// For how many seconds it stays on record what was issued, after it has ended.
    pub intents_kept: u32,
    /// For how many seconds a revocation list counts; a new one is there after half of that.
    pub revocation_list_ttl: u32,
    /// How often endpoints of foreign bundles are asked at most, in seconds, whatever they say.
    pub federation_interval: u32,
    /// What X.509-SVIDs may be like.
    pub x509: X509Profile,
    /// What JWT-SVIDs may be like.
    pub jwt: JwtProfile,
    /// What WIT-SVIDs may be like.
    pub wit: WitProfile,
    /// What certificates of the components of a Kubernetes cluster may be like.
    pub cluster: ClusterProfile,
    /// The address under which verifiers reach this deployment, without a slash at its end: the
    /// head of every `iss`.
    pub public_url: String,
    /// What may be called besides the public Internet.
    pub fetch: Permitted,
}

/// How long authorities live, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityLifetimes {
    /// Roots.
    pub root: u32,
    /// Intermediates.
    pub intermediate: u32,
    /// Keys of tokens.
    pub token: u32,
}

impl Settings {
    /// Has certificates say where the revocation list of their authority is, below this address.
    pub fn publish_lists_at(&mut self, url: &str) {
        let url = url.trim_end_matches('/');
        self.x509.lists_at = Some(url.to_owned());
        self.cluster.lists_at = Some(url.to_owned());
    }

    /// How long X.509-SVIDs of workloads, of nodes and of the server are valid, in seconds.
    ///
    /// # Errors
    ///
    /// When no profile could say so.
    pub fn set_x509_ttl(&mut self, seconds: u32) -> Result<(), InvalidLifetime> {
        self.x509.lifetime = Lifetime::new(SHORTEST_X509, seconds, DAY)?;
        self.node_ttl = seconds;
        Ok(())
    }
}

/// The shortest life of an X.509-SVID, in seconds: a node renews at half of it, and looks twice a
/// second.
const SHORTEST_X509: u32 = 10;

const DAY: u32 = 86_400;

impl Default for AuthorityLifetimes {
    /// A root of ten years can be pinned by those who do not follow a bundle; what signs day by day
    /// is replaced within a month.
    fn default() -> Self {
        Self {
            root: 3_650 * DAY,
            intermediate: 30 * DAY,
            token: 30 * DAY,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: Arc::new(FileKeys),
            authorities: AuthorityLifetimes::default(),
            node_ttl: 3_600,
            bundle_refresh_hint: 300,
            intents_kept: 7 * DAY,
            // Longer than any X.509-SVID is valid: whoever is cut off from here is stopped by the
            // end of its own, not by that of a list.
            revocation_list_ttl: 7 * DAY,
            federation_interval: 60,
            x509: X509Profile::default(),
            jwt: JwtProfile::default(),
            wit: WitProfile::default(),
            cluster: ClusterProfile::default(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            fetch: Permitted::default(),
        }
    }
}
