"""Naming somebody else: customers are known outside by the subject of their token, never by our own ids."""

from gateway.domain.errors import InvalidInput
from gateway.domain.identity import SUBJECT_CHARACTERS_MAX, is_subject


def checked_subject(text: str, *, path: tuple[str, ...]) -> str:
    """A text that could be the subject of a token.

    Raises:
        InvalidInput: no token has such a subject.
    """
    if not is_subject(text):
        raise InvalidInput(
            f"{path[-1]} is the subject of a token, 1 to {SUBJECT_CHARACTERS_MAX} printable characters; "
            f"got {text[:40]!r}.",
            path=path,
        )
    return text
