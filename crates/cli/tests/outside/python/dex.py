"""Dex, which signs with a new key in the moment it has made one, and never says how someone has
signed in. Its keys change every few seconds here instead of hours.

    python dex.py DEX FOLDER PORT CERTIFICATE KEY CA
"""

import subprocess
import sys
import time
from urllib.parse import parse_qs, urlparse

import httpx

from talk import talk

dex, folder, port, certificate, key, ca = sys.argv[1:]
CLIENT, REDIRECT = "avouch-dex", "https://client.test/callback"
issuer = f"https://localhost:{port}"
configuration = f"{folder}/dex.yaml"
with open(configuration, "w") as file:
    file.write(
        f"""
issuer: {issuer}
storage: {{type: memory}}
web: {{https: "127.0.0.1:{port}", tlsCert: "{certificate}", tlsKey: "{key}"}}
expiry: {{signingKeys: 4s, idTokens: 2m}}
oauth2: {{skipApprovalScreen: true}}
connectors: [{{type: mockCallback, id: mock, name: Mock}}]
staticClients:
  - {{id: {CLIENT}, name: test, secret: any, redirectURIs: ["{REDIRECT}"]}}
frontend: {{dir: "{folder}/web"}}
"""
    )
log = open(f"{folder}/dex.log", "w")
process = subprocess.Popen([dex, "serve", configuration], stdout=log, stderr=log)
browser = httpx.Client(verify=ca)


def login(asked):
    query = {
        "client_id": CLIENT,
        "redirect_uri": REDIRECT,
        "response_type": "code",
        "scope": "openid profile email",
        "nonce": "n",
    }
    url = httpx.URL(f"{issuer}/auth", params=query)
    while not str(url).startswith(REDIRECT):
        page = browser.get(url)
        url = url.join(page.headers["location"])
    code = parse_qs(urlparse(str(url)).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    answer = browser.post(f"{issuer}/token", data=form, auth=(CLIENT, "any"))
    answer.raise_for_status()
    return {"token": answer.json()["id_token"]}


def is_up():
    try:
        return browser.get(f"{issuer}/.well-known/openid-configuration").is_success
    except httpx.TransportError:
        return False


try:
    deadline = time.monotonic() + 30
    while not is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("it did not start: " + open(log.name).read())
        time.sleep(0.1)
    talk({"issuer": issuer, "clients": [CLIENT]}, login)
finally:
    process.kill()
    process.wait()
