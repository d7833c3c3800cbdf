"""A service that speaks mutual TLS with its X.509-SVID and knows its callers by their SPIFFE IDs.

Usage: service.py FOLDER PORT ALLOWED_ID

FOLDER holds svid.pem, key.pem and bundle.pem, as `avouch fetch x509 --write FOLDER --watch` keeps
them. SIGHUP makes new connections use what is there then. Needs nothing but Python 3.8.
"""

import http.server
import signal
import ssl
import sys

folder, port, allowed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1_2
context.verify_mode = ssl.CERT_REQUIRED


def load(*_):
    context.load_cert_chain(f"{folder}/svid.pem", f"{folder}/key.pem")
    context.load_verify_locations(f"{folder}/bundle.pem")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = self.connection.getpeercert()["subjectAltName"]
        caller = next((value for kind, value in names if kind == "URI"), None)
        status, text = (200, f"hello {caller}\n") if caller == allowed else (403, f"not {caller}\n")
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


load()
signal.signal(signal.SIGHUP, load)
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
