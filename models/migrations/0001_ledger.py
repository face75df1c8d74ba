"""The double-entry ledger and its rules: append-only, balanced, sealed, with cached balances that cannot drift.

What each rule is for stands in docs/ledger.md. Both engines keep the same rules. Where the means differ:
an entry left unsealed is found at COMMIT by a deferred trigger on PostgreSQL, and on SQLite, which has none, by a
deferred foreign key to a table that holds the one value a sealed entry has.
"""

from models.migrations import Migration

AMOUNT_MICROS_MAX = 10**15
BALANCE_MICROS_MAX = 9 * 10**18

_ACCOUNT_COLUMNS = f"""
    id {{uuid}} NOT NULL PRIMARY KEY,
    code {{text}} NOT NULL UNIQUE,
    kind {{text}} NOT NULL CHECK (length(kind) BETWEEN 1 AND 24),
    owner_id {{uuid}},
    floor_at_zero {{boolean}} NOT NULL,
    cached {{boolean}} NOT NULL,
    balance_micros {{bigint}} NOT NULL DEFAULT 0,
    version {{bigint}} NOT NULL DEFAULT 0 CHECK (version >= 0),
    currency {{text}} NOT NULL DEFAULT 'usd' CONSTRAINT ledger_account_one_currency CHECK (currency = 'usd'),
    created_at {{time}} NOT NULL,
    CONSTRAINT ledger_account_owner_kind UNIQUE (owner_id, kind),
    CONSTRAINT ledger_account_code CHECK (code = kind || coalesce(':' || {{owner_text}}, '')),
    CONSTRAINT ledger_account_floor CHECK (NOT floor_at_zero OR balance_micros >= 0),
    CONSTRAINT ledger_account_range CHECK (balance_micros BETWEEN -{BALANCE_MICROS_MAX} AND {BALANCE_MICROS_MAX}),
    CONSTRAINT ledger_account_derived CHECK (
        cached OR (balance_micros = 0 AND version = 0 AND NOT floor_at_zero))
"""

_ENTRY_COLUMNS = """
    id {uuid} NOT NULL PRIMARY KEY,
    idem {text} NOT NULL UNIQUE CHECK (length(idem) BETWEEN 1 AND 200),
    digest {text} NOT NULL CHECK (length(digest) = 64),
    kind {text} NOT NULL CHECK (length(kind) BETWEEN 1 AND 24),
    ref {text} CHECK (length(ref) <= 255),
    reverses {uuid} UNIQUE REFERENCES ledger_entry (id) ON DELETE RESTRICT,
    sealed {sealed},
    description {text} NOT NULL CHECK (length(description) <= 255),
    created_at {time} NOT NULL
"""

_POSTING_COLUMNS = f"""
    id {{uuid}} NOT NULL PRIMARY KEY,
    entry_id {{uuid}} NOT NULL REFERENCES ledger_entry (id) ON DELETE RESTRICT,
    account_id {{uuid}} NOT NULL {{account_reference}},
    amount_micros {{bigint}} NOT NULL CONSTRAINT posting_amount CHECK (
        amount_micros <> 0 AND amount_micros BETWEEN -{AMOUNT_MICROS_MAX} AND {AMOUNT_MICROS_MAX}),
    seq {{bigint}} CHECK (seq >= 1),
    balance_after_micros {{bigint}},
    CONSTRAINT posting_entry_account UNIQUE (entry_id, account_id),
    CONSTRAINT posting_account_seq UNIQUE (account_id, seq){{covering}},
    CONSTRAINT posting_derived CHECK ((seq IS NULL) = (balance_after_micros IS NULL))
"""

# The ids are uuid5(ACCOUNT_NAMESPACE, code), written out because a migration must not change when code does.
_PLATFORM_ACCOUNTS = """
    INSERT INTO ledger_account (id, code, kind, floor_at_zero, cached, created_at) VALUES
    ('94c70986-5dde-54cc-96d4-8573da092c14', 'stripe', 'stripe', {false}, {false}, {epoch}),
    ('0fcd3f1f-e66e-5751-b4b4-c28c0de67ff7', 'bank', 'bank', {false}, {false}, {epoch}),
    ('9709dd96-8187-5b59-94f0-816458526741', 'fees', 'fees', {false}, {false}, {epoch}),
    ('b6de00e7-2cae-5881-9b42-529410af91da', 'subscriptions', 'subscriptions', {false}, {false}, {epoch}),
    ('7282cca0-9836-572f-9afb-01369129cbe2', 'stripe_fees', 'stripe_fees', {false}, {false}, {epoch}),
    ('02a3568a-a3da-56ed-a1a4-1a7a4baf6cb1', 'bad_debt', 'bad_debt', {false}, {false}, {epoch})
"""

