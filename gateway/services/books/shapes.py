"""The closed list of what entries there can be: the kind, the name, and what each may take from and give to.

An entry that balances, is sealed and has its digest can still be made up: money out of one wallet into another. This
list follows the code that makes entries (docs/ledger.md has the same in words). Who makes another kind of entry, or
posts one to another account, adds it here; a test holds every maker to the list.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from uuid import UUID

from gateway.domain.ledger import PLATFORM_KINDS, AccountKind, EntryKind

_STRIPE: Final = frozenset({AccountKind.STRIPE})
_BANK: Final = frozenset({AccountKind.BANK})
_FEES: Final = frozenset({AccountKind.FEES})
_SUBSCRIPTIONS: Final = frozenset({AccountKind.SUBSCRIPTIONS})
_STRIPE_FEES: Final = frozenset({AccountKind.STRIPE_FEES})
_BAD_DEBT: Final = frozenset({AccountKind.BAD_DEBT})
_WALLET: Final = frozenset({AccountKind.WALLET})
_RECEIVABLE: Final = frozenset({AccountKind.RECEIVABLE})
_PENDING: Final = frozenset({AccountKind.EARN_PENDING})
_AVAILABLE: Final = frozenset({AccountKind.EARN_AVAILABLE})
_HELD: Final = frozenset({AccountKind.EARN_HELD})
_TRANSIT: Final = frozenset({AccountKind.TRANSIT})

#: Whose accounts are a customer's, and whose a creator's; each entry is about one of either at most.
CUSTOMER_KINDS: Final = _WALLET | _RECEIVABLE
CREATOR_KINDS: Final = _PENDING | _AVAILABLE | _HELD | _TRANSIT
#: Whose balances a person corrects only against the bank, where somebody sees the money (docs/books.md).
_CORRECTED: Final = _WALLET | _AVAILABLE

#: What stands in the names of entries for what the entry itself says, or for what only has to look right.
_PARTS: Final = {
    "customer": r"(?P<customer>[0-9a-f-]{36})",
    "creator": r"(?P<creator>[0-9a-f-]{36})",
    "reverses": r"(?P<reverses>[0-9a-f-]{36})",
    "ref": r"(?P<ref>.+)",
    "turn": r"(?P<turn>[1-9][0-9]{0,8})",
    "id": r"[0-9a-f-]{36}",
    "any": r".+",
}


@dataclass(frozen=True, slots=True)
class EntryLine:
    """What an entry does to an account of a kind, and whose account that is."""

    kind: str
    owner_id: UUID | None
    amount_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFacts:
    """An entry as it stands in the ledger."""

    idem: str
    kind: str
    ref: str | None
    reverses: UUID | None
    lines: Sequence[EntryLine]

    def owner_of(self, kinds: frozenset[AccountKind]) -> UUID | None:
        """Whose accounts of these kinds the entry touches; None when it touches none, or those of several."""
        owners = {line.owner_id for line in self.lines if line.kind in kinds}
        return owners.pop() if len(owners) == 1 else None

    def touched(self, *, sign: int) -> frozenset[str]:
        return frozenset(line.kind for line in self.lines if line.amount_micros * sign > 0)


@dataclass(frozen=True)
class Shape:
    """Entries of one kind: how they are named, which accounts may get less by them, and which more."""

    kind: EntryKind
    idem: str
    takes: frozenset[AccountKind]
    gives: frozenset[AccountKind]

    @cached_property
    def _name(self) -> re.Pattern[str]:
        return re.compile(self.idem.format(**_PARTS))

    def turn_of(self, entry: EntryFacts) -> int | None:
        """None when the entry is not of this shape; else its number among those about the same thing, or 0."""
        if entry.kind != self.kind or not self._fits_accounts(entry):
            return None
        name = self._name.fullmatch(entry.idem)
        if name is None or ("{reverses}" in self.idem) != (entry.reverses is not None):
            return None
        said = {
            "customer": entry.owner_of(CUSTOMER_KINDS),
            "creator": entry.owner_of(CREATOR_KINDS),
            "reverses": entry.reverses,
            "ref": entry.ref,
        }
        named = name.groupdict()
        turn = int(named.pop("turn", None) or 0)
        return turn if all(str(said[part]) == value for part, value in named.items()) else None

    def _fits_accounts(self, entry: EntryFacts) -> bool:
        return entry.touched(sign=-1) <= self.takes and entry.touched(sign=1) <= self.gives


def _follows_a_line(kind: EntryKind, idem: str, account: frozenset[AccountKind]) -> tuple[Shape, Shape]:
    """What Stripe's balance changed by, in either direction."""
    return Shape(kind, idem, _STRIPE, account), Shape(kind, idem, account, _STRIPE)


