"""Keys and tokens for the tests of the edge."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "a secret of the tests that is long enough for HS256 and for HS512"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW_SECONDS = int(NOW.timestamp())

SigningMaterial = str | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def claims(**changes: object) -> dict[str, object]:
    """Claims of a good token, with changes; a change to None leaves the claim out."""
    good = {"sub": "user_1", "iat": NOW_SECONDS, "exp": NOW_SECONDS + 3600, **changes}
    return {name: value for name, value in good.items() if value is not None}


def signed(
    content: object = None, *, key: SigningMaterial = SECRET, algorithm: str = "HS256", **headers: object
) -> str:
    """A token over any content, signed without the checks that a library makes when it encodes claims."""
    body = json.dumps(claims() if content is None else content).encode()
    return jwt.PyJWS().encode(body, key, algorithm=algorithm, headers=headers or None)


def unsigned(algorithm: str) -> str:
    """A token that claims to need no signature."""
    parts = [json.dumps({"alg": algorithm, "typ": "JWT"}).encode(), json.dumps(claims()).encode(), b""]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def rsa_jwk(key: rsa.RSAPrivateKey, key_id: str) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig"}


def ec_jwk(key_id: str) -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "kid": key_id, "use": "sig"}


def ed_jwk(key_id: str) -> dict[str, Any]:
    return {**OKPAlgorithm.to_jwk(ED_KEY.public_key(), as_dict=True), "kid": key_id, "use": "sig"}
