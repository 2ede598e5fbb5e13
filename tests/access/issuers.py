"""Keys, certificates and tokens of servers that are not ours."""

import base64
import datetime
import json
import time

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def new_key(curve=ec.SECP256R1):
    return ec.generate_private_key(curve())


def new_rsa_key(bits=2048):
    return rsa.generate_private_key(65537, bits)


def jwk(key, kid, **more):
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


def jwks(*keys):
    return json.dumps({"keys": list(keys)})


def certificate(key, *, subject="server", issuer=None, issuer_key=None, authority=False, age=DAY, lasts=2 * DAY):
    """Signed by itself unless an issuer is named; `authority` None leaves basic constraints out."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - age)
        .not_valid_after(now - age + lasts)
    )
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    return builder.sign(issuer_key or key, hashes.SHA256())


def pem(*certificates):
    return b"".join(item.public_bytes(Encoding.PEM) for item in certificates)


def x5c(*certificates):
    return [base64.b64encode(item.public_bytes(Encoding.DER)).decode() for item in certificates]


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign(key, claims, *, algorithm="ES256", **header):
    return jwt.encode(claims, key, algorithm=algorithm, headers=header)


def encode(document):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def sign_text(key, header, payload):
    """A token signed by ES256 whose parts need not be JSON that a library would write."""
    signed = f"{encode(header)}.{encode(payload)}"
    signature = jwt.algorithms.ECAlgorithm(hashes.SHA256).sign(signed.encode(), key)
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def now(offset=0):
    return int(time.time()) + offset
