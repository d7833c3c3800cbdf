"""An identity provider made of pysaml2: writes its metadata and what it sends to a service."""

import base64
import subprocess
import sys
from pathlib import Path

from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.config import IdPConfig, SPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.server import Server
from saml2.xmldsig import DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512
from saml2.xmldsig import SIG_ECDSA_SHA256, SIG_RSA_SHA1, SIG_RSA_SHA256, SIG_RSA_SHA512

IDP = "https://idp.example.org/metadata"
SP = "https://app.example.com/saml/metadata"
ACS = "https://app.example.com/saml/acs"

folder = Path(sys.argv[1])


def key(name, *kind):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "30",
         "-subj", "/CN=idp", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
        check=True, capture_output=True)
    return str(folder / f"{name}.key"), str(folder / f"{name}.pem")


def provider(name, files):
    settings = {
        "entityid": IDP,
        "service": {"idp": {
            "endpoints": {"single_sign_on_service": [(IDP + "/sso", BINDING_HTTP_REDIRECT)]},
            "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None,
                                   "name_form": "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"}},
        }},
        "key_file": files[0], "cert_file": files[1],
        "xmlsec_binary": "/usr/bin/xmlsec1",
        "metadata": {"inline": [str(service())]},
    }
    config = IdPConfig().load(settings)
    (folder / f"{name}-metadata.xml").write_text(str(entity_descriptor(config)))
    return Server(config=config)


def service():
    return entity_descriptor(SPConfig().load({
        "entityid": SP,
        "service": {"sp": {"endpoints": {
            "assertion_consumer_service": [(ACS, BINDING_HTTP_POST)]}}},
    }))


def answer(server, name, **how):
    how = {"sign_response": False, "sign_assertion": True,
           "sign_alg": SIG_RSA_SHA256, "digest_alg": DIGEST_SHA256, **how}
    response = server.create_authn_response(
        {"uid": ["alice"], "mail": ["alice@example.org"], "ou": ["ops", "dev"]},
        "_q1", ACS, sp_entity_id=SP,
        name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text="alice-7", sp_name_qualifier=SP),
        authn={"class_ref": "https://refeds.org/profile/mfa", "authn_auth": IDP},
        **how)
    (folder / f"{name}.xml").write_text(str(response))
    (folder / f"{name}.b64").write_bytes(base64.b64encode(str(response).encode()))


rsa = provider("rsa", key("rsa", "rsa:2048"))
answer(rsa, "good")
answer(rsa, "both", sign_response=True)
answer(rsa, "sha512", sign_alg=SIG_RSA_SHA512, digest_alg=DIGEST_SHA512)
answer(rsa, "sha1", sign_alg=SIG_RSA_SHA1, digest_alg=DIGEST_SHA1)
answer(rsa, "unsigned", sign_assertion=False)
answer(rsa, "response-only", sign_response=True, sign_assertion=False)
ecdsa = provider("ecdsa", key("ecdsa", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"))
answer(ecdsa, "ecdsa", sign_alg=SIG_ECDSA_SHA256)
