# Makes a key and signs each of the events on standard input with it, as `joserfc` does.
import json
import sys

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
header = {"alg": "ES256", "kid": "k1", "typ": "secevent+jwt"}
events = [jwt.encode(header, claims, key) for claims in json.loads(sys.argv[1])]
print(json.dumps({"jwks": KeySet([key]).as_dict(private=False), "events": events}))
