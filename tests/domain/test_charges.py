"""What a call becomes in the ledger."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.charges import Call, ChargeState, Listing, available, charge_draft, earned_account, held, pending
from gateway.domain.ledger import BAD_DEBT, FEES, IDEM_CHARACTERS_MAX, EntryKind, wallet
from gateway.domain.tools import (
    BPS_WHOLE,
    CALL_ID_CHARACTERS_MAX,
    PRICE_MICROS_MAX,
    PRICE_MICROS_MIN,
    TOOL_ID_CHARACTERS_MAX,
    split_price,
)

ANN = UUID("01900000-0000-7000-8000-00000000000a")
BOB = UUID("01900000-0000-7000-8000-00000000000b")
CALL = Call(call_id="1", tool_id="t", consumer_id=ANN)


def amounts(call: Call, *, creator: UUID, price: int, fee_bps: int) -> dict[object, int]:
    draft = charge_draft(call, Listing(call.tool_id, creator, price), split_price(price, fee_bps=fee_bps))
    return {line.account: line.amount_micros for line in draft.lines}


def test_a_call_pays_the_creator_and_the_platform() -> None:
    lines = amounts(CALL, creator=BOB, price=2_500, fee_bps=2_000)

    assert lines == {wallet(ANN): -2_500, pending(BOB): 2_000, FEES: 500}


def test_a_creators_own_call_earns_it_nothing_payable() -> None:
    lines = amounts(CALL, creator=ANN, price=2_500, fee_bps=2_000)

    assert lines == {wallet(ANN): -2_500, held(ANN): 2_000, FEES: 500}


def test_a_share_of_nothing_or_of_all_leaves_a_line_out() -> None:
    assert amounts(CALL, creator=BOB, price=100, fee_bps=0) == {wallet(ANN): -100, pending(BOB): 100}
    assert amounts(CALL, creator=BOB, price=100, fee_bps=10_000) == {wallet(ANN): -100, FEES: 100}


@given(st.integers(PRICE_MICROS_MIN, PRICE_MICROS_MAX), st.integers(0, BPS_WHOLE), st.sampled_from([ANN, BOB]))
def test_every_price_and_share_is_a_balanced_entry(price: int, fee_bps: int, creator: UUID) -> None:
    lines = amounts(CALL, creator=creator, price=price, fee_bps=fee_bps)

    assert sum(lines.values()) == 0
    assert lines[wallet(ANN)] == -price


def test_the_longest_ids_fit_into_the_entrys_name() -> None:
    call = Call(call_id="c" * CALL_ID_CHARACTERS_MAX, tool_id="t" * TOOL_ID_CHARACTERS_MAX, consumer_id=ANN)
    draft = charge_draft(call, Listing(call.tool_id, BOB, 100), split_price(100, fee_bps=2_000))

    assert draft.kind is EntryKind.TOOL_CALL
    assert len(draft.idem) <= IDEM_CHARACTERS_MAX
    assert draft.idem == f"call:{ANN}:{call.call_id}"


def test_two_consumers_may_use_one_call_id_and_another_price_is_another_content() -> None:
    def draft(consumer: UUID, price: int):  # noqa: ANN202 - the draft is looked at right below
        call = Call(call_id="1", tool_id="t", consumer_id=consumer)
        return charge_draft(call, Listing("t", BOB, price), split_price(price, fee_bps=2_000))

    assert draft(ANN, 100).idem != draft(BOB, 100).idem
    assert draft(ANN, 100).idem == draft(ANN, 200).idem
    assert draft(ANN, 100).digest != draft(ANN, 200).digest


def test_every_state_of_a_charge_says_where_its_net_is() -> None:
    assert {state: earned_account(BOB, state) for state in ChargeState} == {
        ChargeState.PENDING: pending(BOB),
        ChargeState.AVAILABLE: available(BOB),
        ChargeState.HELD: held(BOB),
        ChargeState.OWN: held(BOB),
        ChargeState.REVERSED: available(BOB),
        ChargeState.LOST: BAD_DEBT,
    }
