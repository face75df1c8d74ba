"""The audit of payouts: every row has its entries, every entry its row, and what is being sent is what is reserved."""

from collections.abc import Iterator
from typing import Final

from gateway.db import Row
from gateway.db.rows import identifier, integer, text_or_none
from gateway.domain.money import cents_to_micros
from gateway.domain.payouts import UNDER_WAY, PayoutMoney, PayoutState
from gateway.services.books.walk import CREATORS_AT_ONCE_MAX, Check
from gateway.services.ledger import Fault

_PAYOUTS: Final = """
    SELECT p.id, p.creator_id, p.amount_cents, p.state, p.transfer_id, p.returned_cents, r.digest AS reserve_digest,
        e.digest AS end_digest, l.digest AS late_digest,
        (SELECT coalesce(sum(t.amount_cents), 0) FROM transfer_reversal AS t WHERE t.payout_id = p.id)
            AS reversed_cents,
        (SELECT coalesce(sum(o.amount_micros), 0) FROM transfer_reversal AS t
            JOIN ledger_entry AS v ON v.idem = 'po:' || p.id || ':rev:' || t.id
            JOIN posting AS o ON o.entry_id = v.id JOIN ledger_account AS a ON a.id = o.account_id
            WHERE t.payout_id = p.id AND a.owner_id = p.creator_id AND a.kind = 'earn_available') AS given_back_micros
    FROM (SELECT * FROM payout WHERE id > $1 ORDER BY id LIMIT $2) AS p
    LEFT JOIN ledger_entry AS r ON r.idem = 'po:' || p.id
    LEFT JOIN ledger_entry AS e ON e.idem = 'po:' || p.id || ':end'
    LEFT JOIN ledger_entry AS l ON l.idem = 'po:' || p.id || ':late'
    ORDER BY p.id"""

_TRANSIT: Final = """
    SELECT a.id, a.code, a.balance_micros,
        (SELECT coalesce(sum(p.amount_cents), 0) FROM payout AS p
            WHERE p.creator_id = a.owner_id AND p.state IN ('requested', 'processing', 'unknown')) AS under_way_cents
    FROM (SELECT * FROM ledger_account WHERE id > $1 AND kind = 'transit' ORDER BY id LIMIT $2) AS a
    ORDER BY a.id"""

_PAID_OUT: Final = """
    SELECT a.id, a.code,
        (SELECT coalesce(sum(o.amount_micros), 0) FROM posting AS o JOIN ledger_entry AS e ON e.id = o.entry_id
            WHERE o.account_id = a.id AND e.kind IN ('payout', 'payout_confirmed', 'payout_returned'))
            AS booked_micros,
        (SELECT coalesce(sum(p.returned_cents - p.amount_cents), 0) FROM payout AS p
            WHERE p.creator_id = a.owner_id AND p.state <> 'canceled'
            AND (p.state <> 'failed' OR p.transfer_id IS NOT NULL)) AS paid_cents
    FROM (SELECT * FROM ledger_account WHERE id > $1 AND kind = 'earn_available' ORDER BY id LIMIT $2) AS a
    ORDER BY a.id"""


def _judge_payout(row: Row) -> Iterator[Fault]:
    payout_id, state = str(row["id"]), PayoutState(str(row["state"]))
    money = PayoutMoney(identifier(row, "id"), identifier(row, "creator_id"), integer(row, "amount_cents"))
    if row["reserve_digest"] != money.reserved().digest:
        yield Fault("payout-reserve", payout_id, "The money was not reserved, or not as the payout says.")
    transfer_id, late = text_or_none(row, "transfer_id"), row["late_digest"]
    end = None
    if state not in UNDER_WAY:
        sent = transfer_id is not None and late is None
        end = money.confirmed(transfer_id or "").digest if sent else money.given_back().digest
    if row["end_digest"] != end:
        yield Fault("payout-end", payout_id, f"The payout is {state}, which its last entry in the ledger denies.")
    if late is not None and (transfer_id is None or late != money.confirmed_late(transfer_id).digest):
        yield Fault("payout-late", payout_id, "The entry of its late transfer is not what the payout says.")
    returned, reversed_cents = integer(row, "returned_cents"), integer(row, "reversed_cents")
    given_back = integer(row, "given_back_micros")
    if not cents_to_micros(returned) == cents_to_micros(reversed_cents) == given_back:
        yield Fault(
            "payout-returned",
            payout_id,
            f"{returned} cents came back; its reversals come to {reversed_cents}, and {given_back} was given back.",
        )


def _judge_transit(row: Row) -> Iterator[Fault]:
    balance, under_way = integer(row, "balance_micros"), cents_to_micros(integer(row, "under_way_cents"))
    if balance != under_way:
        yield Fault("transit-payout", str(row["code"]), f"It holds {balance}; what is being sent is {under_way}.")


def _judge_paid_out(row: Row) -> Iterator[Fault]:
    booked, paid = integer(row, "booked_micros"), cents_to_micros(integer(row, "paid_cents"))
    if booked != paid:
        yield Fault("paid-out", str(row["code"]), f"Payouts moved it by {booked}; those there are come to {paid}.")


PAYOUT_CHECKS: Final = (
    Check(
        name="payouts",
        rule="Every payout was reserved, ended as it says, and what came back of it was given back",
        sql=_PAYOUTS,
        judge=_judge_payout,
    ),
    Check(
        name="transit",
        rule="What is being sent to a creator is the amount of its payout under way",
        sql=_TRANSIT,
        judge=_judge_transit,
    ),
    Check(
        name="paid-out",
        rule="Payouts in the ledger have the rows they are about",
        sql=_PAID_OUT,
        judge=_judge_paid_out,
        at_once=CREATORS_AT_ONCE_MAX,
    ),
)
