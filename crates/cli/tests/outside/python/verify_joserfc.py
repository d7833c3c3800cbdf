"""`joserfc` decides on tokens, one a line: what is trusted comes first, and each answer is `accept`
or why not."""

import json
import sys

from joserfc import jwt
from joserfc.jwk import KeySet

trusted = json.loads(sys.stdin.readline())
keys = KeySet.import_key_set(trusted["jwks"])
claims = jwt.JWTClaimsRegistry(
    now=trusted["now"],
    leeway=trusted["leeway"],
    iss={"essential": True, "value": trusted["issuer"]},
    aud={"essential": True, "value": trusted["audience"]},
    sub={"essential": True},
    exp={"essential": True},
    iat={"essential": True},
)
for line in sys.stdin:
    try:
        token = jwt.decode(json.loads(line), keys, algorithms=trusted["algorithms"])
        claims.validate(token.claims)
        answer = "accept"
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer))
