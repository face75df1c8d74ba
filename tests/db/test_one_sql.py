"""SQL is written once, for PostgreSQL; what SQLite is given means the same."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest

from gateway.db import Database
from gateway.db.dialect import sqlite_parameters, sqlite_statement, sqlite_value
from gateway.db.rows import identifier, integer, integer_or_none, moment, moment_or_none, text, text_or_none, truth

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Colour(StrEnum):
    """A text that is an enum."""

    RED = "red"


@pytest.mark.parametrize(
    ("sql", "rewritten", "order"),
    [
        ("SELECT $1", "SELECT ?", (0,)),
        ("SELECT $2, $1, $2", "SELECT ?, ?, ?", (1, 0, 1)),
        ("SELECT $10, $1", "SELECT ?, ?", (9, 0)),
        ("SELECT $1::bigint, $2::text[]", "SELECT ?, ?", (0, 1)),
        ("SELECT '$1', \"$1\", 'it''s $1'", "SELECT '$1', \"$1\", 'it''s $1'", ()),
        ("SELECT 1 -- $1\n, $1", "SELECT 1 -- $1\n, ?", (0,)),
        ("SELECT 1 /* $1 \n */, $1", "SELECT 1 /* $1 \n */, ?", (0,)),
        ("SELECT a FROM t FOR UPDATE", "SELECT a FROM t ", ()),
        ("SELECT a FROM t FOR NO KEY UPDATE NOWAIT", "SELECT a FROM t ", ()),
        ("SELECT a FROM t for share", "SELECT a FROM t ", ()),
        ("SELECT a FROM t FOR UPDATE OF t SKIP LOCKED", "SELECT a FROM t ", ()),
        ('SELECT a FROM t FOR UPDATE OF "t","u" NOWAIT', "SELECT a FROM t ", ()),
        (
            "WHERE id IN (SELECT id FROM t LIMIT $1 FOR UPDATE SKIP LOCKED)",
            "WHERE id IN (SELECT id FROM t LIMIT ? )",
            (0,),
        ),
        ("WHERE id IN (SELECT id FROM t FOR UPDATE OF t) AND x", "WHERE id IN (SELECT id FROM t ) AND x", ()),
        ("SELECT 'FOR UPDATE'", "SELECT 'FOR UPDATE'", ()),
    ],
)
def test_statement_is_rewritten_for_sqlite(sql: str, rewritten: str, order: tuple[int, ...]) -> None:
    assert sqlite_statement(sql) == (rewritten, order)


@pytest.mark.parametrize(("sql", "params"), [("SELECT $1", []), ("SELECT $1", [1, 2]), ("SELECT 1", [1])])
def test_count_of_parameters_must_fit(sql: str, params: list[int]) -> None:
    _, order = sqlite_statement(sql)
    with pytest.raises(ValueError, match="parameters; got"):
        sqlite_parameters(params, order)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (NOON, "2026-03-01 12:00:00.000000+00:00"),
        (NOON.astimezone(timezone(timedelta(hours=-5))), "2026-03-01 12:00:00.000000+00:00"),
        (date(2026, 3, 1), "2026-03-01"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (b"\0", b"\0"),
        (None, None),
        (True, True),
    ],
)
def test_value_is_stored_in_one_way(value: object, stored: object) -> None:
    assert sqlite_value(value) == stored


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a zone"):
        sqlite_value(datetime(2026, 3, 1, 12, 0))  # noqa: DTZ001 - that is what is refused


@pytest.mark.parametrize("value", [Decimal("1.5"), [1], {"a": 1}, object()])
def test_value_of_no_column_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be stored"):
        sqlite_value(value)


async def test_row_reads_the_same_on_both_engines(shop_database: Database) -> None:
    key = UUID("0199e0aa-0000-7000-8000-000000000001")
    async with shop_database.transaction() as connection:
        await connection.execute(
            "INSERT INTO visit (id, came_at, loyal, pages) VALUES ($1, $2, $3, $4)", [key, NOON, True, 7]
        )
        await connection.execute("INSERT INTO sale (name, cents) VALUES ($1, $2), ($3, $4)", ["a", 2**60, "b", 2**60])
    visit = await shop_database.fetch_one("SELECT * FROM visit WHERE id = $1 AND came_at <= $2", [key, NOON])
    total = await shop_database.fetch_one("SELECT sum(cents) AS cents, min(name) AS name, max(NULL) AS none FROM sale")
    assert visit is not None
    assert total is not None
    assert identifier(visit, "id") == key
    assert type(identifier(visit, "id")) is UUID
    assert moment(visit, "came_at") == NOON
    assert moment(visit, "came_at").tzinfo is UTC
    assert truth(visit, "loyal") is True
    assert integer(visit, "pages") == 7
    assert integer(total, "cents") == 2**61
    assert text(total, "name") == "a"
    assert (integer_or_none(total, "none"), text_or_none(total, "none"), moment_or_none(total, "none")) == (None,) * 3


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (integer, "1"),
        (integer, True),
        (integer, Decimal("1.5")),
        (integer, 1.0),
        (text, 1),
        (truth, 2),
        (truth, "true"),
        (moment, "2026-03-01 12:00:00"),
        (moment, "soon"),
        (identifier, "not a key"),
        (identifier, 1),
        (integer, None),
    ],
)
def test_column_of_another_type_is_refused_by_name(read: object, value: object) -> None:
    assert callable(read)
    with pytest.raises(TypeError, match="The column c holds"):
        read({"c": value}, "c")
