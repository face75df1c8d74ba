"""Who is asking: the verified content of a bearer token."""

from dataclasses import dataclass
from typing import Final

SCOPE_CHARGE = "billing:charge"
SCOPE_ADMIN = "billing:admin"
#: RFC 7518, 3.2: the secret of an HS256 signature is at least as long as its hash.
TOKEN_SECRET_BYTES_MIN: Final = 32
#: A subject goes to Stripe as the session's client_reference_id, which takes at most this many.
SUBJECT_CHARACTERS_MAX: Final = 200


def is_subject(text: str) -> bool:
    """Whether a token may have this subject; so whoever is charged or earns is somebody who can sign in."""
    return bool(text.strip()) and len(text) <= SUBJECT_CHARACTERS_MAX and text.isprintable()


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in caller: `subject` is the JWT's sub and names the customer; scopes are what it may do beyond that."""

    subject: str
    scopes: frozenset[str] = frozenset()
