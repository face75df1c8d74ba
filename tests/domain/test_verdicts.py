"""Every case of a purchase beside its verdict, and words for each of them."""

from itertools import product
from typing import Any

import pytest

from gateway.domain.verdict_words import OPERATOR_WORDS, OWNER_WORDS
from gateway.domain.verdicts import (
    NEEDS_SOMEBODY,
    DisputeStanding,
    EventStanding,
    PurchaseFacts,
    SessionStanding,
    Verdict,
    customer_verdict,
    event_verdict,
    purchase_verdict,
)

PAID, OPEN, SILENT = SessionStanding.PAID, SessionStanding.OPEN, SessionStanding.SILENT
MISSING, BANK, DEAD, EXPIRED = (
    SessionStanding.MISSING,
    SessionStanding.BANK,
    SessionStanding.DEAD,
    SessionStanding.EXPIRED,
)
SETTLED: dict[str, Any] = {"settled": True, "amount_cents": 2500, "event": EventStanding.FINISHED}


@pytest.mark.parametrize(
    ("session", "more", "verdict"),
    [
        (OPEN, {}, Verdict.WAITING_FOR_PAYMENT),
        (BANK, {}, Verdict.BANK_WORKING),
        (DEAD, {}, Verdict.FAILED),
        (EXPIRED, {}, Verdict.EXPIRED),
        (SILENT, {}, Verdict.STRIPE_UNREACHABLE),
        (MISSING, {}, Verdict.PAGE_LOST),
        (PAID, {}, Verdict.EVENT_NEVER_ARRIVED),
        (PAID, {"event": EventStanding.WAITING}, Verdict.EVENT_WAITING),
        (PAID, {"event": EventStanding.DEAD}, Verdict.EVENT_DEAD),
        (PAID, {"event": EventStanding.FINISHED}, Verdict.PAID_NOT_APPLIED),
        (PAID, {"fits": False}, Verdict.MISMATCH),
        (PAID, SETTLED, Verdict.PAID_AND_APPLIED),
        (SILENT, SETTLED, Verdict.PAID_AND_APPLIED),
        (PAID, {**SETTLED, "booked": False}, Verdict.BOOKS_WRONG),
        (PAID, {**SETTLED, "plan_fits": False}, Verdict.PLAN_BEHIND),
        (PAID, {**SETTLED, "refunded_at_stripe_cents": 0}, Verdict.PAID_AND_APPLIED),
        (PAID, {**SETTLED, "refunded_at_stripe_cents": 500}, Verdict.REFUND_NOT_APPLIED),
        (PAID, {**SETTLED, "refunded_cents": 500, "refunded_at_stripe_cents": 500}, Verdict.PARTLY_REFUNDED),
        (PAID, {**SETTLED, "refunded_cents": 2500, "refunded_at_stripe_cents": 2500}, Verdict.REFUNDED),
        (SILENT, {**SETTLED, "refunded_cents": 2500}, Verdict.REFUNDED),
        (PAID, {**SETTLED, "dispute": DisputeStanding.OPEN}, Verdict.DISPUTED),
        (PAID, {**SETTLED, "dispute": DisputeStanding.LOST}, Verdict.DISPUTE_LOST),
        (PAID, {**SETTLED, "dispute": DisputeStanding.OVER, "disputed_at_stripe": True}, Verdict.PAID_AND_APPLIED),
        (PAID, {**SETTLED, "disputed_at_stripe": True}, Verdict.DISPUTE_NOT_APPLIED),
        (
            PAID,
            {**SETTLED, "dispute": DisputeStanding.OPEN, "dispute_event": EventStanding.DEAD},
            Verdict.DISPUTE_NOT_APPLIED,
        ),
        (PAID, {**SETTLED, "dispute": DisputeStanding.LOST, "dispute_event": EventStanding.DEAD}, Verdict.DISPUTE_LOST),
        (MISSING, {"refused": True, "page_made": False}, Verdict.REFUSED_BY_STRIPE),
        (MISSING, {"page_made": False}, Verdict.BEING_MADE),
        (MISSING, {"page_made": False, "closed": True}, Verdict.EXPIRED),
        (PAID, {"ours": False}, Verdict.NOT_OURS),
        (MISSING, {"ours": False}, Verdict.UNKNOWN),
        (SILENT, {"ours": False}, Verdict.STRIPE_UNREACHABLE),
        (SILENT, {"ours": False, "mode_fits": False}, Verdict.WRONG_MODE),
    ],
)
def test_each_case_has_its_verdict(session: SessionStanding, more: dict[str, Any], verdict: Verdict) -> None:
    assert purchase_verdict(PurchaseFacts(session=session, **more)) is verdict


