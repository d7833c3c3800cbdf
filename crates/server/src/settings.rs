//! What an operator may choose.

use std::sync::Arc;

use avouch_core::time::Time;
use avouch_issuer::cluster::ClusterProfile;
use avouch_issuer::key_manager::{FileKeys, KeyManager};
use avouch_issuer::profile::{InvalidLifetime, JwtProfile, Lifetime, WitProfile, X509Profile};
use avouch_store::LifetimeKind;

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
    /// Under which address verifiers reach this deployment. Certificates say from now on that the
    /// revocation list of their authority is below it. Slashes at its end mean nothing, and are left
    /// out: an issuer is compared byte by byte (OpenID Connect Discovery 1.0 4.3).
    ///
    /// # Errors
    ///
    /// Why it is no such address.
    pub fn set_public_url(&mut self, url: &str) -> Result<(), &'static str> {
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        let host = rest
            .and_then(|rest| rest.split('/').next())
            .unwrap_or_default();
        if host.is_empty() || host.contains('@') {
            return Err("an address begins with https:// or http:// and names a host");
        }
        if url.contains(['?', '#'])
            || url
                .chars()
                .any(|one| one.is_whitespace() || one.is_control())
        {
            return Err(
                "addresses are made by adding to it, so it has no query, fragment or space",
            );
        }
        let url = url.trim_end_matches('/');
        url.clone_into(&mut self.public_url);
        self.x509.lists_at = Some(url.to_owned());
        self.cluster.lists_at = Some(url.to_owned());
        Ok(())
    }

    /// How long what is signed from now on may live at most.
    pub(crate) fn lifetimes(&self, now: Time) -> [avouch_store::Lifetime; 2] {
        let profiles = [&self.x509.lifetime, &self.jwt.lifetime, &self.wit.lifetime];
        let svids = profiles.into_iter().map(Lifetime::most).max();
        // What nodes and the server itself are by has a lifetime of its own.
        let svids = svids.unwrap_or_default().max(self.node_ttl);
        let components = self.cluster.lifetime.most();
        [
            (LifetimeKind::Svid, svids),
            (LifetimeKind::Component, components),
        ]
        .map(|(kind, seconds)| avouch_store::Lifetime {
            kind,
            seconds,
            last: now,
        })
    }

    /// How long X.509-SVIDs of workloads, of nodes and of the server are valid, in seconds, and WIT-SVIDs:
    /// an entry says one time for both, so what one may be the other may be.
    ///
    /// # Errors
    ///
    /// When no profile could say so.
    pub fn set_x509_ttl(&mut self, seconds: u32) -> Result<(), InvalidLifetime> {
        let lifetime = Lifetime::new(SHORTEST_X509, seconds, DAY)?;
        self.x509.lifetime = lifetime;
        self.wit.lifetime = lifetime;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_of_the_public_address_means_nothing() {
        for url in ["https://a.test", "https://a.test/", "https://a.test//"] {
            let mut settings = Settings::default();
            settings.set_public_url(url).unwrap();
            assert_eq!(settings.public_url, "https://a.test");
            assert_eq!(settings.x509.lists_at.as_deref(), Some("https://a.test"));
        }
        let mut settings = Settings::default();
        settings
            .set_public_url("https://a.test:8443/below/it/")
            .unwrap();
        assert_eq!(settings.public_url, "https://a.test:8443/below/it");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "a.test",
            "https://",
            "https:///",
            "ftp://a.test",
            "https://me@a.test",
            "https://a.test?b",
            "https://a.test/#",
            "https://a.test/ b",
        ] {
            assert!(Settings::default().set_public_url(url).is_err(), "{url}");
        }
    }
}
