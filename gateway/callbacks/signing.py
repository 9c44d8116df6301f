"""Signs what is posted, after Standard Webhooks.

github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, section "Signature scheme"
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256

PREFIX = "whsec_"
SHORTEST_KEY, LONGEST_KEY = 24, 64
"""Bytes, as the specification says."""


def read_key(text: str) -> bytes:
    """Returns the bytes of a key that is written as ``whsec_`` and base64. Raises ValueError."""
    encoded = text.removeprefix(PREFIX)
    try:
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(PREFIX) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ValueError(
            f"must be {PREFIX} and the base64 of {SHORTEST_KEY} to {LONGEST_KEY} random bytes, "
            "such as: echo whsec_$(openssl rand -base64 32)"
        )
    return key


def headers(keys: Sequence[bytes], callback_id: str, at: int, body: bytes) -> Mapping[str, str]:
    """Returns the headers of one attempt; with several keys, a signature of each. ``at``: seconds since the epoch."""
    signed = f"{callback_id}.{at}.".encode() + body
    signatures = (b64encode(hmac.digest(key, signed, sha256)).decode() for key in keys)
    return {
        "webhook-id": callback_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }
