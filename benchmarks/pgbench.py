"""pgbench running one charge a transaction: the same statements on the same tables, with no Python in the way."""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Final, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] - it has none

from benchmarks.market import CONSUMERS, CREATORS, PRICE_MICROS, TOOLS, creator_of
from gateway.domain.charges import pending
from gateway.domain.ledger import FEES, wallet
from gateway.services.customers import customer_id_of
from tests.support.postgres import PostgresMissing, find_binaries

FEE_MICROS: Final = PRICE_MICROS * 2_000 // 10_000
NET_MICROS: Final = PRICE_MICROS - FEE_MICROS
_RATE: Final = re.compile(r"tps = ([0-9.]+)")

_SCRIPT: Final = f"""
\\set consumer random(1, :wallets)
\\set tool random(1, {CREATORS})
SELECT gen_random_uuid() AS entry, w.customer_id AS customer, w.wallet_id AS wallet, t.tool_id AS tool,
    t.creator_id AS creator, t.pending_id AS pending
    FROM bench_wallet AS w, bench_tool AS t WHERE w.n = :consumer AND t.n = :tool \\gset
BEGIN;
SELECT id, creator_id, price_micros FROM tool WHERE active AND id = ANY(ARRAY[:tool]);
WITH locked AS (SELECT id, balance_micros, version FROM ledger_account
    WHERE id = ANY(ARRAY[:wallet::uuid, :pending::uuid]) ORDER BY id FOR NO KEY UPDATE)
SELECT w.balance_micros AS w_balance, w.version AS w_version, p.balance_micros AS p_balance, p.version AS p_version
    FROM locked AS w, locked AS p WHERE w.id = :wallet::uuid AND p.id = :pending::uuid \\gset
WITH claimed AS (INSERT INTO ledger_entry (id, idem, digest, kind, ref, description, created_at)
    VALUES (:entry::uuid, 'call:' || :entry, repeat('0', 64), 'tool_call', :tool, 'Call', now())
    ON CONFLICT DO NOTHING RETURNING id)
INSERT INTO posting (id, entry_id, account_id, amount_micros, seq, balance_after_micros)
    SELECT gen_random_uuid(), claimed.id, p.* FROM claimed, (VALUES
        (:wallet::uuid, -{PRICE_MICROS}::bigint, :w_version::bigint + 1, :w_balance::bigint - {PRICE_MICROS}),
        (:pending::uuid, {NET_MICROS}, :p_version::bigint + 1, :p_balance::bigint + {NET_MICROS}),
        ('{FEES.id}'::uuid, {FEE_MICROS}, NULL, NULL)) AS p;
UPDATE ledger_entry SET sealed = true WHERE id = :entry::uuid;
SELECT id, funds_clear_at FROM customer WHERE id = :customer::uuid AND funds_clear_at IS NOT NULL;
INSERT INTO tool_charge (id, consumer_id, call_id, tool_id, creator_id, gross_micros, fee_micros, net_micros, fee_bps,
        wallet_after_micros, state, available_at, created_at)
    VALUES (:entry::uuid, :customer::uuid, :entry, :tool, :creator::uuid, {PRICE_MICROS}, {FEE_MICROS}, {NET_MICROS},
        2000, :w_balance::bigint - {PRICE_MICROS}, 'pending', now(), now());
INSERT INTO earnings_day (creator_id, day, gross_micros, fee_micros, net_micros, calls)
    VALUES (:creator::uuid, current_date::text, {PRICE_MICROS}, {FEE_MICROS}, {NET_MICROS}, 1)
    ON CONFLICT (creator_id, day) DO UPDATE SET gross_micros = earnings_day.gross_micros + excluded.gross_micros,
        fee_micros = earnings_day.fee_micros + excluded.fee_micros,
        net_micros = earnings_day.net_micros + excluded.net_micros, calls = earnings_day.calls + excluded.calls;
COMMIT;
"""  # noqa: S608 - put together from constants only


class PgBench:
    """One script on one server; `run` measures charges a second."""

    def __init__(self, url: str, program: Path, script: Path) -> None:
        self._url = url
        self._program = program
        self._script = script

    @classmethod
    async def prepare(cls, url: str, folder: Path) -> "PgBench | None":
        """Write the script, and the ids it draws from; None where there is no pgbench."""
        program = _find_program()
        if program is None:
            return None
        connection = cast("asyncpg.Connection", await asyncpg.connect(url))
        try:
            await connection.execute("CREATE TABLE bench_wallet (n int PRIMARY KEY, customer_id uuid, wallet_id uuid)")
            await connection.execute(
                "CREATE TABLE bench_tool (n int PRIMARY KEY, tool_id text, creator_id uuid, pending_id uuid)"
            )
            wallets = [(n, consumer, wallet(consumer).id) for n, consumer in enumerate(CONSUMERS, start=1)]
            creators = [(n, tool, customer_id_of(creator_of(tool))) for n, tool in enumerate(TOOLS, start=1)]
            tools = [(n, tool, creator, pending(creator).id) for n, tool, creator in creators]
            await connection.executemany("INSERT INTO bench_wallet VALUES ($1, $2, $3)", wallets)
            await connection.executemany("INSERT INTO bench_tool VALUES ($1, $2, $3, $4)", tools)
        finally:
            await connection.close()
        script = folder / "charge.sql"
        script.write_text(_SCRIPT)
        return cls(url, program, script)

    async def run(self, *, wallets: int, clients: int, seconds: float) -> float:
        """Charges a second of so many clients."""
        process = await asyncio.create_subprocess_exec(
            *(self._program, "-n", "-M", "prepared", "-f", self._script, "-c", str(clients), "-j", "1"),
            *("-T", str(round(seconds)), "-D", f"wallets={wallets}", self._url.replace("postgres://", "postgresql://")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        text = output.decode(errors="replace")
        found = _RATE.search(text)
        if process.returncode != 0 or found is None:
            raise SystemExit(f"pgbench failed:\n{text}")
        return float(found[1])


def _find_program() -> Path | None:
    try:
        beside = find_binaries() / "pgbench"
    except PostgresMissing:
        return None
    if beside.is_file():
        return beside
    found = shutil.which("pgbench")
    return None if found is None else Path(found)
