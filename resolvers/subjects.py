"""Naming somebody else: customers are known outside by the subject of their token, never by our own ids."""

from typing import Final

from gateway.domain.errors import InvalidInput

#: The same as a token's subject may have, so that whoever can sign in can be charged and paid.
SUBJECT_CHARACTERS_MAX: Final = 255


def checked_subject(text: str, *, path: tuple[str, ...]) -> str:
    """A text that could be the subject of a token.

    Raises:
        InvalidInput: no token has such a subject.
    """
    if not text.strip() or len(text) > SUBJECT_CHARACTERS_MAX or not text.isprintable():
        raise InvalidInput(
            f"{path[-1]} is the subject of a token, 1 to {SUBJECT_CHARACTERS_MAX} printable characters; "
            f"got {text[:40]!r}.",
            path=path,
        )
    return text
