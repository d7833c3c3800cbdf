//! Many tenants in one process: what each adds to the start and to the memory of the server, used or
//! not.

use avouch_core::id::{TenantId, TrustDomain};
use avouch_store::TenantKind;

use crate::deployment;
use crate::opening::{name, open_elsewhere};

/// How many tenants there are, besides the root, in each row.
const MANY: [usize; 4] = [1, 100, 1_000, 2_000];

/// How many of them are used where few are.
const FEW: usize = 10;

pub(crate) fn run() {
    println!("Tenants with a trust domain and all its authorities each; wanted 1,000 under 300 MB");
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    let root = plane.root().unwrap().id().clone();
    let mut made = 1;
    for many in MANY {
        for number in made..many {
            let id = TenantId::parse(&name(number)).unwrap();
            let tenant = plane.add_tenant(&id, Some(&root), TenantKind::Tenant);
            let domain = TrustDomain::parse(&format!("t{number}.avouch.test")).unwrap();
            plane.add_trust_domain(&tenant.unwrap(), &domain).unwrap();
        }
        made = many;
        for used in [0, FEW.min(many), many] {
            let opened = open_elsewhere(folder.path(), 3, used);
            println!(
                "  {many:>5} tenants, {used:>5} used: open and served in {:.0} ms (median of 3), {} MiB",
                opened.median, opened.memory
            );
        }
    }
}
