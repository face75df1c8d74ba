"""Refunds of deposits: what Stripe gave back to the card is taken out of the wallet, by the difference to last time."""

from typing import Final
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.errors import InProgress, ProviderRejected
from gateway.domain.ledger import EntryKind
from gateway.domain.money import cents_to_micros
from gateway.services.billing import Billing
from gateway.services.customers import lock_customer
from gateway.services.events.inbox import Alongside
from gateway.services.purchases.settle import settle_checkout
from gateway.services.taken_back.receivables import give_back, note_covered, take_back
from gateway.stripe_service import METADATA_CHECKOUT, StripeCharge
from models.checkout import Checkout, CheckoutMode, CheckoutState

log = structlog.stdlib.get_logger()

#: Looks at Stripe before an event goes back to the inbox: each lost one is another worker's progress.
LOOKS_MAX: Final = 5


async def settle_refund(billing: Billing, *, charge_id: str, alongside: Alongside | None = None) -> UUID | None:
    """Make the books agree with how much of a charge is refunded; None when the charge is not a deposit of ours.

    Stripe's amount is cumulative, so however many events tell of it, and in whatever order, the difference to what
    was booked is booked once. A refund that fails later lowers the amount and is given back. What Stripe said is
    booked only if nobody has booked since it was asked: an answer that waited too long must not undo a newer one.

    Raises:
        ProviderUnavailable: Stripe did not answer; nothing was changed.
        InProgress: others book refunds of the same deposit; nothing was changed.
    """
    charge = await billing.stripe.retrieve_charge(charge_id)
    if charge is None or charge.payment_intent_id is None:
        return None
    deposit = await deposit_of(billing, payment_intent_id=charge.payment_intent_id, charge_id=charge_id)
    if deposit is None:
        return None
    for _ in range(LOOKS_MAX):
        seen = await Checkout.get(id=deposit.id, using_db=billing.database.orm)
        charge = await billing.stripe.retrieve_charge(charge_id)
        if charge is None or charge.livemode is not billing.stripe.livemode or charge.currency != deposit.currency:
            raise ProviderRejected("The refunded charge is not of this deposit's kind.")
        if await _settle(billing, seen, charge, alongside):
            return deposit.id
    raise InProgress("Other refunds of this deposit are being booked at this moment.")


async def deposit_of(billing: Billing, *, payment_intent_id: str, charge_id: str | None) -> Checkout | None:
    """The deposit that a payment paid, settled now if its own event is still on its way.

    Events come in any order: passed over here, money that went back would be credited as if it had stayed.

    Raises:
        BillingError: the payment is of a deposit of ours that cannot be settled yet.
    """
    found = await _settled_by(billing, payment_intent_id)
    if found is not None or charge_id is None:
        return found
    ref = await billing.stripe.customer_of(object_type="charge", object_id=charge_id)
    try:
        checkout_id = UUID("" if ref is None else ref.metadata.get(METADATA_CHECKOUT, ""))
    except ValueError:
        return None
    late = await Checkout.get_or_none(id=checkout_id, mode=CheckoutMode.DEPOSIT.value, using_db=billing.database.orm)
    if late is None:
        return None
    if late.session_id is None:
        raise InProgress("The deposit's payment page is still being written down.")
    await settle_checkout(billing, session_id=late.session_id)
    return await _settled_by(billing, payment_intent_id)


async def lock_deposit(connection: Connection, deposit: Checkout) -> Checkout:
    """The deposit's row as it is now, with its customer held."""
    await lock_customer(connection, deposit.customer_id)
    return await Checkout.get(id=deposit.id, using_db=connection.orm)


async def _settled_by(billing: Billing, payment_intent_id: str) -> Checkout | None:
    return await Checkout.get_or_none(
        payment_intent_id=payment_intent_id,
        mode=CheckoutMode.DEPOSIT.value,
        state=CheckoutState.SETTLED.value,
        using_db=billing.database.orm,
    )


async def _settle(billing: Billing, seen: Checkout, charge: StripeCharge, alongside: Alongside | None) -> bool:
    """Book the difference; False, with nothing done, when another look at Stripe was booked meanwhile."""

    async def work(connection: Connection) -> int | None:
        checkout = await lock_deposit(connection, seen)
        if checkout.refund_version != seen.refund_version:
            return None
        change = charge.amount_refunded_cents - checkout.refunded_cents
        if change:
            await _book(connection, billing, checkout, charge_id=charge.charge_id, change_cents=change)
        await connection.execute(
            "UPDATE checkout SET refunded_cents = refunded_cents + $2, refund_version = refund_version + 1, "
            "refund_charge_id = $3 WHERE id = $1",
            (checkout.id, change, charge.charge_id),
        )
        if alongside is not None:
            await alongside(connection)
        return change

    change = await billing.database.run(work)
    if change:
        log.info("deposit.refunded", checkout_id=str(seen.id), change_cents=change)
    return change is not None


async def _book(
    connection: Connection, billing: Billing, checkout: Checkout, *, charge_id: str, change_cents: int
) -> None:
    idem, now = f"ref:{charge_id}:{checkout.refund_version + 1}", billing.clock.now()
    if change_cents > 0:
        await take_back(
            connection,
            checkout.customer_id,
            idem=idem,
            kind=EntryKind.REFUND,
            amount_micros=cents_to_micros(change_cents),
            ref=charge_id,
            description="Deposit refunded to the card",
            now=now,
        )
        return
    covered = await give_back(
        connection,
        checkout.customer_id,
        idem=idem,
        kind=EntryKind.REFUND,
        amount_micros=cents_to_micros(-change_cents),
        ref=charge_id,
        description="A refund did not go through",
        now=now,
    )
    await note_covered(connection, checkout.customer_id, covered)