_POSTGRES_WORDS = {
    "uuid": "uuid",
    "text": "text",
    "bigint": "bigint",
    "boolean": "boolean",
    "time": "timestamptz",
    "owner_text": "owner_id::text",
    "sealed": "boolean NOT NULL DEFAULT false",
    # A foreign key would lock the six accounts of the platform in every entry; the posting's trigger looks instead,
    # which is enough because an account is never deleted.
    "account_reference": "",
    "covering": " INCLUDE (entry_id, amount_micros, balance_after_micros)",
    "false": "false",
    "epoch": "'1970-01-01T00:00:00Z'",
}

_SQLITE_WORDS = {
    "uuid": "TEXT",
    "text": "TEXT",
    "bigint": "INTEGER",
    "boolean": "INTEGER",
    "time": "TEXT",
    "owner_text": "owner_id",
    "sealed": "INTEGER NOT NULL DEFAULT 0 REFERENCES ledger_seal (value) DEFERRABLE INITIALLY DEFERRED",
    "account_reference": "REFERENCES ledger_account (id) ON DELETE RESTRICT",
    "covering": "",
    "false": "0",
    "epoch": "'1970-01-01 00:00:00.000000+00:00'",
}

_POSTGRES_RULES = (
    """CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'ledger: % is append-only', tg_table_name USING ERRCODE = 'check_violation';
    END $$""",
    """CREATE TRIGGER posting_append_only BEFORE UPDATE OR DELETE ON posting
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse()""",
    """CREATE TRIGGER ledger_entry_kept BEFORE DELETE ON ledger_entry
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse()""",
    """CREATE TRIGGER ledger_account_kept BEFORE DELETE ON ledger_account
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse()""",
    """CREATE TRIGGER posting_whole BEFORE TRUNCATE ON posting
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()""",
    """CREATE TRIGGER ledger_entry_whole BEFORE TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()""",
    """CREATE TRIGGER ledger_account_whole BEFORE TRUNCATE ON ledger_account
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()""",
    """CREATE FUNCTION ledger_account_begin() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF new.balance_micros <> 0 OR new.version <> 0 THEN
            RAISE EXCEPTION 'ledger: account % begins empty', new.code USING ERRCODE = 'check_violation';
        END IF;
        RETURN new;
    END $$""",
    """CREATE TRIGGER ledger_account_begins_empty BEFORE INSERT ON ledger_account
    FOR EACH ROW EXECUTE FUNCTION ledger_account_begin()""",
    """CREATE FUNCTION ledger_account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'ledger: account % changes by postings only', old.code USING ERRCODE = 'check_violation';
    END $$""",
    # Depth 0 is a statement of somebody's own; the trigger of a posting is deeper.
    """CREATE TRIGGER ledger_account_follows_postings BEFORE UPDATE ON ledger_account
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION ledger_account_guard()""",
    # One statement for the usual case; which rule was broken is looked up only when one was.
    """CREATE FUNCTION posting_apply() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF new.seq IS NULL THEN
            PERFORM FROM ledger_account AS a, ledger_entry AS e
            WHERE a.id = new.account_id AND NOT a.cached AND e.id = new.entry_id AND NOT e.sealed;
        ELSE
            UPDATE ledger_account SET balance_micros = new.balance_after_micros, version = new.seq
            WHERE id = new.account_id AND cached AND version = new.seq - 1
            AND balance_micros = new.balance_after_micros - new.amount_micros
            AND EXISTS (SELECT FROM ledger_entry AS e WHERE e.id = new.entry_id AND NOT e.sealed);
        END IF;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        IF EXISTS (SELECT FROM ledger_entry AS e WHERE e.id = new.entry_id AND NOT e.sealed) THEN
            RAISE EXCEPTION 'ledger: the posting does not continue its account' USING ERRCODE = 'check_violation';
        END IF;
        RAISE EXCEPTION 'ledger: the entry is sealed or unknown' USING ERRCODE = 'check_violation';
    END $$""",
    "CREATE TRIGGER posting_applied AFTER INSERT ON posting FOR EACH ROW EXECUTE FUNCTION posting_apply()",
    """CREATE FUNCTION ledger_entry_seal() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        total numeric;
        lines bigint;
    BEGIN
        IF tg_op = 'INSERT' THEN
            IF new.sealed THEN
                RAISE EXCEPTION 'ledger: entry % begins unsealed', new.idem USING ERRCODE = 'check_violation';
            END IF;
            RETURN new;
        END IF;
        IF old.sealed OR NOT new.sealed
        OR (new.id, new.idem, new.digest, new.kind, new.ref, new.reverses, new.description, new.created_at)
           IS DISTINCT FROM
           (old.id, old.idem, old.digest, old.kind, old.ref, old.reverses, old.description, old.created_at)
        THEN
            RAISE EXCEPTION 'ledger: entry % can only be sealed, once', old.idem USING ERRCODE = 'check_violation';
        END IF;
        SELECT sum(amount_micros), count(*) INTO total, lines FROM posting WHERE entry_id = new.id;
        IF total IS DISTINCT FROM 0 OR lines < 2 THEN
            RAISE EXCEPTION 'ledger: entry % has % postings that sum to %', new.idem, lines, total
            USING ERRCODE = 'check_violation';
        END IF;
        RETURN new;
    END $$""",
    """CREATE TRIGGER ledger_entry_sealed BEFORE INSERT OR UPDATE ON ledger_entry
    FOR EACH ROW EXECUTE FUNCTION ledger_entry_seal()""",
    """CREATE FUNCTION ledger_entry_finish() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM ledger_entry WHERE id = new.id AND NOT sealed) THEN
            RAISE EXCEPTION 'ledger: entry % was left unsealed', new.idem USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$""",
    """CREATE CONSTRAINT TRIGGER ledger_entry_finished AFTER INSERT ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_finish()""",
)

