"""Serves over mutual TLS and says where, calls each address that it reads, again and again, until it
reads `stop`, and checks a token of its own each time. Then it says what was done and what failed, and
serves until there is no more to read.

What is shown and believed is py-spiffe's and spiffe-tls's; the connections are pyOpenSSL's.
"""

import datetime
import socket
import sys
import threading
import time

from cryptography.x509 import AuthorityKeyIdentifier
from OpenSSL import SSL
from spiffe import JwtSource, JwtSvid, X509Source
from spiffetls.context import create_ssl_context
from spiffetls.tlsconfig.authorize import authorize_any


class Contexts:
    """Contexts of what the source holds now.

    They are made anew after an update: one that is brought up to date sends the intermediates of
    every certificate that it ever had.
    """

    def __init__(self, source: X509Source) -> None:
        self.source = source
        self.made: dict[tuple[int, int], SSL.Context] = {}
        self.changes = 0
        source.subscribe_for_updates(self.change)

    def change(self) -> None:
        self.changes += 1

    def of(self, method: int) -> SSL.Context:
        key = (method, self.changes)
        if key not in self.made:
            self.made[key] = create_ssl_context(method, self.source, authorize_any())
            self.made[key].set_session_cache_mode(SSL.SESS_CACHE_OFF)
        return self.made[key]


def complain(what: str, why: Exception) -> None:
    print(datetime.datetime.now(datetime.UTC), what, repr(why), file=sys.stderr, flush=True)


def serve(listener: socket.socket, contexts: Contexts) -> None:
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=answer, args=(accepted, contexts), daemon=True).start()


def answer(accepted: socket.socket, contexts: Contexts) -> None:
    try:
        connection = SSL.Connection(contexts.of(SSL.TLS_SERVER_METHOD), accepted)
        connection.set_accept_state()
        connection.do_handshake()
        connection.sendall(b"!")
        connection.shutdown()
    except Exception as why:
        complain("a caller:", why)
    finally:
        accepted.close()


def call(address: str, contexts: Contexts, certificates: set, authorities: set) -> None:
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.settimeout(None)
        connection = SSL.Connection(contexts.of(SSL.TLS_CLIENT_METHOD), plain)
        connection.set_connect_state()
        connection.do_handshake()
        # In TLS 1.3 whether we were believed is known when something was read.
        if connection.recv(1) != b"!":
            raise RuntimeError("not believed")
        shown = connection.get_peer_certificate(as_cryptography=True)
        certificates.add(shown.serial_number)
        issuer = shown.extensions.get_extension_for_class(AuthorityKeyIdentifier)
        authorities.add(issuer.value.key_identifier)


def main() -> None:
    addresses: list[str] = []
    with X509Source() as source, JwtSource() as jwt:
        contexts = Contexts(source)
        listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        threading.Thread(target=serve, args=(listener, contexts), daemon=True).start()
        print(f"listening 127.0.0.1:{listener.getsockname()[1]}", flush=True)
        reader = threading.Thread(target=read, args=(addresses,), daemon=True)
        reader.start()
        calls = tokens = failures = 0
        certificates: set = set()
        authorities: set = set()
        while reader.is_alive():
            time.sleep(0.05)
            for address in list(addresses):
                try:
                    call(address, contexts, certificates, authorities)
                except Exception as why:
                    failures += 1
                    complain(address, why)
                calls += 1
            try:
                token = jwt.fetch_svid({"peers"})
                bundle = jwt.get_bundle_for_trust_domain(token.spiffe_id.trust_domain)
                JwtSvid.parse_and_validate(token.token, bundle, {"peers"})
            except Exception as why:
                failures += 1
                complain("token:", why)
            tokens += 1
        print(
            f"calls {calls}, tokens {tokens}, failures {failures},"
            f" certificates {len(certificates)}, authorities {len(authorities)}",
            flush=True,
        )
        # Others may still call.
        sys.stdin.read()


def read(addresses: list[str]) -> None:
    for line in iter(sys.stdin.readline, "stop\n"):
        addresses.append(line.strip())


main()
