//! What `--help` shows below the arguments of the commands.

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0   accepted, done, nothing found
  1   a fault on our side: a file cannot be read, the answer cannot be written
  2   the arguments do not go together
  3   rejected
  4   undetermined: a fact is missing
  11, 12, 13, 14   the highest finding is info, low, medium, high";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  avouch verify server.pem --trust roots.pem --dns db.example.com
  avouch verify chain.pem --trust system --dns example.com --at 2026-01-31
  avouch verify svid.pem --trust trust.yaml --spiffe prod.example.com
  avouch verify token.jwt --trust trust.yaml --audience vault
  kubectl create token api | avouch verify - --trust trust.yaml --audience vault -o json
  avouch verify --batch questions.jsonl > verdicts.jsonl
  avouch verify token.jwt --server https://avouch.example.com --tenant demo --audience vault

With --server (or AVOUCH_SERVER) and without --trust, the tenant's own trust decides there: its
anchors, issuers and what has ended. Who may read its anchors is told everything, others a code.

Exit codes:
  0   accepted; in a batch: all accepted
  1   a fault on our side
  2   the arguments do not go together
  3   rejected; in a batch: at least one
  4   undetermined; in a batch: at least one, and none rejected

The shapes of questions and verdicts: docs/how-to/verify.md
The shape of trust documents: docs/how-to/trust-documents.md";

pub(super) const UP_EXAMPLES: &str = "\
Examples:
  avouch up
  avouch up --data /var/lib/avouch --listen 127.0.0.1:9080 --grpc-listen 0.0.0.0:9081
  avouch up --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key key.pem --public-url https://avouch.example.com
  avouch up --spiffe-listen 0.0.0.0:8443
  avouch up --store postgres://avouch@db.example.com/avouch --public-url https://avouch.example.com

In the folder of --data:
  root.key        wraps the keys of all tenants; keep a copy elsewhere
  avouch.sqlite3  the store, unless --store names another
  operator.jwt    your credential (mode 0600), replaced every half hour; the commands find it
  server.json     by what agents on other machines know this server
  address         where the server is, for the commands
  agent.sock      the socket for workloads

How to go on: docs/how-to/run.md";

pub(super) const FETCH_EXAMPLES: &str = "\
Examples:
  avouch fetch x509
  avouch fetch x509 --write /run/api
  avouch fetch x509 --spiffe-id spiffe://demo.avouch.test/web --write /run/web
  avouch fetch x509 --write /run/api --watch --run 'nginx -s reload'
  avouch fetch jwt --audience vault
  avouch fetch bundle -o json

Exit codes:
  0   fetched
  1   no agent answers, or it cannot issue now
  3   no registration entry is for this process; `avouch why-not` and the log of the agent say why";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  avouch explain server.pem --trust roots.pem --dns db.example.com
  avouch explain token.jwt --trust trust.yaml --audience vault
  avouch explain token.jwt --server https://avouch.example.com --tenant demo --audience vault
  avouch explain token.jwt --trust trust.yaml --audience vault --flow svg > flow.svg
  avouch explain server.pem --trust ca.pem --dns db.example.com -o svg > paths.svg
  avouch explain 01a22c9f-1ca2-7660-8663-908e332769be --tenant demo

Whoever is refused by a server is told a code and the id of the decision (`decision` in the answer,
`avouch-decision` in its head); whoever administers the tenant draws that here. `avouch decision list`
has the latest.

Exit codes are those of `avouch verify`.";

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  avouch anchor list --trust trust.yaml
  avouch anchor list --trust system -o json
  avouch anchor list --tenant demo

Exit codes:
  0   every anchor can be used
  13  an anchor cannot be read, and is not trusted
  3   the document cannot be read at all";

pub(super) const DIFF_EXAMPLES: &str = "\
Examples:
  avouch anchor diff yesterday.yaml today.yaml
  avouch anchor diff /etc/ssl/certs/ca-certificates.crt roots.pem -o json

Exit codes tell the gravest change:
  0   nothing has changed
  11  info: only words, such as a name, an owner or a reason
  12  low: less is trusted than before
  13  medium: the same is trusted in another way, longer or for more
  14  high: something is trusted that was not, or a revocation list is gone
  3   a document cannot be read at all";
