"""Addresses of `middleware.storage`."""

import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from blobs.storage.redirects import make_redirect
from registry_project.config import ConfigurationError, load_configuration

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def configured(text, tmp_path):
    path = tmp_path / "config.yml"
    path.write_text(f"middleware:\n  storage:\n  - {text}\n")
    return load_configuration(path, {}).middleware.storage[-1]


def cloudfront(tmp_path, key):
    path = tmp_path / "key.pem"
    path.write_bytes(pem(key))
    options = f"{{baseurl: https://cdn.example.org/, privatekey: {path}, keypairid: K1, duration: 10m}}"
    return configured(f"{{name: cloudfront, options: {options}}}", tmp_path)


def test_redirect_puts_an_address_before_the_key(tmp_path):
    middleware = configured("{name: redirect, options: {baseurl: https://cdn.example.org/files/}}", tmp_path)
    assert (
        make_redirect(middleware, "root/")("blobs/aa/b c", timedelta())
        == "https://cdn.example.org/files/blobs/aa/b%20c"
    )


def test_cloudfront_signs_the_whole_name_of_the_object(tmp_path, monkeypatch):
    monkeypatch.setattr("django.utils.timezone.now", lambda: MOMENT)
    key = rsa.generate_private_key(65537, 2048)
    url = make_redirect(cloudfront(tmp_path, key), "root/")("blobs/aa/b", timedelta(hours=5))
    address, query = url.split("?")
    assert address == "https://cdn.example.org/root/blobs/aa/b"
    values = {name: value for name, (value,) in parse_qs(query).items()}
    expires = int((MOMENT + timedelta(minutes=10)).timestamp())
    assert (values["Expires"], values["Key-Pair-Id"]) == (str(expires), "K1")
    policy = {"Statement": [{"Resource": address, "Condition": {"DateLessThan": {"AWS:EpochTime": expires}}}]}
    signature = base64.b64decode(values["Signature"].translate(str.maketrans("-_~", "+=/")))
    # Raises when it is not the signature of exactly this.
    key.public_key().verify(
        signature, json.dumps(policy, separators=(",", ":")).encode(), padding.PKCS1v15(), hashes.SHA1()
    )
    assert not urlsplit(url).fragment


def test_cloudfront_takes_rsa_keys_only(tmp_path):
    with pytest.raises(ValueError, match="RSA"):
        make_redirect(cloudfront(tmp_path, ec.generate_private_key(ec.SECP256R1())), "")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{name: rewrite}", "middleware.storage.0.name"),
        ("{name: redirect}", "middleware.storage.0.options.baseurl"),
        ("{name: cloudfront, options: {baseurl: https://x}}", "middleware.storage.0.options.privatekey"),
        ("{name: redirect, options: {baseurl: cdn}}", "middleware.storage.0.options.baseurl"),
    ],
)
def test_refuses_a_middleware_that_cannot_work(tmp_path, text, key):
    with pytest.raises(ConfigurationError) as caught:
        configured(text, tmp_path)
    assert key in [mistake.key for mistake in caught.value.mistakes]


def test_middleware_that_is_switched_off_may_be_anything(tmp_path):
    assert configured("{name: alicdn, disabled: true}", tmp_path).disabled
