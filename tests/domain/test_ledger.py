"""Accounts, drafts and digests, without a database."""

from dataclasses import replace
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.ledger import (
    BAD_DEBT,
    FEES,
    IDEM_CHARACTERS_MAX,
    PLATFORM_KINDS,
    STRIPE,
    TEXT_CHARACTERS_MAX,
    Account,
    AccountKind,
    EntryDraft,
    EntryKind,
    FloorBroken,
    Line,
    MalformedEntry,
    deposit_draft,
    wallet,
)
from gateway.domain.money import AMOUNT_MICROS_MAX

ANN = UUID("01900000-0000-7000-8000-00000000000a")
BOB = UUID("01900000-0000-7000-8000-00000000000b")
OWNED_KINDS = sorted(set(AccountKind) - PLATFORM_KINDS)

DRAFT = EntryDraft(
    idem="dep:cs_1",
    kind=EntryKind.DEPOSIT,
    lines=(Line(STRIPE, -5), Line(wallet(ANN), 5)),
    ref="cs_1",
    description="Hi",
)

amounts = st.integers(-AMOUNT_MICROS_MAX // 20, AMOUNT_MICROS_MAX // 20).filter(bool)
accounts = st.sampled_from([Account(kind, owner) for kind in OWNED_KINDS for owner in (ANN, BOB)] + [FEES, BAD_DEBT])


@st.composite
def balanced_lines(draw: st.DrawFn) -> tuple[Line, ...]:
    touched = draw(st.lists(accounts, min_size=1, max_size=6, unique=True))
    lines = [Line(account, draw(amounts)) for account in touched]
    total = sum(line.amount_micros for line in lines)
    return (*lines, Line(STRIPE, -total)) if total else (*lines, Line(STRIPE, 1), Line(Account(AccountKind.BANK), -1))


@pytest.mark.parametrize("kind", OWNED_KINDS)
def test_account_of_somebody_is_named_after_its_owner(kind: AccountKind) -> None:
    account = Account(kind, ANN)
    assert account.code == f"{kind.value}:{ANN}"
    assert account.cached


@pytest.mark.parametrize("kind", sorted(PLATFORM_KINDS))
def test_account_of_the_platform_is_derived_and_bottomless(kind: AccountKind) -> None:
    account = Account(kind)
    assert (account.code, account.cached, account.floor_at_zero) == (kind.value, False, False)


def test_floors_are_where_money_cannot_be_owed() -> None:
    bottomless = {kind for kind in OWNED_KINDS if not Account(kind, ANN).floor_at_zero}
    assert bottomless == {AccountKind.RECEIVABLE, AccountKind.EARN_AVAILABLE}


def test_account_id_follows_from_the_code_for_ever() -> None:
    assert wallet(ANN).id == UUID("b6ec59e0-2bce-505f-958e-4746286dc251")
    assert STRIPE.id == UUID("94c70986-5dde-54cc-96d4-8573da092c14")


def test_accounts_are_equal_by_what_they_name() -> None:
    assert wallet(ANN) == Account(AccountKind.WALLET, UUID(str(ANN)))
    assert len({wallet(ANN), wallet(BOB), Account(AccountKind.EARN_HELD, ANN), wallet(ANN)}) == 3


@pytest.mark.parametrize(("kind", "owner"), [(AccountKind.WALLET, None), (AccountKind.STRIPE, ANN)])
def test_owner_and_kind_must_fit(kind: AccountKind, owner: UUID | None) -> None:
    with pytest.raises(MalformedEntry, match="has no owner"):
        Account(kind, owner)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (Line(STRIPE, -5),),
        (Line(STRIPE, -5), Line(STRIPE, 5)),
        (Line(STRIPE, -5), Line(wallet(ANN), 4)),
        (Line(STRIPE, 0), Line(wallet(ANN), 0)),
        (Line(STRIPE, -5), Line(wallet(ANN), 5), Line(FEES, 0)),
        (Line(STRIPE, -AMOUNT_MICROS_MAX - 1), Line(wallet(ANN), AMOUNT_MICROS_MAX + 1)),
        (Line(STRIPE, -1.0), Line(wallet(ANN), 1.0)),  # pyright: ignore[reportArgumentType] - the point of the case
        (Line(STRIPE, -True), Line(wallet(ANN), True)),
    ],
)
def test_entry_that_cannot_balance_is_malformed(lines: tuple[Line, ...]) -> None:
    with pytest.raises(MalformedEntry):
        replace(DRAFT, lines=lines)


