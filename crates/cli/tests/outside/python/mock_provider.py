"""The OpenID provider `oidc-provider-mock`, on Authlib: signs people in, with the claims it is told.

    python mock_provider.py CERTIFICATE KEY CA
"""

import sys
import threading
from urllib.parse import parse_qs, urlparse

import httpx
import werkzeug.serving
from oidc_provider_mock import app

from talk import talk

certificate, key, ca = sys.argv[1:]
CLIENT, REDIRECT = "avouch-mock", "https://client.test/callback"

server = werkzeug.serving.make_server(
    "127.0.0.1", 0, app(), threaded=True, ssl_context=(certificate, key)
)
threading.Thread(target=server.serve_forever, daemon=True).start()
issuer = f"https://localhost:{server.server_port}"
browser = httpx.Client(verify=ca, base_url=issuer)


def login(asked):
    user = {"sub": asked["sub"], "claims": asked.get("claims", {})}
    browser.put(f"/users/{user['sub']}", json=user["claims"]).raise_for_status()
    query = {
        "client_id": CLIENT,
        "redirect_uri": REDIRECT,
        "response_type": "code",
        "scope": "openid",
        "nonce": asked.get("nonce", "n"),
    }
    page = browser.post("/oauth2/authorize", params=query, data={"sub": user["sub"]})
    code = parse_qs(urlparse(page.headers["location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    answer = browser.post("/oauth2/token", data=form, auth=(CLIENT, "any secret"))
    answer.raise_for_status()
    return {"token": answer.json()["id_token"]}


talk({"issuer": issuer, "clients": [CLIENT]}, login)
