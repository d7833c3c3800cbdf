//! What is said when everything is up.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use avouch_agent::shell;
use avouch_core::words::counted;
use avouch_server::Plane;
use serde_json::{Value, json};

use super::demo;

/// Where everything is, and what to try first.
pub(super) struct Greeting<'a> {
    pub(super) http: &'a str,
    /// Where X.509-SVIDs are shown.
    pub(super) endpoints: &'a [SocketAddr],
    pub(super) nodes: SocketAddr,
    /// None for a server without an agent.
    pub(super) workloads: Option<&'a str>,
    pub(super) data: &'a Path,
    pub(super) plane: &'a Plane,
}

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            http,
            nodes,
            workloads,
            ..
        } = self;
        writeln!(f, "Avouch is up.\n")?;
        writeln!(f, "  HTTP       {http}")?;
        for endpoint in self.endpoints {
            writeln!(f, "  SPIFFE     https://{endpoint}")?;
        }
        writeln!(f, "  nodes      {nodes}")?;
        if let Some(workloads) = workloads {
            writeln!(f, "  workloads  {workloads}")?;
        }
        writeln!(f, "  data       {}\n", self.data.display())?;
        let count = self.plane.count_tenants();
        writeln!(f, "{}:", counted(count, "tenant", "tenants"))?;
        for tenant in self.plane.listed(5) {
            let domains = tenant.trust_domains.iter();
            let domains: Vec<&str> = domains.map(|name| name.as_str()).collect();
            let domains = domains.join(", ");
            let entries = match self.plane.count_entries(&tenant.id) {
                Ok(entries) => counted(entries, "entry", "entries"),
                Err(_) => "it cannot be read; the log says why".to_owned(),
            };
            writeln!(f, "  {:<10} {domains} ({entries})", tenant.id.as_str())?;
        }
        if count > 5 {
            writeln!(f, "  …")?;
        }
        self.first_steps(f)?;
        writeln!(f, "Ctrl-C stops it; the next start finds everything again.")
    }
}

impl Greeting<'_> {
    /// The same for a program, as one object.
    pub(super) fn to_json(&self) -> Value {
        let tenants = self.plane.listed(usize::MAX);
        let tenants = tenants.iter().map(|tenant| {
            let domains = tenant.trust_domains.iter();
            let domains: Vec<&str> = domains.map(|name| name.as_str()).collect();
            json!({
                "name": tenant.id.as_str(),
                "trust_domains": domains,
                "entries": self.plane.count_entries(&tenant.id).ok(),
            })
        });
        let endpoints = self.endpoints.iter();
        json!({
            "http": self.http,
            "spiffe": endpoints.map(|one| format!("https://{one}")).collect::<Vec<_>>(),
            "nodes": self.nodes.to_string(),
            "workloads": self.workloads,
            "data": self.data.display().to_string(),
            "tenants": tenants.collect::<Vec<_>>(),
            "own_identity": self.own_identity(),
        })
    }

    /// Where workloads call, and what the newcomer's own processes are there.
    fn first_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(workloads) = self.workloads else {
            return writeln!(f);
        };
        match self.own_identity() {
            Some(id) => writeln!(f, "\nYour own processes are {id}. In another terminal:\n")?,
            None => writeln!(f, "\nFor workloads:\n")?,
        }
        writeln!(f, "  export {}", shell::endpoint_socket(workloads))?;
        writeln!(f, "  avouch fetch x509\n")
    }

    /// The identity of the entry that was made for the user who started this, if it is still there.
    fn own_identity(&self) -> Option<String> {
        let demo = self.plane.tenant_named(demo::TENANT).ok()??;
        demo.read(|snapshot| {
            let mut entries = snapshot.entries.values();
            let own = entries.find(|entry| entry.id.as_str() == demo::ENTRY)?;
            Some(own.spiffe_id.to_string())
        })
    }
}
