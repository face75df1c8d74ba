"""The signature that proves a webhook came from here."""

import hashlib
import hmac
from collections.abc import Sequence


def signature_header(body: bytes, secrets: Sequence[str], *, at: int) -> str:
    """`t=…,v1=…`, with one v1 for each secret that is valid during a rotation; no blank after a comma."""
    signed = str(at).encode() + b"." + body
    marks = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
    return ",".join([f"t={at}", *marks])
