"""Events about connected accounts: each is a reason to ask Stripe how the account stands, and none is believed."""

from typing import Final

import structlog

from gateway.db import Connection
from gateway.services.billing import Billing
from gateway.services.connecting import account_by_stripe_id, sync_account
from gateway.services.events.inbox import ClaimedEvent, finish_event
from models.stripe_event import EventState

log = structlog.stdlib.get_logger()

#: After these an account that Stripe shows us no more has left for good.
_LEAVING: Final = frozenset({"account.application.deauthorized", "v2.core.account.closed"})


async def apply_account(billing: Billing, event: ClaimedEvent) -> EventState:
    """Sync the account the event is about, and close the event with it."""
    account = None if event.account is None else await account_by_stripe_id(billing.database, event.account)

    async def close(connection: Connection) -> None:
        state = EventState.IGNORED if account is None else EventState.DONE
        await finish_event(connection, event, now=billing.clock.now(), state=state)

    if account is None:
        log.info("event.not_ours", event_id=event.event_id, type=event.type)
        await billing.database.run(close)
        return EventState.IGNORED
    leaving = event.type in _LEAVING
    await sync_account(billing, account_id=account.id, alongside=close, gone_is_closed=leaving)
    return EventState.DONE
