"""Answers kept under the caller's idempotency key, so that asking twice does once."""

import hashlib
from dataclasses import dataclass
from typing import Final

from gateway.sandbox.engine.world import Scope
from gateway.sandbox.refusals import Json, Refusal

KEY_CHARACTERS_MAX: Final = 255
KEPT_SECONDS: Final = 24 * 3600
KEPT_SECONDS_V2: Final = 30 * KEPT_SECONDS


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished response as it went out the first time."""

    status: int
    body: bytes


@dataclass(slots=True)
class _Entry:
    fingerprint: str
    path: str
    since: int
    answer: Answer | None = None


def _kept_seconds(path: str) -> int:
    """The second generation of the API remembers longer."""
    return KEPT_SECONDS_V2 if path.startswith("/v2/") else KEPT_SECONDS


class IdempotencyKeys:
    """Keys of one server, apart by account and mode. A key without an answer is in use right now."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Scope, str], _Entry] = {}

    def begin(self, scope: Scope, key: str, *, path: str, body: bytes, now: int) -> Answer | None:
        """The kept answer to replay, or None: then the caller must `keep` or `release` the key.

        Raises:
            Refusal: the key is too long, belongs to another request, or is in use at this moment.
        """
        if not key or len(key) > KEY_CHARACTERS_MAX:
            raise Refusal(
                f"Idempotency keys can be up to {KEY_CHARACTERS_MAX} characters long; got {len(key)}.",
                type="idempotency_error",
            )
        fingerprint = hashlib.sha256(path.encode() + b"\0" + body).hexdigest()
        entry = self._entries.get((scope, key))
        if entry is None or (entry.answer is not None and now - entry.since >= _kept_seconds(entry.path)):
            self._entries[scope, key] = _Entry(fingerprint=fingerprint, path=path, since=now)
            return None
        if entry.path != path:
            raise Refusal(
                f"Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{path}' vs '{entry.path}'). Try using a key other than '{key}' if you meant to execute "
                "a different request.",
                type="idempotency_error",
            )
        if entry.fingerprint != fingerprint:
            raise Refusal(
                f"Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
                type="idempotency_error",
            )
        if entry.answer is None:
            raise Refusal(
                f"There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {key}. Please try again later.",
                status=409,
                type="idempotency_error",
                code="idempotency_key_in_use",
            )
        return entry.answer

    def keep(self, scope: Scope, key: str, answer: Answer) -> None:
        self._entries[scope, key].answer = answer

    def release(self, scope: Scope, key: str) -> None:
        """Forget a key whose request was never executed."""
        entry = self._entries.get((scope, key))
        if entry is not None and entry.answer is None:
            del self._entries[scope, key]

    def rows(self, *, now: int) -> list[Json]:
        """The answers that can still be replayed, as JSON; a key in use is left out, its request ends with us."""
        return [
            {
                "account": scope.account,
                "livemode": scope.livemode,
                "key": key,
                "fingerprint": entry.fingerprint,
                "path": entry.path,
                "since": entry.since,
                "status": entry.answer.status,
                "body": entry.answer.body.decode(),
            }
            for (scope, key), entry in self._entries.items()
            if entry.answer is not None and now - entry.since < _kept_seconds(entry.path)
        ]

    def restore(self, rows: list[Json]) -> None:
        """Take back what `rows` gave."""
        for row in rows:
            scope = Scope(account=row["account"], livemode=row["livemode"])
            answer = Answer(row["status"], row["body"].encode())
            entry = _Entry(fingerprint=row["fingerprint"], path=row["path"], since=row["since"], answer=answer)
            self._entries[scope, row["key"]] = entry

    def forget(self, key: str | None) -> int:
        """Drop the answers of one key, or of all; how many that were."""
        gone = [one for one, entry in self._entries.items() if key in (None, one[1]) and entry.answer is not None]
        for one in gone:
            del self._entries[one]
        return len(gone)

    def clear(self) -> None:
        self._entries.clear()
