"""Keycloak, in a realm with a client whose people sign in with a password, and whose tokens say by
which level that was. Its keys change as its administrator would change them.

    python keycloak.py KEYCLOAK FOLDER PORT PLAIN-PORT CERTIFICATE KEY CA
"""

import json
import os
import subprocess
import sys
import time

import httpx

from talk import talk

keycloak, folder, port, plain, certificate, key, ca = sys.argv[1:]
CLIENT, SECRET = "avouch-keycloak", "a secret of this test"
REALM = "shop"
realm = {
    "realm": REALM,
    "enabled": True,
    "attributes": {"acr.loa.map": json.dumps({"pwd": "1", "phr": "2"})},
    "clients": [
        {
            "clientId": CLIENT,
            "secret": SECRET,
            "enabled": True,
            "publicClient": False,
            "directAccessGrantsEnabled": True,
            "serviceAccountsEnabled": True,
            "standardFlowEnabled": False,
            # Its access tokens are for someone else; without this they are for nobody.
            "protocolMappers": [
                {
                    "name": "for others",
                    "protocol": "openid-connect",
                    "protocolMapper": "oidc-audience-mapper",
                    "config": {
                        "included.custom.audience": "https://others.test",
                        "access.token.claim": "true",
                        "id.token.claim": "false",
                    },
                }
            ],
        }
    ],
    "users": [
        {
            "username": "alice",
            "enabled": True,
            "firstName": "Alice",
            "lastName": "Example",
            "email": "alice@example.test",
            "emailVerified": True,
            "credentials": [{"type": "password", "value": "correct horse", "temporary": False}],
        }
    ],
}
# The installation is shared between runs, what it keeps is not.
log = open(f"{folder}/keycloak.log", "w")
process = subprocess.Popen(
    [
        f"{keycloak}/bin/kc.sh",
        "start-dev",
        # It listens there too, whatever it is told.
        f"--http-port={plain}",
        f"--https-port={port}",
        f"--https-certificate-file={certificate}",
        f"--https-certificate-key-file={key}",
        f"--hostname=https://localhost:{port}",
        "--http-host=127.0.0.1",
        "--cache=local",
        "--db=dev-mem",
        "--health-enabled=false",
    ],
    stdout=log,
    stderr=log,
    start_new_session=True,
    env={
        **os.environ,
        "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
        "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin of this test",
        "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx512m",
    },
)
root = f"https://localhost:{port}"
issuer = f"{root}/realms/{REALM}"
browser = httpx.Client(verify=ca, timeout=60)


def token(realm, form):
    answer = browser.post(f"{root}/realms/{realm}/protocol/openid-connect/token", data=form)
    if not answer.is_success:
        raise RuntimeError(answer.text)
    return answer.json()


def login(asked):
    form = {
        "grant_type": "password",
        "client_id": CLIENT,
        "client_secret": SECRET,
        "username": "alice",
        "password": "correct horse",
        "scope": "openid",
    }
    return {"token": token(REALM, form)[asked.get("kind", "id_token")]}


def administer(path, what):
    form = {
        "grant_type": "password",
        "client_id": "admin-cli",
        "username": "admin",
        "password": "admin of this test",
    }
    bearer = {"authorization": f"Bearer {token('master', form)['access_token']}"}
    browser.post(f"{root}/admin/realms{path}", json=what, headers=bearer).raise_for_status()


def rotate(asked):
    """A new key takes the first place; the old one stays published."""
    provider = {
        "name": f"rsa-{time.time_ns()}",
        "providerId": "rsa-generated",
        "providerType": "org.keycloak.keys.KeyProvider",
        "config": {"priority": [str(time.time_ns() // 1_000_000)], "keySize": ["2048"]},
    }
    administer(f"/{REALM}/components", provider)


def is_up():
    try:
        return browser.get(f"{root}/realms/master").is_success
    except httpx.TransportError:
        return False


try:
    deadline = time.monotonic() + 560
    while not is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("it did not start: " + open(log.name).read()[-2000:])
        time.sleep(0.5)
    administer("", realm)
    verbs = {"login": login, "rotate": rotate}
    talk({"issuer": issuer, "clients": [CLIENT]}, lambda asked: verbs[asked["do"]](asked))
finally:
    if process.poll() is None:
        os.killpg(process.pid, 9)
    process.wait()
