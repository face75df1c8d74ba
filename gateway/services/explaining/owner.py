"""The same page for the customer whose purchase it is: no event, no id, no operator's business."""

import asyncio
from dataclasses import dataclass
from typing import Final

from gateway.domain.timeline import OPERATOR_KINDS, Happening, in_order
from gateway.domain.verdict_words import OWNER_WORDS
from gateway.domain.verdicts import Verdict, purchase_verdict
from gateway.services.billing import Billing
from gateway.services.customers import customer_id_of
from gateway.services.explaining.happenings import purchase_happenings
from gateway.services.explaining.judging import StripeSide, ask_stripe, facts_of
from gateway.services.explaining.rows import load_our_side
from gateway.stripe_service import is_session_id
from models.checkout import Checkout

#: How long Stripe is waited for; a query is given up as a whole after ten seconds, and this is one of its fields.
LOOK_SECONDS_MAX: Final = 5.0


@dataclass(frozen=True, slots=True)
class OwnerTimeline:
    """What the owner of a session may know of it."""

    happenings: tuple[Happening, ...]
    verdict: Verdict
    message: str
    next_step: str | None


async def owner_timeline(billing: Billing, *, subject: str, session_id: str) -> OwnerTimeline | None:
    """What happened to a session of this customer; None for an unknown one and for somebody else's, which look alike.

    Stripe is asked once, and only about a session of the caller's own.
    """
    if not is_session_id(session_id):
        return None
    checkout = await Checkout.get_or_none(session_id=session_id, using_db=billing.database.orm)
    if checkout is None or checkout.customer_id != customer_id_of(subject):
        return None
    theirs = await _ask(billing, session_id)
    charge_id = theirs.look.charge.charge_id if theirs.look and theirs.look.charge else None
    ours = await load_our_side(billing.database, checkout, charge_id=charge_id)
    verdict = purchase_verdict(facts_of(billing, ours, theirs))
    words = OWNER_WORDS[verdict]
    happenings = purchase_happenings(ours, theirs, now=billing.clock.now())
    return OwnerTimeline(
        happenings=in_order(one for one in happenings if one.kind not in OPERATOR_KINDS),
        verdict=verdict,
        message=words.message,
        next_step=words.action,
    )


async def _ask(billing: Billing, session_id: str) -> StripeSide:
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            return await ask_stripe(billing, session_id)
    except TimeoutError:
        return StripeSide(silent=True)
