"""A workload that was written against py-spiffe and knows nothing of Avouch.

It prints one line for each thing that works; whoever runs it compares them.
"""

import threading

from spiffe import JwtSvid, WorkloadApiClient, X509Source


def main() -> None:
    with WorkloadApiClient() as client:
        print("x509", client.fetch_x509_svid().spiffe_id, flush=True)
        token = client.fetch_jwt_svid(audience={"db"})
        print("jwt", token.spiffe_id, flush=True)
        bundles = client.fetch_jwt_bundles()
        bundle = bundles.get_bundle_for_trust_domain(token.spiffe_id.trust_domain)
        checked = JwtSvid.parse_and_validate(token.token, bundle, {"db"})
        print("checked here", checked.spiffe_id, flush=True)
        checked = client.validate_jwt_svid(token.token, "db")
        print("checked there", checked.spiffe_id, flush=True)

    changed = threading.Event()
    with X509Source() as source:
        before = source.svid.spiffe_id
        source.subscribe_for_updates(changed.set)
        # Whoever reads this line changes what the workload may hold.
        print("ready", flush=True)
        while source.svid.spiffe_id == before:
            if not changed.wait(timeout=50):
                raise SystemExit("nothing has changed")
            changed.clear()
        print("changed", source.svid.spiffe_id, flush=True)


main()