@pytest.mark.parametrize(
    "idem",
    [
        "",
        "dep",
        "dep:",
        ":cs_1",
        "DEP:cs_1",
        "dep:cs 1",
        "dep:cs_1\n",
        "dep:é",
        "dep:\x00",
        "d:" + "x" * IDEM_CHARACTERS_MAX,
    ],
)
def test_idem_is_an_event_and_its_id(idem: str) -> None:
    with pytest.raises(MalformedEntry, match="idem is"):
        replace(DRAFT, idem=idem)


@pytest.mark.parametrize("text", ["a\x00b", "line\nbreak", "\ud800", "x" * (TEXT_CHARACTERS_MAX + 1)])
def test_texts_are_short_and_printable(text: str) -> None:
    with pytest.raises(MalformedEntry, match="printable"):
        replace(DRAFT, description=text)
    with pytest.raises(MalformedEntry, match="printable"):
        replace(DRAFT, ref=text)


@pytest.mark.parametrize("amount_micros", [0, -1])
def test_deposit_only_adds(amount_micros: int) -> None:
    with pytest.raises(MalformedEntry, match="adds to the wallet"):
        deposit_draft(customer_id=ANN, session_id="cs_1", amount_micros=amount_micros)


def test_deposit_moves_from_stripe_to_the_wallet() -> None:
    draft = deposit_draft(customer_id=ANN, session_id="cs_1", amount_micros=25_000_000)
    assert draft.idem == "dep:cs_1"
    assert draft.lines == (Line(STRIPE, -25_000_000), Line(wallet(ANN), 25_000_000))


@given(balanced_lines())
def test_every_balanced_entry_can_be_drafted(lines: tuple[Line, ...]) -> None:
    assert sum(line.amount_micros for line in replace(DRAFT, lines=lines).lines) == 0


@given(balanced_lines(), st.randoms(use_true_random=False))
def test_digest_does_not_depend_on_the_order_of_the_lines(lines: tuple[Line, ...], random: Random) -> None:
    shuffled = list(lines)
    random.shuffle(shuffled)
    assert replace(DRAFT, lines=tuple(shuffled)).digest == replace(DRAFT, lines=lines).digest


@given(balanced_lines(), balanced_lines())
def test_digest_tells_contents_apart(first: tuple[Line, ...], second: tuple[Line, ...]) -> None:
    same = replace(DRAFT, lines=first).digest == replace(DRAFT, lines=second).digest
    assert same == (set(first) == set(second))


def test_digest_covers_what_is_asked_for_but_not_its_wording() -> None:
    assert replace(DRAFT, description="Other words").digest == DRAFT.digest
    others = [
        replace(DRAFT, ref="cs_2"),
        replace(DRAFT, ref=None),
        replace(DRAFT, kind=EntryKind.ADJUSTMENT),
        replace(DRAFT, reverses=ANN),
        replace(DRAFT, lines=(Line(STRIPE, -5), Line(wallet(BOB), 5))),
    ]
    assert len({DRAFT.digest, *(other.digest for other in others)}) == 1 + len(others)


def test_digest_is_the_same_in_every_release() -> None:
    assert DRAFT.digest == "723ddbe69c4f71d81fd92102a8365c9f31c9dae3d959427401af490cc37d2ddd"


def test_broken_floor_says_what_is_there_and_what_is_needed() -> None:
    refusal = FloorBroken(wallet(ANN), balance_micros=2_500, required_micros=10_000)
    assert str(refusal) == f"wallet:{ANN} holds $0.0025 and the entry takes $0.01."
