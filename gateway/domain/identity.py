"""Who is asking: the verified content of a bearer token."""

from dataclasses import dataclass

SCOPE_CHARGE = "billing:charge"
SCOPE_ADMIN = "billing:admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in caller: `subject` is the JWT's sub and names the customer; scopes are what it may do beyond that."""

    subject: str
    scopes: frozenset[str] = frozenset()
