"""What a dispute is judged by: how often Stripe was asked, how long the histories were, under which charge refunds are.

`looks` counts the looks at Stripe, `version` only those that found something new. `wallet_seq` and `receivable_seq`
are how many postings the customer's two accounts had when the bank last took money: what was spent later was spent of
other money. For disputes of before they are taken from the times, which is near enough.
"""

from models.migrations import Migration

_SEQ_THEN = """
    coalesce((SELECT max(p.seq) FROM posting AS p JOIN ledger_entry AS e ON e.id = p.entry_id
        JOIN ledger_account AS a ON a.id = p.account_id JOIN checkout AS c ON c.customer_id = a.owner_id
        WHERE c.id = deposit_dispute.checkout_id AND a.kind = '{kind}'
        AND e.created_at <= deposit_dispute.updated_at), 0)
"""


def _statements(types: dict[str, str]) -> tuple[str, ...]:
    return (
        f"ALTER TABLE deposit_dispute ADD COLUMN looks {types['int']} NOT NULL DEFAULT 0",
        f"ALTER TABLE deposit_dispute ADD COLUMN wallet_seq {types['bigint']} NOT NULL DEFAULT 0",
        f"ALTER TABLE deposit_dispute ADD COLUMN receivable_seq {types['bigint']} NOT NULL DEFAULT 0",
        # The charge under whose name refunds of the deposit stand in the ledger.
        f"ALTER TABLE checkout ADD COLUMN refund_charge_id {types['text']}",
        f"""UPDATE deposit_dispute SET looks = version, wallet_seq = {_SEQ_THEN.format(kind="wallet")},
            receivable_seq = {_SEQ_THEN.format(kind="receivable")}""",  # noqa: S608 - put together from constants only
    )


MIGRATION = Migration(
    name="0015_disputes",
    postgres=_statements({"int": "integer", "bigint": "bigint", "text": "text"}),
    sqlite=_statements({"int": "INTEGER", "bigint": "INTEGER", "text": "TEXT"}),
)
