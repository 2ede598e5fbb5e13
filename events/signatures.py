"""Proof for a receiver that a request comes from this registry, and when it was made."""

import hashlib
import hmac

HEADER = "Lading-Signature"


def sign(secret: str, body: bytes, *, timestamp: int) -> str:
    """This will give the header's value: `t=<seconds since 1970>,v1=<hex of HMAC-SHA-256 over "<t>.<body>">`."""
    mac = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"
