"""Addresses for blobs by Distribution's `middleware.storage`: a plain one, or one that CloudFront checks."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.utils import timezone

from registry_project.config.middleware import StorageMiddleware

Redirect = Callable[[str, timedelta], str]


def make_redirect(middleware: StorageMiddleware, prefix: str) -> Redirect:
    """What makes addresses from keys; `prefix` is what a store puts before each key, with its slash."""
    options = middleware.options
    base = (options.baseurl or "").rstrip("/")
    if middleware.name == "redirect":
        return lambda key, lifetime: f"{base}/{quote(key)}"
    assert options.privatekey is not None
    sign = cloudfront_signer(options.keypairid, options.privatekey.read_bytes())
    # CloudFront stands before the bucket, so it is asked by the whole name of the object.
    return lambda key, lifetime: sign(f"{base}/{quote(prefix + key)}", options.duration)


def cloudfront_signer(key_pair_id: str, private_key: bytes) -> Redirect:
    """Sign addresses by a canned policy (CloudFront Developer Guide, "Create a signed URL using a canned policy").

    Raises ValueError when `private_key` is no RSA key in PEM.
    """
    key = serialization.load_pem_private_key(private_key, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("CloudFront's private key must be an RSA key")

    def sign(url: str, lifetime: timedelta) -> str:
        expires = int((timezone.now() + lifetime).timestamp())
        statement = {"Resource": url, "Condition": {"DateLessThan": {"AWS:EpochTime": expires}}}
        policy = json.dumps({"Statement": [statement]}, separators=(",", ":")).encode()
        # SHA-1 is what CloudFront verifies.
        signature = base64.b64encode(key.sign(policy, padding.PKCS1v15(), hashes.SHA1())).decode()  # noqa: S303
        signature = signature.translate(str.maketrans("+=/", "-_~"))
        return f"{url}?Expires={expires}&Signature={signature}&Key-Pair-Id={key_pair_id}"

    return sign
