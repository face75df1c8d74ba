"""On PostgreSQL the postings of a statement are checked and applied together, not one by one.

The rules are those of 0001, also for the balances on the way; what changes is that each account is looked up and
written once a statement. SQLite has no triggers of statements and keeps those of rows.
"""

from models.migrations import Migration

BALANCE_MICROS_MAX = 9 * 10**18

# `moved` has a row an account: where its postings begin and end, how low and high they go, and whether each follows
# from the one before it. No two have the same number, which is what the table's UNIQUE is for.
# Accounts are written in the order of their ids, in which the services lock them.
# A balance on the way that the account's CHECKs forbid is the one that gets written, so that they refuse it.
_APPLY = f"""
    WITH line AS (
        SELECT account_id, seq, balance_after_micros AS after_micros,
            balance_after_micros - amount_micros AS before_micros,
            lag(seq) OVER numbered AS previous_seq, lag(balance_after_micros) OVER numbered AS previous_micros,
            lead(seq) OVER numbered AS next_seq
        FROM fresh WHERE seq IS NOT NULL
        WINDOW numbered AS (PARTITION BY account_id ORDER BY seq)),
    moved AS MATERIALIZED (
        SELECT account_id, min(seq) AS first_seq, max(seq) AS last_seq,
            min(before_micros) FILTER (WHERE previous_seq IS NULL) AS opening_micros,
            min(after_micros) FILTER (WHERE next_seq IS NULL) AS closing_micros,
            min(after_micros) AS lowest_micros, max(after_micros) AS highest_micros,
            bool_and(previous_seq IS NULL OR (seq - 1 = previous_seq AND before_micros = previous_micros)) AS whole
        FROM line GROUP BY account_id ORDER BY account_id),
    applied AS (
        UPDATE ledger_account AS a SET version = m.last_seq, balance_micros = CASE
            WHEN m.lowest_micros < -{BALANCE_MICROS_MAX} OR (m.lowest_micros < 0 AND a.floor_at_zero)
                THEN m.lowest_micros
            WHEN m.highest_micros > {BALANCE_MICROS_MAX} THEN m.highest_micros
            ELSE m.closing_micros END
        FROM moved AS m
        WHERE a.id = m.account_id AND a.cached AND m.whole
        AND a.version = m.first_seq - 1 AND a.balance_micros = m.opening_micros
        RETURNING a.id)
    SELECT (SELECT count(*) FROM applied) = (SELECT count(*) FROM moved)
        AND NOT EXISTS (
            SELECT FROM fresh AS f WHERE f.seq IS NULL
            AND NOT EXISTS (SELECT FROM ledger_account AS a WHERE a.id = f.account_id AND NOT a.cached)),
        NOT EXISTS (
            SELECT FROM fresh AS f
            WHERE NOT EXISTS (SELECT FROM ledger_entry AS e WHERE e.id = f.entry_id AND NOT e.sealed))
    INTO continued, open
"""  # noqa: S608 - put together from constants only

# The plan is made once a connection, for whatever statement comes first and the tables as short as they then are, and
# kept: it could read whole tables for each posting when they have grown. With these settings rows are looked up by key.
_BY_KEY = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"

_POSTGRES = (
    "DROP TRIGGER posting_applied ON posting",
    "DROP FUNCTION posting_apply()",
    f"""CREATE FUNCTION posting_apply() RETURNS trigger LANGUAGE plpgsql {_BY_KEY} AS $$
    DECLARE
        continued boolean;
        open boolean;
    BEGIN
        {_APPLY};
        IF NOT open THEN
            RAISE EXCEPTION 'ledger: the entry is sealed or unknown' USING ERRCODE = 'check_violation';
        END IF;
        IF NOT continued THEN
            RAISE EXCEPTION 'ledger: the posting does not continue its account' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER posting_applied AFTER INSERT ON posting REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION posting_apply()""",
)

MIGRATION = Migration(name="0005_set_wise_postings", postgres=_POSTGRES, sqlite=())
