"""Hand-written migrations, one a module `NNNN_name.py`, each with its statements for both engines."""

import hashlib
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema. Its statements run one by one, in one transaction, and are never split at `;`.

    `name` is the name of its module. An applied migration is never edited: another one follows it.
    """

    name: str
    postgres: tuple[str, ...]
    sqlite: tuple[str, ...]

    def statements(self, dialect: Literal["sqlite", "postgres"]) -> tuple[str, ...]:
        return self.sqlite if dialect == "sqlite" else self.postgres

    def digest(self, dialect: Literal["sqlite", "postgres"]) -> str:
        """The fingerprint of the statements; how they are indented does not count."""
        text = "\0".join(" ".join(statement.split()) for statement in self.statements(dialect))
        return hashlib.sha256(text.encode()).hexdigest()
