"""Which migrations there are, and which are left to apply."""

import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module

import models.migrations
from gateway.db.dialect import Dialect
from gateway.db.errors import MigrationRefused
from models.migrations import Migration


def known_migrations() -> tuple[Migration, ...]:
    """The migrations of this release, in order."""
    names = sorted(module.name for module in pkgutil.iter_modules(models.migrations.__path__))
    found: list[Migration] = []
    for name in names:
        migration = import_module(f"models.migrations.{name}").MIGRATION
        assert isinstance(migration, Migration), f"{name}.MIGRATION is a Migration"
        assert migration.name == name, f"the migration in {name}.py is named after its module; got {migration.name}"
        found.append(migration)
    return tuple(found)


def not_applied(known: Sequence[Migration], applied: Mapping[str, str], dialect: Dialect) -> tuple[Migration, ...]:
    """What is left to apply, given the digests by name of what was; raises MigrationRefused."""
    names = {migration.name for migration in known}
    if strangers := sorted(applied.keys() - names):
        raise MigrationRefused(
            f"This database was migrated by a newer release: {', '.join(strangers)} is not known here."
        )
    left: list[Migration] = []
    for migration in known:
        digest = applied.get(migration.name)
        if digest is None:
            left.append(migration)
        elif left:
            raise MigrationRefused(f"{left[0].name} is not applied, though the later {migration.name} is.")
        elif digest != migration.digest(dialect):
            raise MigrationRefused(f"{migration.name} was edited after it was applied; write a new migration instead.")
    return tuple(left)
