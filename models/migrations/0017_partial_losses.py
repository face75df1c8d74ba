"""How much of a charge is lost: a row for each dispute that took a part of it, and the parts' sum with the charge.

What was lost before was lost whole. `lost_net_micros` is what of that the creator gave up.
"""

from models.migrations import Migration

_CHARGE_COLUMNS = (
    "lost_micros {bigint} NOT NULL DEFAULT 0 CHECK (lost_micros BETWEEN 0 AND gross_micros)",
    "lost_net_micros {bigint} NOT NULL DEFAULT 0 CHECK (lost_net_micros BETWEEN 0 AND net_micros)",
)
_LOSS_COLUMNS = """
    charge_id {uuid} NOT NULL REFERENCES tool_charge (id) ON DELETE RESTRICT,
    dispute_id {text} NOT NULL REFERENCES deposit_dispute (id) ON DELETE RESTRICT,
    gross_micros {bigint} NOT NULL CHECK (gross_micros >= 0),
    PRIMARY KEY (charge_id, dispute_id)
"""
_LOST_BEFORE = """
    INSERT INTO charge_loss (charge_id, dispute_id, gross_micros)
    SELECT id, dispute_id, gross_micros FROM tool_charge WHERE state = 'lost' AND dispute_id IS NOT NULL"""
_ALL_OF_IT = """
    UPDATE tool_charge SET lost_micros = gross_micros, lost_net_micros = net_micros, dispute_id = NULL
    WHERE state = 'lost'"""


def _statements(types: dict[str, str], *, suffix: str) -> tuple[str, ...]:
    columns = tuple(f"ALTER TABLE tool_charge ADD COLUMN {column.format(**types)}" for column in _CHARGE_COLUMNS)
    return (
        *columns,
        f"CREATE TABLE charge_loss ({_LOSS_COLUMNS.format(**types)}){suffix}",
        "CREATE INDEX charge_loss_by_dispute ON charge_loss (dispute_id) WHERE gross_micros > 0",
        _LOST_BEFORE,
        _ALL_OF_IT,
    )


MIGRATION = Migration(
    name="0017_partial_losses",
    postgres=_statements({"uuid": "uuid", "text": "text", "bigint": "bigint"}, suffix=""),
    sqlite=_statements({"uuid": "TEXT", "text": "TEXT", "bigint": "INTEGER"}, suffix=" STRICT"),
)