_SQLITE_RULES = (
    """CREATE TRIGGER posting_no_update BEFORE UPDATE ON posting
    BEGIN SELECT raise(ABORT, 'ledger: posting is append-only'); END""",
    """CREATE TRIGGER posting_no_delete BEFORE DELETE ON posting
    BEGIN SELECT raise(ABORT, 'ledger: posting is append-only'); END""",
    """CREATE TRIGGER ledger_entry_no_delete BEFORE DELETE ON ledger_entry
    BEGIN SELECT raise(ABORT, 'ledger: ledger_entry is append-only'); END""",
    """CREATE TRIGGER ledger_account_no_delete BEFORE DELETE ON ledger_account
    BEGIN SELECT raise(ABORT, 'ledger: ledger_account is append-only'); END""",
    """CREATE TRIGGER ledger_seal_no_insert BEFORE INSERT ON ledger_seal
    BEGIN SELECT raise(ABORT, 'ledger: ledger_seal is fixed'); END""",
    """CREATE TRIGGER ledger_seal_no_update BEFORE UPDATE ON ledger_seal
    BEGIN SELECT raise(ABORT, 'ledger: ledger_seal is fixed'); END""",
    """CREATE TRIGGER ledger_seal_no_delete BEFORE DELETE ON ledger_seal
    BEGIN SELECT raise(ABORT, 'ledger: ledger_seal is fixed'); END""",
    """CREATE TRIGGER ledger_account_begins_empty BEFORE INSERT ON ledger_account
    WHEN new.balance_micros <> 0 OR new.version <> 0
    BEGIN SELECT raise(ABORT, 'ledger: an account begins empty'); END""",
    """CREATE TRIGGER ledger_account_follows_postings BEFORE UPDATE ON ledger_account
    WHEN (new.id, new.code, new.kind, new.owner_id, new.floor_at_zero, new.cached, new.currency, new.created_at)
        IS NOT (old.id, old.code, old.kind, old.owner_id, old.floor_at_zero, old.cached, old.currency, old.created_at)
    OR new.version <> old.version + 1
    OR NOT EXISTS (
        SELECT 1 FROM posting WHERE account_id = new.id AND seq = new.version
        AND amount_micros = new.balance_micros - old.balance_micros AND balance_after_micros = new.balance_micros)
    BEGIN SELECT raise(ABORT, 'ledger: an account changes by postings only'); END""",
    """CREATE TRIGGER posting_needs_open_entry BEFORE INSERT ON posting
    WHEN NOT EXISTS (SELECT 1 FROM ledger_entry WHERE id = new.entry_id AND NOT sealed)
    BEGIN SELECT raise(ABORT, 'ledger: the entry is sealed or unknown'); END""",
    """CREATE TRIGGER posting_continues_account BEFORE INSERT ON posting
    WHEN NOT EXISTS (
        SELECT 1 FROM ledger_account WHERE id = new.account_id AND CASE WHEN new.seq IS NULL THEN NOT cached
        ELSE cached AND version = new.seq - 1 AND balance_micros = new.balance_after_micros - new.amount_micros END)
    BEGIN SELECT raise(ABORT, 'ledger: the posting does not continue its account'); END""",
    """CREATE TRIGGER posting_applied AFTER INSERT ON posting WHEN new.seq IS NOT NULL
    BEGIN
        UPDATE ledger_account SET balance_micros = new.balance_after_micros, version = new.seq
        WHERE id = new.account_id;
    END""",
    # Replacing a row would delete it without asking the triggers, unless the connection turned that on.
    """CREATE TRIGGER posting_no_replace BEFORE INSERT ON posting
    WHEN EXISTS (SELECT 1 FROM posting WHERE id = new.id
        OR (entry_id = new.entry_id AND account_id = new.account_id)
        OR (account_id = new.account_id AND seq = new.seq))
    BEGIN SELECT raise(ABORT, 'ledger: posting is append-only'); END""",
    """CREATE TRIGGER ledger_entry_begins_unsealed BEFORE INSERT ON ledger_entry WHEN new.sealed
    BEGIN SELECT raise(ABORT, 'ledger: an entry begins unsealed'); END""",
    """CREATE TRIGGER ledger_entry_sealed_once BEFORE UPDATE ON ledger_entry
    WHEN old.sealed OR NOT new.sealed
    OR (new.id, new.idem, new.digest, new.kind, new.ref, new.reverses, new.description, new.created_at)
        IS NOT (old.id, old.idem, old.digest, old.kind, old.ref, old.reverses, old.description, old.created_at)
    BEGIN SELECT raise(ABORT, 'ledger: an entry can only be sealed, once'); END""",
    """CREATE TRIGGER ledger_entry_balanced BEFORE UPDATE ON ledger_entry
    WHEN (SELECT count(*) < 2 OR sum(amount_micros) <> 0 FROM posting WHERE entry_id = new.id)
    BEGIN SELECT raise(ABORT, 'ledger: the postings of the entry do not balance'); END""",
)


