"""The certificates that a token server's tokens are traced back to (`auth.token.rootcertbundle`)."""

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from accounts.jwt_parsing import PublicKey, TokenInvalid, TrustedKey

MOST_IN_A_CHAIN = 10
_THUMBPRINT_MEMBERS = ("crv", "e", "kty", "n", "x", "y")
_LIBTRUST_BYTES, _LIBTRUST_GROUP = 30, 4


class Bundle:
    """Trusted certificates, and their keys by both kinds of id that token servers write into `kid`."""

    def __init__(self, certificates: list[x509.Certificate]) -> None:
        self.certificates = certificates
        self.keys: dict[str, TrustedKey] = {}
        for certificate in certificates:
            trusted = TrustedKey.of(certificate.public_key())
            self.keys[thumbprint(trusted.key)] = self.keys[libtrust_id(trusted.key)] = trusted

    @classmethod
    def parse(cls, content: bytes) -> "Bundle":
        """Raise ValueError, saying what is wrong with the bundle."""
        try:
            return cls(x509.load_pem_x509_certificates(content))
        except UnsupportedAlgorithm as error:
            raise ValueError("a certificate has a key of a kind that is not supported") from error

    def key_of_chain(self, chain: object) -> TrustedKey:
        """The key of an `x5c` header's first certificate, once a certificate of the bundle vouches for it."""
        leaf, *others = _certificates(chain)
        now = datetime.now(UTC)
        # A certificate that is trusted itself needs nobody who vouches for it.
        trusted = leaf in self.certificates and leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc
        if not trusted:
            if not self.certificates:
                raise TokenInvalid("no certificate is trusted")
            verifier = (
                PolicyBuilder()
                .store(Store(self.certificates))
                .time(now)
                .extension_policies(ca_policy=_CA_POLICY, ee_policy=ExtensionPolicy.permit_all())
                .build_client_verifier()
            )
            try:
                verifier.verify(leaf, others)
            except (VerificationError, ValueError, UnsupportedAlgorithm) as error:
                raise TokenInvalid("its certificate is not trusted") from error
        try:
            return TrustedKey.of(leaf.public_key())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TokenInvalid("the key of its certificate cannot be used") from error


def thumbprint(key: PublicKey) -> str:
    """RFC 7638, section 3."""
    document = _jwk(key)
    members = {name: document[name] for name in _THUMBPRINT_MEMBERS if name in document}
    content = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def libtrust_id(key: PublicKey) -> str:
    """Docker's older id of a key: 240 bits of the SHA-256 of its DER in base 32, in groups of four."""
    content = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(content).digest()[:_LIBTRUST_BYTES]).decode().rstrip("=")
    return ":".join(text[start : start + _LIBTRUST_GROUP] for start in range(0, len(text), _LIBTRUST_GROUP))


def _jwk(key: PublicKey) -> dict[str, str]:
    if isinstance(key, RSAPublicKey):
        return RSAAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, EllipticCurvePublicKey):
        return ECAlgorithm.to_jwk(key, as_dict=True)
    return OKPAlgorithm.to_jwk(key, as_dict=True)


def _certificates(chain: object) -> Iterator[x509.Certificate]:
    if not isinstance(chain, list) or not 1 <= len(chain) <= MOST_IN_A_CHAIN:
        raise TokenInvalid("its certificates cannot be read")
    for text in chain:
        if not isinstance(text, str):
            raise TokenInvalid("its certificates cannot be read")
        try:
            yield x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TokenInvalid("its certificates cannot be read") from error


def _must_be_authority(_policy: Policy, _certificate: x509.Certificate, extension: x509.BasicConstraints) -> None:
    if not extension.ca:
        raise ValueError("not an authority")


def _must_sign_certificates(_policy: Policy, _certificate: x509.Certificate, extension: x509.KeyUsage | None) -> None:
    if extension is not None and not extension.key_cert_sign:
        raise ValueError("not for signing certificates")


# Less than the web demands of its authorities, as much as keeps a certificate's holder from issuing others.
_CA_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _must_be_authority)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _must_sign_certificates)
)
