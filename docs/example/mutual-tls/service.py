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


def loaded():
    # A new context each time: roots can only be added to one, so a root that was revoked would be
    # believed until the end of the program.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(f"{folder}/svid.pem", f"{folder}/key.pem")
    context.load_verify_locations(f"{folder}/bundle.pem")
    return context


class Server(http.server.ThreadingHTTPServer):
    context = loaded()

    def reload(self, *_):
        try:
            self.context = loaded()
        except OSError as error:
            print(f"the former files are used on: {error}", file=sys.stderr)

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(30)
        # The handshake is left to the thread of the connection, so that nobody waits for it.
        connection = self.context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return connection, address

    def handle_error(self, _, address):
        print(f"{address}: {sys.exc_info()[1]}", file=sys.stderr)


class Handler(http.server.BaseHTTPRequestHandler):
    def setup(self):
        self.request.do_handshake()
        super().setup()

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


server = Server(("127.0.0.1", port), Handler)
signal.signal(signal.SIGHUP, server.reload)
server.serve_forever()
