"""What a difference is called, and what belongs together."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.balance_entries import bank_draft, fee_draft, subscription_draft
from gateway.domain.reconciliation import (
    TIMING_ALLOWANCE,
    DifferenceKind,
    Part,
    Sides,
    day_bounds,
    fee_of,
    judge,
    subject_of_entry,
)
from gateway.domain.transfer_check import PayoutFacts, TransferFacts, judge_transfer

NOW = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
OLD, YOUNG = NOW - TIMING_ALLOWANCE, NOW - TIMING_ALLOWANCE + timedelta(seconds=1)


def part(cents: int, at: datetime = OLD, type: str = "charge") -> Part:
    return Part(cents * 10_000, at, type)


@pytest.mark.parametrize(
    ("theirs", "ours", "kind"),
    [
        ([], [], None),
        ([500], [500], None),
        ([300, 200], [500], None),
        ([500, -500], [], None),
        ([500], [], DifferenceKind.MISSING_HERE),
        ([], [500], DifferenceKind.MISSING_THERE),
        ([500], [499], DifferenceKind.AMOUNT),
        ([500, -500], [500], DifferenceKind.AMOUNT),
    ],
)
def test_two_sides_are_compared_by_their_sums(theirs: list[int], ours: list[int], kind: DifferenceKind | None) -> None:
    found = judge(Sides("dep:cs_1", tuple(map(part, theirs)), tuple(map(part, ours))), now=NOW)

    assert (found and found.kind) == kind
    if found is not None:
        assert (found.theirs_micros, found.ours_micros) == (sum(theirs) * 10_000, sum(ours) * 10_000)
        assert found.is_open


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ((part(500, YOUNG),), ()),
        ((), (part(500, YOUNG),)),
        ((part(500), part(-200, YOUNG)), (part(500),)),
        ((part(500),), (part(500), part(-200, YOUNG))),
    ],
)
def test_what_only_one_side_has_yet_is_timing(theirs: tuple[Part, ...], ours: tuple[Part, ...]) -> None:
    found = judge(Sides("ref:ch_1", theirs, ours), now=NOW)

    assert found is not None
    assert (found.kind, found.is_open) == (DifferenceKind.TIMING, False)


def test_two_sums_that_differ_are_no_matter_of_time() -> None:
    found = judge(Sides("dep:cs_1", (part(500, YOUNG),), (part(499, YOUNG),)), now=NOW)

    assert found is not None
    assert found.kind is DifferenceKind.AMOUNT
    assert found.sentence == "Stripe has $5.00 of the deposit cs_1, the ledger $4.99."


@pytest.mark.parametrize(
    ("type", "at", "kind"),
    [
        ("topup", YOUNG, DifferenceKind.UNKNOWN_TYPE),
        ("adjustment", OLD, DifferenceKind.UNKNOWN_TYPE),
        ("charge in eur", OLD, DifferenceKind.UNKNOWN_TYPE),
        ("charge", OLD, DifferenceKind.MISSING_HERE),
        ("refund", YOUNG, DifferenceKind.TIMING),
    ],
)
def test_a_line_of_nobody_is_reported_and_never_guessed(type: str, at: datetime, kind: DifferenceKind) -> None:
    found = judge(Sides("txn:txn_1", (part(100, at, type),)), now=NOW)

    assert found is not None
    assert found.kind is kind


def test_a_line_of_nothing_is_no_difference() -> None:
    assert judge(Sides("txn:txn_1", (part(0, OLD, "topup"),)), now=NOW) is None
    assert judge(Sides("txn:txn_1"), now=NOW) is None


@pytest.mark.parametrize(
    ("idem", "ref", "subject"),
    [
        ("dep:cs_1", "cs_1", "dep:cs_1"),
        ("ref:ch_1:2", "ch_1", "ref:ch_1"),
        ("dp:du_1:1", "du_1", "dp:du_1"),
        ("po:1234:end", "tr_1", "tr:tr_1"),
        ("po:1234:late", "tr_1", "tr:tr_1"),
        ("po:1234:rev:trr_1", "trr_1", "trr:trr_1"),
        ("fee:txn_1", "txn_1", "fee:txn_1"),
        ("sub:txn_1", "txn_1", "sub:txn_1"),
        ("bank:txn_1", "txn_1", "bank:txn_1"),
        ("adj:1", None, "entry:adj:1"),
        ("ref:ch_1:2", None, "entry:ref:ch_1:2"),
    ],
)
def test_an_entry_is_compared_with_what_it_is_about(idem: str, ref: str | None, subject: str) -> None:
    assert subject_of_entry(idem=idem, ref=ref) == subject


def test_a_fee_is_the_lines_own_or_the_line_itself() -> None:
    assert fee_of(type="charge", amount_cents=1_000, fee_cents=59) == 59
    assert fee_of(type="stripe_fee", amount_cents=-200, fee_cents=0) == 200


def test_entries_of_lines_say_what_stripes_balance_changed_by() -> None:
    drafts = [
        fee_draft(line_id="txn_1", fee_cents=59),
        subscription_draft(line_id="txn_1", amount_cents=2_900),
        bank_draft(line_id="txn_1", amount_cents=-5_000),
    ]

    amounts = [{line.account.code: line.amount_micros for line in draft.lines} for draft in drafts]

    assert amounts == [
        {"stripe": 590_000, "stripe_fees": -590_000},
        {"stripe": -29_000_000, "subscriptions": 29_000_000},
        {"stripe": 50_000_000, "bank": -50_000_000},
    ]


def test_a_day_is_a_utc_day() -> None:
    since, before = day_bounds(datetime(2026, 12, 31, tzinfo=UTC).date())

    assert (since.isoformat(), before.isoformat()) == ("2026-12-31T00:00:00+00:00", "2027-01-01T00:00:00+00:00")


def transfer(
    *, cents: int = 500, reversed_cents: int = 0, to: str = "acct_1", named: str | None = "p1", at: datetime = OLD
) -> TransferFacts:
    return TransferFacts("tr_1", cents, reversed_cents, to, named, at)


def payout(*, transfer_id: str | None = "tr_1") -> PayoutFacts:
    return PayoutFacts("p1", 500, "acct_1", transfer_id)


@pytest.mark.parametrize(
    ("made", "asked_for", "kind"),
    [
        (transfer(), payout(), None),
        (transfer(named=None), None, DifferenceKind.MISSING_HERE),
        (transfer(at=YOUNG), None, DifferenceKind.MISSING_HERE),
        (transfer(), payout(transfer_id="tr_0"), DifferenceKind.MISSING_HERE),
        (transfer(at=YOUNG), payout(transfer_id="tr_0"), DifferenceKind.MISSING_HERE),
        (transfer(), payout(transfer_id=None), DifferenceKind.MISSING_HERE),
        (transfer(at=YOUNG), payout(transfer_id=None), DifferenceKind.TIMING),
        (transfer(cents=501), payout(), DifferenceKind.AMOUNT),
        (transfer(to="acct_2"), payout(), DifferenceKind.ACCOUNT),
    ],
)
def test_a_transfer_is_the_one_its_payout_asked_for(
    made: TransferFacts, asked_for: PayoutFacts | None, kind: DifferenceKind | None
) -> None:
    found = judge_transfer(made, asked_for, now=NOW)

    assert (found and found.kind) == kind
