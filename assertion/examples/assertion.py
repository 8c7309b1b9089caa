"""Who the user of a request is, for a workload in Python: checks the header X-Mezu-Assertion.

    who = Assertions("https://shop-acme.edge.example", "env_…")
    user = who(request.headers["X-Mezu-Assertion"])  # or raises ValueError
    user["sub"], user["email"], user["roles"]

The URL and the id are those of your environment (mezu environments show). Needs the package
cryptography.
"""

import base64
import json
import re
import sys
import threading
import time
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def _decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Assertions:
    def __init__(self, issuer, audience, keys_url=None):
        self._issuer, self._audience = issuer, audience
        self._keys_url = keys_url or issuer + "/.mezu/jwks.json"
        self._keys, self._lock = {}, threading.Lock()
        self._asked = self._fetched = float("-inf")

    def _key(self, key_id):
        # The list is not older than five minutes. A new Warpgate has a new key, so that an unknown
        # id is a reason to ask again, though not more often than every ten seconds. While nobody
        # answers the old list goes, for an hour: so long the key of a Warpgate that is gone is
        # listed.
        with self._lock:
            now = time.monotonic()
            age = 5 * 60 if key_id in self._keys else 0
            if now - self._fetched > age and now - self._asked > 10:
                self._asked = now
                try:
                    self._keys, self._fetched = self._fetch(), now
                except (OSError, KeyError, ValueError) as error:
                    print("fetching the keys:", error, file=sys.stderr)
            if key_id not in self._keys or now - self._fetched > 60 * 60:
                raise ValueError("signed by an unknown key")
            return self._keys[key_id]

    def _fetch(self):
        with urllib.request.urlopen(self._keys_url, timeout=5) as answer:
            keys = json.loads(answer.read(1 << 20))["keys"]
        return {
            k["kid"]: Ed25519PublicKey.from_public_bytes(_decode(k["x"]))
            for k in keys
            if (k["kty"], k["crv"], k["alg"]) == ("OKP", "Ed25519", "EdDSA")
        }

    def __call__(self, text):
        if not text or len(text) > 4096 or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}", text):
            raise ValueError("no assertion")
        parts = text.split(".")
        head, claims = (json.loads(_decode(p)) for p in parts[:2])
        # The algorithm is fixed: what the assertion says of it decides nothing.
        if not isinstance(head, dict) or not isinstance(claims, dict) or head.keys() != {"alg", "typ", "kid"}:
            raise ValueError("no assertion of a Warpgate")
        if head["alg"] != "EdDSA" or head["typ"] != "JWT":
            raise ValueError("no assertion of a Warpgate")
        try:
            self._key(head["kid"]).verify(_decode(parts[2]), ".".join(parts[:2]).encode())
        except InvalidSignature:
            raise ValueError("the signature does not verify") from None
        now = int(time.time())
        issued, begins, ends = (claims.get(name) for name in ("iat", "nbf", "exp"))
        if not all(isinstance(at, int) for at in (issued, begins, ends)):
            raise ValueError("of no time")
        if claims.get("iss") != self._issuer or claims.get("aud") != self._audience:
            raise ValueError("of another environment")
        if now >= ends:
            raise ValueError("expired")
        if max(issued, begins) > now + 60:
            raise ValueError("of the future")
        if not claims.get("sub"):
            raise ValueError("names no user")
        return claims