def _tables(words: dict[str, str], *, account_options: str, options: str) -> tuple[str, ...]:
    return (
        f"CREATE TABLE ledger_account ({_ACCOUNT_COLUMNS.format(**words)}){account_options}",
        f"CREATE TABLE ledger_entry ({_ENTRY_COLUMNS.format(**words)}){options}",
        f"CREATE TABLE posting ({_POSTING_COLUMNS.format(**words)}){options}",
    )


MIGRATION = Migration(
    name="0001_ledger",
    postgres=(
        # Room on each page, so that a new balance stays beside the old one and the indexes need no change.
        *_tables(_POSTGRES_WORDS, account_options=" WITH (fillfactor = 70)", options=""),
        *_POSTGRES_RULES,
        _PLATFORM_ACCOUNTS.format(**_POSTGRES_WORDS),
    ),
    sqlite=(
        "CREATE TABLE ledger_seal (value INTEGER NOT NULL PRIMARY KEY CHECK (value = 1)) STRICT",
        "INSERT INTO ledger_seal (value) VALUES (1)",
        *_tables(_SQLITE_WORDS, account_options=" STRICT", options=" STRICT"),
        *_SQLITE_RULES,
        _PLATFORM_ACCOUNTS.format(**_SQLITE_WORDS),
    ),
)