SHAPES: Final = (
    Shape(EntryKind.DEPOSIT, "dep:{ref}", _STRIPE, _WALLET),
    # A call earns pending money, or held money where creators call their own tools; never both.
    Shape(EntryKind.TOOL_CALL, "call:{customer}:{any}", _WALLET, _PENDING | _FEES),
    Shape(EntryKind.TOOL_CALL, "call:{customer}:{any}", _WALLET, _HELD | _FEES),
    Shape(EntryKind.RELEASE, "rel:{creator}:{id}", _PENDING, _AVAILABLE),
    *(Shape(EntryKind.REVERSAL, "rev:{reverses}", net | _FEES, _WALLET) for net in (_PENDING, _AVAILABLE, _HELD)),
    Shape(EntryKind.REFUND, "ref:{ref}:{turn}", _WALLET | _RECEIVABLE, _STRIPE),
    Shape(EntryKind.REFUND, "ref:{ref}:{turn}", _STRIPE, _WALLET | _RECEIVABLE),
    Shape(EntryKind.DISPUTE, "dp:{ref}:{turn}", _WALLET | _RECEIVABLE, _STRIPE),
    Shape(EntryKind.DISPUTE_REVERSAL, "dp:{ref}:{turn}", _STRIPE, _WALLET | _RECEIVABLE | _BAD_DEBT),
    Shape(EntryKind.BAD_DEBT, "dp:{ref}:{turn}:lost", _BAD_DEBT, _RECEIVABLE),
    Shape(EntryKind.BAD_DEBT, "dp:{ref}:{turn}:revived", _RECEIVABLE, _BAD_DEBT),
    # What a dispute does to the nets of charges: frozen or lost, and back again.
    Shape(EntryKind.DISPUTE, "fz:{creator}:{id}", _PENDING | _AVAILABLE | _HELD, _HELD | _BAD_DEBT),
    Shape(EntryKind.DISPUTE_REVERSAL, "fz:{creator}:{id}", _HELD | _BAD_DEBT, _PENDING | _AVAILABLE | _HELD),
    Shape(EntryKind.ADJUSTMENT, "cov:{ref}", _WALLET, _RECEIVABLE),
    Shape(EntryKind.PAYOUT, "po:{ref}", _AVAILABLE, _TRANSIT),
    Shape(EntryKind.PAYOUT_CONFIRMED, "po:{id}:end", _TRANSIT, _STRIPE),
    Shape(EntryKind.PAYOUT_CONFIRMED, "po:{id}:late", _AVAILABLE, _STRIPE),
    Shape(EntryKind.PAYOUT_RETURNED, "po:{ref}:end", _TRANSIT, _AVAILABLE),
    Shape(EntryKind.PAYOUT_RETURNED, "po:{id}:rev:{ref}", _STRIPE, _AVAILABLE),
    *_follows_a_line(EntryKind.STRIPE_FEE, "fee:{ref}", _STRIPE_FEES),
    *_follows_a_line(EntryKind.SUBSCRIPTION, "sub:{ref}", _SUBSCRIPTIONS),
    *_follows_a_line(EntryKind.BANK_TRANSFER, "bank:{ref}", _BANK),
    # Corrections booked by hand.
    Shape(EntryKind.ADJUSTMENT, "adj:{any}", PLATFORM_KINDS, PLATFORM_KINDS),
    Shape(EntryKind.ADJUSTMENT, "adj:{any}", _BANK, _CORRECTED),
    Shape(EntryKind.ADJUSTMENT, "adj:{any}", _CORRECTED, _BANK),
)
_OF_KIND: Final = {kind.value: tuple(shape for shape in SHAPES if shape.kind is kind) for kind in EntryKind}


def shape_of(entry: EntryFacts) -> tuple[Shape, int] | None:
    """The shape an entry has, and its number among the entries about the same thing; None when it has none."""
    kinds = [line.kind for line in entry.lines]
    owners = (CUSTOMER_KINDS, CREATOR_KINDS)
    is_of_one = all(len({line.owner_id for line in entry.lines if line.kind in one}) <= 1 for one in owners)
    if len(set(kinds)) != len(kinds) or not is_of_one:
        return None
    for shape in _OF_KIND.get(entry.kind, ()):
        turn = shape.turn_of(entry)
        if turn is not None:
            return shape, turn
    return None
