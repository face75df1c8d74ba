"""`wallet`: the prepaid balance and what moved it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import strawberry

from gateway.domain.ledger import EntryKind
from gateway.services.billing import BillingRules
from gateway.services.snapshot import EntryPage, EntryRow, PageNeed, Snapshot
from resolvers.connections import PAGE_ROWS_DEFAULT, PageInfo, encode_cursor, page_info, page_need
from resolvers.context import Info
from resolvers.enums import publish_enum
from resolvers.money import Money, money_of_cents, money_of_micros


class WalletEntryKind(StrEnum):
    DEPOSIT = "DEPOSIT"
    TOOL_CALL = "TOOL_CALL"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    DISPUTE_REVERSAL = "DISPUTE_REVERSAL"
    ADJUSTMENT = "ADJUSTMENT"


publish_enum(
    WalletEntryKind,
    description="Why the balance changed.",
    values={
        WalletEntryKind.DEPOSIT: "Money was paid in.",
        WalletEntryKind.TOOL_CALL: "A paid call of a tool.",
        WalletEntryKind.REFUND: "Money went back: a call was taken back into the wallet, or a deposit to the card.",
        WalletEntryKind.DISPUTE: "The bank contested a deposit and withdrew it.",
        WalletEntryKind.DISPUTE_REVERSAL: "What a contested deposit had cost came back.",
        WalletEntryKind.ADJUSTMENT: "Money that covered what was owed, or a correction made by hand.",
    },
)


#: The ledger's words for what touches a wallet, in the customer's.
_KINDS: Final[Mapping[str, WalletEntryKind]] = {
    EntryKind.DEPOSIT: WalletEntryKind.DEPOSIT,
    EntryKind.TOOL_CALL: WalletEntryKind.TOOL_CALL,
    EntryKind.REVERSAL: WalletEntryKind.REFUND,
    EntryKind.REFUND: WalletEntryKind.REFUND,
    EntryKind.DISPUTE: WalletEntryKind.DISPUTE,
    EntryKind.DISPUTE_REVERSAL: WalletEntryKind.DISPUTE_REVERSAL,
}


@strawberry.type(description="One change of the balance; never altered, a mistake is followed by another entry.")
class WalletEntry:
    id: strawberry.ID = strawberry.field(description="The ledger's id of the event.")
    kind: WalletEntryKind = strawberry.field(description="Why the balance changed.")
    amount: Money = strawberry.field(description="Signed: a debit is negative.")
    balance_after: Money = strawberry.field(description="The balance right after this entry.")
    description: str = strawberry.field(description="What it was, in a few words.")
    created_at: datetime = strawberry.field(description="When it was recorded.")


@strawberry.type(description="An entry in its list.")
class WalletEntryEdge:
    cursor: str = strawberry.field(description="Names this row; pass it as `after`.")
    node: WalletEntry = strawberry.field(description="The entry.")


@strawberry.type(description="A page of entries, newest first.")
class WalletEntryConnection:
    edges: list[WalletEntryEdge] = strawberry.field(description="The rows of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


_First = Annotated[int, strawberry.argument(description="Rows of the page, 1 to 100.")]
_After = Annotated[str | None, strawberry.argument(description="The endCursor of the page before.")]


@strawberry.type(description="A customer's prepaid balance; paid tool calls are debited from it.")
class Wallet:
    id: strawberry.ID = strawberry.field(description="Stays the same for this customer.")
    balance: Money = strawberry.field(description="What can be spent now.")
    owed: Money = strawberry.field(
        description="Owed for a deposit that was taken back after it was spent; deposits cover it first."
    )
    deposit_minimum: Money = strawberry.field(description="The least that can be deposited at once.")
    deposit_maximum: Money = strawberry.field(description="The most that can be deposited at once.")
    pages: strawberry.Private[Mapping[PageNeed, EntryPage]]

    @strawberry.field(description="What moved the balance, newest first; keyset cursors; first is at most 100.")
    def entries(self, first: _First = PAGE_ROWS_DEFAULT, after: _After = None) -> WalletEntryConnection:
        return _connection(self.pages, page_need(first, after))


def wallet_type(snapshot: Snapshot, rules: BillingRules) -> Wallet:
    return Wallet(
        id=strawberry.ID(str(snapshot.customer_id)),
        balance=money_of_micros(snapshot.wallet_micros),
        owed=money_of_micros(snapshot.owed_micros),
        deposit_minimum=money_of_cents(rules.deposit_minimum_cents),
        deposit_maximum=money_of_cents(rules.deposit_maximum_cents),
        pages=snapshot.entries,
    )


def resolve_wallet(info: Info) -> Wallet | None:
    return wallet_type(info.context.snapshot, info.context.billing.rules)


def _connection(pages: Mapping[PageNeed, EntryPage], need: PageNeed) -> WalletEntryConnection:
    page = pages[need]
    edges = [WalletEntryEdge(cursor=encode_cursor(row.seq), node=_entry_type(row)) for row in page.rows]
    return WalletEntryConnection(
        edges=edges,
        page_info=page_info(
            [edge.cursor for edge in edges], has_older=page.has_older, has_newer=need.before_seq is not None
        ),
    )


def _entry_type(row: EntryRow) -> WalletEntry:
    return WalletEntry(
        id=strawberry.ID(row.entry_id),
        kind=_KINDS.get(row.kind, WalletEntryKind.ADJUSTMENT),
        amount=money_of_micros(row.amount_micros),
        balance_after=money_of_micros(row.balance_after_micros),
        description=row.description,
        created_at=row.created_at,
    )
