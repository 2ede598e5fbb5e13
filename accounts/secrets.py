"""Secrets that we hand out: 256 random bits behind a prefix that scanners know, with a checksum at the end."""

import hashlib
import secrets
import zlib
from enum import StrEnum

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH = 43  # 62**43 > 2**256
_CHECKSUM_LENGTH = 6  # 62**6 > 2**32


class Prefix(StrEnum):
    ACCESS_TOKEN = "lading_pat_"  # noqa: S105 - no secret
    ROBOT_SECRET = "lading_rob_"  # noqa: S105
    REFRESH_TOKEN = "lading_ref_"  # noqa: S105


def new_secret(prefix: Prefix) -> str:
    body = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + _checksum(body)


def is_well_formed(text: str, prefix: Prefix) -> bool:
    """Whether a text can be such a secret; a typing mistake is found without asking the database."""
    length = len(prefix) + _RANDOM_LENGTH + _CHECKSUM_LENGTH
    return (
        len(text) == length
        and text.isascii()
        and text.startswith(prefix)
        and _checksum(text[:-_CHECKSUM_LENGTH]) == text[-_CHECKSUM_LENGTH:]
    )


def hash_secret(text: str) -> str:
    """What is stored. No salt and no slow function: nobody can guess 256 random bits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
