"""A closer look at one subject: all that Stripe has about it, on whatever day, before anything is called different."""

from gateway.domain.reconciliation import id_of, kind_of
from gateway.services.billing import Billing
from gateway.services.reconciling.booking import book_lines
from gateway.services.reconciling.mirror import keep_lines, lines_about
from gateway.services.reconciling.owners import Owners
from gateway.stripe_service import StripeBalanceLine

#: Subjects that are lines themselves, or parts of one.
_LINES = frozenset({"sub", "bank", "fee", "txn"})


async def look_closer(billing: Billing, subject: str) -> set[str]:
    """Ask Stripe for all lines of a subject and mirror them; returns the subjects that may have changed by that.

    Raises:
        ProviderError: Stripe did not answer, or not about this.
    """
    if kind_of(subject) == "hold":
        return {subject}  # lines of many days, which have no object to ask for
    found = await _lines_of(billing, subject)
    known = {line.line_id for line in found}
    gone: list[str] = []
    for line in await lines_about(billing, subject):
        if line.line_id in known:
            continue
        still_there = await billing.stripe.retrieve_balance_line(line.line_id)
        if still_there is None:
            gone.append(line.line_id)
        else:
            found = (*found, still_there)
    if kind_of(subject) in _LINES and not found:
        gone.append(id_of(subject))
    owners = Owners(billing)
    named = [(line, await owners.subject_of(line)) for line in found]
    await keep_lines(billing, named, gone=gone)
    changed = {subject, *(name for _, name in named)}
    for name in changed:
        await book_lines(billing, await lines_about(billing, name))
    return changed


async def _lines_of(billing: Billing, subject: str) -> tuple[StripeBalanceLine, ...]:
    kind, named = kind_of(subject), id_of(subject)
    if kind in _LINES:
        line = await billing.stripe.retrieve_balance_line(named)
        return () if line is None else (line,)
    if kind == "dep":
        session = await billing.stripe.retrieve_session(named)
        charge = None if session is None else session.charge_id
        return () if charge is None else await billing.stripe.balance_lines_of(charge)
    if kind == "ref":
        refunds = await billing.stripe.refund_ids_of(named)
        return tuple([line for refund in refunds for line in await billing.stripe.balance_lines_of(refund)])
    if kind in {"dp", "tr", "trr"}:
        return await billing.stripe.balance_lines_of(named)
    return ()
