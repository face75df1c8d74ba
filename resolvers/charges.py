"""`chargeToolCall`, `chargeToolCalls` and `reverseToolCall`: what the platform's runtime does with paid calls."""

from collections.abc import Sequence
from typing import Annotated, Final

import strawberry

from gateway.domain.charges import Call, Charged, ChargeOutcome
from gateway.domain.errors import InvalidInput
from gateway.domain.identity import SCOPE_ADMIN, SCOPE_CHARGE
from gateway.domain.tools import CALL_ID_CHARACTERS_MAX, TOOL_ID_CHARACTERS_MAX, checked_id
from gateway.services.customers import customer_id_of
from gateway.services.marketplace.charging import CALLS_AT_ONCE_MAX
from gateway.services.marketplace.reversals import reverse_charge
from models.tool_charge import ToolCharge as ChargeRow
from resolvers.context import Info
from resolvers.errors import BillingProblem, InsufficientFunds, charge_refusal
from resolvers.money import Money, money_of_micros
from resolvers.subjects import checked_subject

_INPUT: Final = ("input",)


@strawberry.type(description="One paid call, with the price and the share of its moment; later prices do not touch it.")
class ToolCharge:
    call_id: strawberry.ID = strawberry.field(description="The platform's own id of the call.")
    gross: Money = strawberry.field(description="What the consumer paid.")
    fee: Money = strawberry.field(description="The platform's part, rounded down to a millionth of a dollar.")
    net: Money = strawberry.field(description="The creator's part: gross less fee, exactly.")
    replayed: bool = strawberry.field(description="True when this call was charged before.")
    balance_after: Money = strawberry.field(description="The consumer's wallet right after the charge, then as now.")


@strawberry.input(description="callId is the platform's own id of the call and makes the charge happen once.")
class ChargeToolCallInput:
    call_id: strawberry.ID = strawberry.field(
        description="1 to 128 visible ASCII characters. A consumer's call pays once for ever; sent again it answers "
        "what it answered first, and with another tool it is IDEMPOTENCY_CONFLICT."
    )
    tool_id: strawberry.ID = strawberry.field(description="What was called.")
    consumer_id: strawberry.ID = strawberry.field(description="Who pays: the subject of the consumer's token.")


@strawberry.input(description="1 to 500 calls, of any consumers and tools.")
class ChargeToolCallsInput:
    calls: list[ChargeToolCallInput] = strawberry.field(description="Charged in this order.")


@strawberry.input(description="Which charge to take back, and why.")
class ReverseToolCallInput:
    call_id: strawberry.ID = strawberry.field(description="The call as it was charged.")
    consumer_id: strawberry.ID = strawberry.field(description="Who paid: the subject of the consumer's token.")
    reason: str = strawberry.field(description="1 to 500 printable characters; kept with the charge.")


@strawberry.type(description="The call is paid, and that is committed.")
class ChargeToolCallSuccess:
    charge: ToolCharge = strawberry.field(description="What was paid.")


ChargeToolCallResult = Annotated[
    ChargeToolCallSuccess | InsufficientFunds | BillingProblem, strawberry.union("ChargeToolCallResult")
]


@strawberry.type(description="Every call has its outcome, and that is committed; some may have been refused.")
class ChargeToolCallsSuccess:
    results: list[ChargeToolCallResult] = strawberry.field(description="One a call, in the order of the input.")


@strawberry.type(description="The consumer has its money again; creator and platform gave up their parts.")
class ReverseToolCallSuccess:
    charge: ToolCharge = strawberry.field(description="The charge that was taken back, as it was charged.")
    replayed: bool = strawberry.field(description="True when it was taken back before, for the same reason.")


ChargeToolCallsResult = Annotated[ChargeToolCallsSuccess | BillingProblem, strawberry.union("ChargeToolCallsResult")]
ReverseToolCallResult = Annotated[ReverseToolCallSuccess | BillingProblem, strawberry.union("ReverseToolCallResult")]


async def resolve_charge_tool_call(info: Info, input: ChargeToolCallInput) -> ChargeToolCallResult:
    info.context.require(SCOPE_CHARGE)
    outcome = await info.context.charges.charge(_call(input))
    return _result(outcome, place=_INPUT)


async def resolve_charge_tool_calls(info: Info, input: ChargeToolCallsInput) -> ChargeToolCallsResult:
    context, count = info.context, len(input.calls)
    context.require(SCOPE_CHARGE)
    if not 1 <= count <= CALLS_AT_ONCE_MAX:
        raise InvalidInput(f"calls holds 1 to {CALLS_AT_ONCE_MAX} calls; got {count}.", path=(*_INPUT, "calls"))
    places = [(*_INPUT, "calls", str(position)) for position in range(count)]
    asked = [_call_or_refusal(call) for call in input.calls]
    calls = [call for call in asked if isinstance(call, Call)]
    charged = iter(await context.charges.charge_batch(calls) if calls else ())
    outcomes = [next(charged) if isinstance(call, Call) else call for call in asked]
    return ChargeToolCallsSuccess(
        results=[_result(outcome, place=place) for outcome, place in zip(outcomes, places, strict=True)]
    )


async def resolve_reverse_tool_call(info: Info, input: ReverseToolCallInput) -> ReverseToolCallResult:
    context = info.context
    context.require(SCOPE_ADMIN)
    charge, first = await reverse_charge(
        context.billing,
        consumer=checked_subject(input.consumer_id, path=(*_INPUT, "consumerId")),
        call_id=input.call_id,
        reason=input.reason,
        operator=context.subject,
    )
    return ReverseToolCallSuccess(charge=_charge_of_row(charge), replayed=not first)


def _call(given: ChargeToolCallInput) -> Call:
    """The call as the services know it.

    Raises:
        InvalidInput: an id is none.
    """
    return Call(
        call_id=checked_id(given.call_id, longest=CALL_ID_CHARACTERS_MAX, path=(*_INPUT, "callId")),
        tool_id=checked_id(given.tool_id, longest=TOOL_ID_CHARACTERS_MAX, path=(*_INPUT, "toolId")),
        consumer_id=customer_id_of(checked_subject(given.consumer_id, path=(*_INPUT, "consumerId"))),
    )


def _call_or_refusal(given: ChargeToolCallInput) -> Call | InvalidInput:
    """In a batch a call that cannot be is refused in its place; its neighbours are charged."""
    try:
        return _call(given)
    except InvalidInput as refusal:
        return refusal


def _result(outcome: ChargeOutcome, *, place: Sequence[str]) -> ChargeToolCallResult:
    if not isinstance(outcome, Charged):
        return charge_refusal(outcome, place=place)
    charge = ToolCharge(
        call_id=strawberry.ID(outcome.call_id),
        gross=money_of_micros(outcome.split.gross_micros),
        fee=money_of_micros(outcome.split.fee_micros),
        net=money_of_micros(outcome.split.net_micros),
        replayed=outcome.replayed,
        balance_after=money_of_micros(outcome.balance_after_micros),
    )
    return ChargeToolCallSuccess(charge=charge)


def _charge_of_row(row: ChargeRow) -> ToolCharge:
    return ToolCharge(
        call_id=strawberry.ID(row.call_id),
        gross=money_of_micros(row.gross_micros),
        fee=money_of_micros(row.fee_micros),
        net=money_of_micros(row.net_micros),
        replayed=True,
        balance_after=money_of_micros(row.wallet_after_micros),
    )
