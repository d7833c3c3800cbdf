//! `advise`: ways to live with an API that knows only a key, and what each costs.

use serde_json::json;

use crate::arguments::{AdviseArguments, Api, Common};
use crate::fault::{Exit, Fault};
use crate::output;

/// One way.
struct Way {
    name: &'static str,
    possible: bool,
    does: &'static str,
    costs: &'static str,
}

/// What can be done with keys of Stripe, the best first. It issues no credentials for identities.
const STRIPE: [Way; 6] = [
    Way {
        name: "federation",
        possible: false,
        does: "The API believes identities of workloads, and no key exists.",
        costs: "Not to be had: the API knows no other issuer than itself.",
    },
    Way {
        name: "egress broker",
        possible: true,
        does: "The server keeps the key and lends its use: no workload has it, and rules say who may call what (`avouch egress put`).",
        costs: "Calls take a way over the server; whoever runs it could use the key.",
    },
    Way {
        name: "restricted key",
        possible: true,
        does: "A key (`rk_`) that can do only what one service needs. Make one for each service, with every way below.",
        costs: "Someone has to know which permissions are needed.",
    },
    Way {
        name: "address list",
        possible: true,
        does: "The API takes the key only from your addresses, so a copy is worth little elsewhere.",
        costs: "Egress needs fixed addresses, and everyone behind them may use a copy.",
    },
    Way {
        name: "rotation",
        possible: true,
        does: "A new key before the old one ends, on a schedule and after every leak (`avouch egress rotate`).",
        costs: "Both keys are good meanwhile; whoever holds copies has to get the new one.",
    },
    Way {
        name: "vault",
        possible: true,
        does: "The key is handed to a workload that proves who it is, when it starts.",
        costs: "The key is in its memory then, and in whatever it logs.",
    },
];

/// `advise`.
pub fn advise(arguments: &AdviseArguments, common: &Common) -> Result<Exit, Fault> {
    let ways = match arguments.api {
        Api::Stripe => &STRIPE,
    };
    output::formatted(common.output, || drawn(ways), || listed(ways))?;
    Ok(Exit::Accepted)
}

fn drawn(ways: &[Way]) -> String {
    let mut text = String::new();
    for way in ways {
        let mark = if way.possible { "" } else { " (not to be had)" };
        text += &format!(
            "{}{mark}\n  {}\n  Cost: {}\n",
            way.name, way.does, way.costs
        );
    }
    text + "\nTake the egress broker with a restricted key on an address list, and rotate it.\n"
}

fn listed(ways: &[Way]) -> String {
    let ways = ways.iter().map(|way| {
        json!({
            "name": way.name,
            "possible": way.possible,
            "does": way.does,
            "costs": way.costs,
        })
    });
    let all = json!({
        "options": ways.collect::<Vec<_>>(),
        "pick": ["egress broker", "restricted key", "address list", "rotation"],
    });
    format!("{all:#}")
}
