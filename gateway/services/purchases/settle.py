"""The one function that turns what Stripe says of a Checkout Session into money or a plan.

Verify, webhook and sweeper all come here. The row is settled once, under its lock, together with what it bought.
"""

from dataclasses import dataclass
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.errors import PaymentFailed, PaymentPending, SessionExpired, SessionNotFound
from gateway.domain.ledger import EntryKind, deposit_draft
from gateway.domain.money import cents_to_micros
from gateway.domain.subscriptions import payment_is_dead
from gateway.services.billing import Billing
from gateway.services.customers import customer_id_of, lock_customer
from gateway.services.events.inbox import Alongside
from gateway.services.ledger import record
from gateway.services.plans.syncing import sync_plan
from gateway.services.purchases.clearing import note_clearing
from gateway.services.purchases.hosted import record_session
from gateway.services.taken_back.receivables import cover_receivable
from gateway.stripe_service import CheckoutSession, is_session_id
from models.checkout import Checkout, CheckoutMode, CheckoutState

log = structlog.stdlib.get_logger()

#: When to ask again: while the page is open a person is typing; after that a bank is working.
RETRY_OPEN_MS = 2_000
RETRY_BANK_MS = 30_000

_MODES = {CheckoutMode.DEPOSIT: "payment", CheckoutMode.SUBSCRIPTION: "subscription"}


class CheckoutMismatch(SessionNotFound):
    """The session is not the one our row asked for; nobody is told more than that, and an operator is alarmed."""


class PageStillOpen(PaymentPending):
    """Nothing is paid because the page has not been completed; it can still be closed."""


class PaymentOnTheWay(PaymentPending):
    """The page is completed and a bank is working on the payment."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A purchase that is paid for and handed over."""

    checkout_id: UUID
    customer_id: UUID
    mode: CheckoutMode
    amount_cents: int


async def settle_checkout(
    billing: Billing,
    *,
    session_id: str,
    subject: str | None = None,
    mode: CheckoutMode | None = None,
    alongside: Alongside | None = None,
) -> Settled:
    """Hand over what a session paid for, once, however often and from wherever this is called.

    `subject` and `mode` are given by a caller who must own the session; a webhook gives neither. `alongside` runs in
    the transaction of the effect, and only if there is one.

    Raises:
        SessionNotFound: no such session here, or not this caller's; the two look alike.
        PaymentPending: nothing is paid yet.
        PaymentFailed, SessionExpired: nothing will be paid on this session.
        ProviderUnavailable: Stripe did not answer; nothing was changed.
    """
    checkout = await _find(billing, session_id)
    if subject is not None and (checkout is None or checkout.customer_id != customer_id_of(subject)):
        raise _not_found(session_id)
    if checkout is not None and mode is not None and checkout.mode != mode:
        raise _not_found(session_id)
    if checkout is not None and checkout.state == CheckoutState.SETTLED:
        return _settled(checkout)
    session = await billing.stripe.retrieve_session(session_id)
    if session is None:
        raise _not_found(session_id)
    if checkout is None:
        checkout = await _adopt(billing, session)
    _check_same(checkout, session, livemode=billing.stripe.livemode)
    if session.is_paid:
        return await _hand_over(billing, checkout, session, alongside)
    await _note_unpaid(billing, checkout, session)
    raise AssertionError("an unpaid session is always a refusal")


async def close_unmade(billing: Billing, checkout_id: UUID) -> None:
    """Close a row that has no page yet; one that got its page a moment ago is left as it is."""

    async def work(connection: Connection) -> None:
        await connection.execute(
            "UPDATE checkout SET state = 'expired' WHERE id = $1 AND state = 'creating'", (checkout_id,)
        )

    await billing.database.run(work)


async def close_checkout(billing: Billing, checkout_id: UUID, state: CheckoutState) -> None:
    """Note that nothing will come of a purchase whose page Stripe has closed."""

    async def work(connection: Connection) -> None:
        await connection.execute(
            "UPDATE checkout SET state = $2 WHERE id = $1 AND state IN ('creating', 'open', 'pending')",
            (checkout_id, state.value),
        )

    await billing.database.run(work)


async def close_pages_of(connection: Connection, stripe_customer_id: str) -> None:
    """A Stripe Customer is gone: nothing can be paid on its pages any more."""
    await connection.execute(
        "UPDATE checkout SET state = 'expired' WHERE stripe_customer_id = $1 AND state IN ('creating', 'open')",
        (stripe_customer_id,),
    )


async def _find(billing: Billing, session_id: str) -> Checkout | None:
    if not is_session_id(session_id):
        raise _not_found(session_id)
    return await Checkout.get_or_none(session_id=session_id, using_db=billing.database.orm)


async def _adopt(billing: Billing, session: CheckoutSession) -> Checkout:
    """A session whose making we did not live to write down: its metadata names our row."""
    try:
        checkout_id = UUID(session.checkout_id or "")
    except ValueError:
        raise _not_found(session.session_id) from None
    checkout = await Checkout.get_or_none(id=checkout_id, using_db=billing.database.orm)
    if checkout is None:
        raise _not_found(session.session_id)
    if checkout.session_id is None:
        checkout = await record_session(billing, checkout.id, session)
        log.info("checkout.adopted", checkout_id=str(checkout.id), state=checkout.state)
    if checkout.session_id != session.session_id and not session.is_paid:
        raise _not_found(session.session_id)  # a page nobody was shown, made under a key that was given up
    return checkout


