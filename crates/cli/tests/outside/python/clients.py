"""Authlib at a token endpoint: what it is told, as it understands it."""

import os

from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey

from talk import talk

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"


def ask(asked):
    issuer = asked["issuer"]
    key = ECKey.import_key(asked["key"]) if "key" in asked else None
    session = OAuth2Session(
        asked["id"],
        key,
        token_endpoint_auth_method=asked.get("method", "private_key_jwt"),
    )
    # Left alone it is for the token endpoint, and not for who serves it.
    own = PrivateKeyJWT(asked.get("audience"), headers={"kid": "own"}, alg="ES256")
    session.register_client_auth_method(own)
    try:
        return session.fetch_token(f"{issuer}/token", **asked["form"])
    except OAuthError as error:
        return {"error": error.error, "message": error.description}


talk({}, ask)