def test_paid_and_not_settled_always_calls_for_somebody() -> None:
    for event, fits in product(EventStanding, (True, False)):
        assert purchase_verdict(PurchaseFacts(session=PAID, event=event, fits=fits)) in NEEDS_SOMEBODY


@pytest.mark.parametrize("session", SessionStanding)
def test_nothing_unsettled_is_ever_called_applied(session: SessionStanding) -> None:
    for event in EventStanding:
        assert purchase_verdict(PurchaseFacts(session=session, event=event)) is not Verdict.PAID_AND_APPLIED


def test_an_events_own_trouble_comes_first() -> None:
    applied = Verdict.PAID_AND_APPLIED
    assert event_verdict(EventStanding.DEAD, ignored=False, purchase=applied) is Verdict.EVENT_DEAD
    assert event_verdict(EventStanding.WAITING, ignored=False, purchase=applied) is Verdict.EVENT_WAITING
    assert event_verdict(EventStanding.FINISHED, ignored=False, purchase=applied) is applied
    assert event_verdict(EventStanding.FINISHED, ignored=True, purchase=None) is Verdict.EVENT_IGNORED
    assert event_verdict(EventStanding.FINISHED, ignored=False, purchase=None) is Verdict.EVENT_APPLIED


def test_a_customer_is_what_its_worst_purchase_is_then_its_plan() -> None:
    fine, bad = Verdict.PAID_AND_APPLIED, Verdict.EVENT_DEAD
    assert customer_verdict((fine, bad), plan_fits=False) is bad
    assert customer_verdict((fine, fine), plan_fits=False) is Verdict.PLAN_BEHIND
    assert customer_verdict((fine,), plan_fits=None) is Verdict.STRIPE_UNREACHABLE
    assert customer_verdict((Verdict.EXPIRED, fine), plan_fits=True) is Verdict.EXPIRED
    assert customer_verdict((), plan_fits=True) is Verdict.NO_PURCHASE
    assert customer_verdict((Verdict.EXPIRED, Verdict.DISPUTED), plan_fits=True) is Verdict.DISPUTED
    assert customer_verdict((Verdict.DISPUTED, bad), plan_fits=True) is bad


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_words_and_those_for_somebody_an_action(verdict: Verdict) -> None:
    words = OPERATOR_WORDS[verdict]

    assert words.message.endswith(".")
    assert verdict not in NEEDS_SOMEBODY or words.action is not None


def test_an_owner_is_told_of_every_verdict_a_made_session_can_have() -> None:
    flags = (True, False)
    for session, mode_fits, settled, fits, booked, plan_fits, event, dispute, disputed, refunded in product(
        SessionStanding, flags, flags, flags, flags, flags, EventStanding, DisputeStanding, flags, (0, 1, 2500)
    ):
        facts = PurchaseFacts(
            session=session,
            mode_fits=mode_fits,
            settled=settled,
            fits=fits,
            booked=booked,
            plan_fits=plan_fits,
            event=event,
            dispute=dispute,
            disputed_at_stripe=disputed,
            amount_cents=2500,
            refunded_cents=refunded,
        )
        assert purchase_verdict(facts) in OWNER_WORDS
    assert purchase_verdict(PurchaseFacts(session=MISSING, mode_fits=False)) in OWNER_WORDS


def test_owners_are_told_no_command_and_no_event() -> None:
    for words in OWNER_WORDS.values():
        assert "gateway " not in f"{words.message} {words.action}"
        assert "event" not in f"{words.message} {words.action}".lower()