def misfits(checkout: Checkout, session: CheckoutSession, *, livemode: bool) -> list[str]:
    """In which respects that decide about money the session is not the one we asked for; in none, if all is well."""
    mode = CheckoutMode(checkout.mode)
    facts = {
        "session": (session.session_id, checkout.session_id),
        "checkout": (session.checkout_id, str(checkout.id)),
        "owner": (session.stripe_customer_id, checkout.stripe_customer_id),
        "mode": (session.mode, _MODES[mode]),
        "livemode": (session.livemode, livemode),
        "currency": (session.currency, checkout.currency),
        "amount": (session.amount_total_cents, checkout.amount_cents),
    }
    return sorted(name for name, (theirs, ours) in facts.items() if theirs != ours)


def _check_same(checkout: Checkout, session: CheckoutSession, *, livemode: bool) -> None:
    """The session must be the one we asked for in every respect that decides about money."""
    wrong = misfits(checkout, session, livemode=livemode)
    if wrong:
        log.error("checkout.mismatch", checkout_id=str(checkout.id), session_id=session.session_id, wrong=wrong)
        raise CheckoutMismatch(_NOT_FOUND)


async def _hand_over(
    billing: Billing, checkout: Checkout, session: CheckoutSession, alongside: Alongside | None
) -> Settled:
    if checkout.mode == CheckoutMode.SUBSCRIPTION:
        return await _hand_over_plan(billing, checkout, session, alongside)

    async def work(connection: Connection) -> bool:
        now = billing.clock.now()
        first = await _mark_settled(billing, connection, checkout, session)
        if first:
            draft = deposit_draft(
                customer_id=checkout.customer_id,
                session_id=session.session_id,
                amount_micros=cents_to_micros(checkout.amount_cents),
            )
            await record(connection, draft, now=now)
            await note_clearing(connection, checkout, session, now=now)
            await cover_receivable(connection, checkout.customer_id, cause=draft.idem, now=now)
        if alongside is not None:
            await alongside(connection)
        return first

    if await billing.database.run(work):
        billing.watch.checkout_settled(mode=CheckoutMode.DEPOSIT)
        billing.watch.ledger_entry_recorded(kind=EntryKind.DEPOSIT)
        log.info("deposit.settled", checkout_id=str(checkout.id), amount_cents=checkout.amount_cents)
    return _settled(checkout)


async def _hand_over_plan(
    billing: Billing, checkout: Checkout, session: CheckoutSession, alongside: Alongside | None
) -> Settled:
    """The plan is whatever Stripe says of all the customer's subscriptions, written with the row's settling."""
    firsts: list[bool] = []

    async def with_the_plan(connection: Connection) -> None:
        firsts.append(await _mark_settled(billing, connection, checkout, session))
        if alongside is not None:
            await alongside(connection)

    await sync_plan(
        billing,
        customer_id=checkout.customer_id,
        alongside=with_the_plan,
    )
    if firsts[-1]:
        billing.watch.checkout_settled(mode=CheckoutMode.SUBSCRIPTION)
        log.info("checkout.settled", checkout_id=str(checkout.id), tier=checkout.tier)
    return _settled(checkout)


async def _mark_settled(billing: Billing, connection: Connection, checkout: Checkout, session: CheckoutSession) -> bool:
    """Move the row to settled; True for the one caller who did. A page closed too early is settled all the same."""
    await lock_customer(connection, checkout.customer_id)
    changed = await connection.execute(
        "UPDATE checkout SET state = 'settled', settled_at = $2, subscription_id = $3, payment_intent_id = $4 "
        "WHERE id = $1 AND state <> 'settled'",
        (checkout.id, billing.clock.now(), session.subscription_id, session.payment_intent_id),
    )
    return changed == 1


async def _note_unpaid(billing: Billing, checkout: Checkout, session: CheckoutSession) -> None:
    """Write down how an unpaid session stands, and say it; always raises."""
    if session.status == "open":
        raise PageStillOpen("The payment page has not been completed yet.", retry_after_ms=RETRY_OPEN_MS)
    if session.status == "expired":
        await close_checkout(billing, checkout.id, CheckoutState.EXPIRED)
        raise SessionExpired(
            "The payment page is closed: it was not used in time, or another purchase replaced it. Start again."
        )
    if checkout.state == CheckoutState.FAILED or await _is_dead(billing, session):
        await close_checkout(billing, checkout.id, CheckoutState.FAILED)
        raise PaymentFailed("The bank did not make the payment; nothing was taken. Start again to try another way.")

    async def work(connection: Connection) -> None:
        await connection.execute(
            "UPDATE checkout SET state = 'pending' WHERE id = $1 AND state IN ('creating', 'open')", (checkout.id,)
        )

    await billing.database.run(work)
    raise PaymentOnTheWay(
        "The payment is on its way through the bank; that can take some days.", retry_after_ms=RETRY_BANK_MS
    )


async def _is_dead(billing: Billing, session: CheckoutSession) -> bool:
    subscription_id = session.subscription_id
    subscription = await billing.stripe.retrieve_subscription(subscription_id) if subscription_id else None
    return payment_is_dead(
        of_subscription=subscription_id is not None,
        payment_status=session.payment_intent_status,
        subscription_status=subscription.status if subscription else None,
    )


_NOT_FOUND = "You have no checkout session with this id."


def _not_found(session_id: str) -> SessionNotFound:
    log.debug("checkout.unknown", session_id=session_id[:80])
    return SessionNotFound(_NOT_FOUND, path=("input", "sessionId"))


def _settled(checkout: Checkout) -> Settled:
    return Settled(
        checkout_id=checkout.id,
        customer_id=checkout.customer_id,
        mode=CheckoutMode(checkout.mode),
        amount_cents=checkout.amount_cents,
    )
