"""One pass of a worker over a payout: what its steps share."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from gateway.db import Connection
from gateway.domain.ledger import EntryKind
from gateway.domain.payouts import UNDER_WAY, PayoutState, WaitsFor
from gateway.services.billing import Billing
from gateway.services.events.inbox import Alongside
from gateway.services.jobs import Done, JobOutcome, Later
from gateway.services.payouts.outcomes import backoff, give_back, lock_payout, open_attempt_of, put_off
from gateway.services.payouts.pauses import OPERATOR_WAIT, UNKNOWN_WAIT_FIRST, UNKNOWN_WAIT_LONGEST
from models.payout import Payout
from models.payout_attempt import PayoutAttempt

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class GivenBack(Done):
    """Over, and the creator has the money again."""

    code: str


@dataclass(frozen=True, slots=True)
class PayoutPass:
    """`alongside` runs in the transaction of an effect that ends the work."""

    billing: Billing
    payout_id: UUID
    alongside: Alongside | None

    def now(self) -> datetime:
        return self.billing.clock.now()

    def moved(self) -> Later:
        return Later(self.now(), "Another worker has moved it meanwhile.")

    async def lock_requested(self, connection: Connection) -> Payout | None:
        """The payout, held, while nothing of it is at Stripe."""
        payout = await lock_payout(connection, self.payout_id)
        return payout if payout is not None and payout.state == PayoutState.REQUESTED else None

    async def lock_open(
        self, connection: Connection, attempt: PayoutAttempt
    ) -> tuple[Payout | None, PayoutAttempt | None]:
        """The payout, held, and the attempt as it is now: others may have sent it again meanwhile.

        Without an attempt where this one's end is known by now.
        """
        payout = await lock_payout(connection, self.payout_id)
        if payout is None or PayoutState(payout.state) not in UNDER_WAY:
            return payout, None
        current = await open_attempt_of(connection, payout)
        return payout, current if current is not None and current.number == attempt.number else None

    async def fail(self, connection: Connection, payout: Payout, *, code: str, message: str) -> GivenBack:
        """Nothing was sent and nothing will be."""
        await give_back(connection, payout, state=PayoutState.FAILED, code=code, message=message, now=self.now())
        if self.alongside is not None:
            await self.alongside(connection)
        return GivenBack(code)

    async def unknown_until(
        self,
        connection: Connection,
        payout: Payout,
        until: datetime,
        reason: str,
        *,
        waits_for: WaitsFor | None = None,
    ) -> JobOutcome:
        """Nobody can say now whether it was sent."""
        await put_off(connection, payout, state=PayoutState.UNKNOWN, waits_for=waits_for, until=until, now=self.now())
        return Later(until, reason)

    async def wait(self, reason: str, *, for_operator: bool = False) -> JobOutcome:
        """As it was: until a person has looked, or asked again the less often the longer nothing clear is heard."""

        async def work(connection: Connection) -> JobOutcome:
            payout = await lock_payout(connection, self.payout_id)
            if payout is None or PayoutState(payout.state) not in UNDER_WAY:
                return Done()
            waited_for = None if payout.waits_for is None else WaitsFor(payout.waits_for)
            if for_operator:
                silences, pause, waits_for = 0, OPERATOR_WAIT, WaitsFor.OPERATOR
            else:
                silences = payout.silences + 1
                pause = backoff(silences, first=UNKNOWN_WAIT_FIRST, longest=UNKNOWN_WAIT_LONGEST)
                waits_for = None if waited_for is WaitsFor.OPERATOR else waited_for
            now, state = self.now(), PayoutState(payout.state)
            until = now + pause
            await put_off(connection, payout, state=state, waits_for=waits_for, until=until, now=now, silences=silences)
            return Later(until, reason)

        return await self.billing.database.run(work)

    def call_a_person(self, reason: str) -> None:
        """Going on by itself could pay twice."""
        log.error("payout.needs_a_person", payout_id=str(self.payout_id), reason=reason)

    def tell(self, outcome: JobOutcome) -> JobOutcome:
        """Once it is committed."""
        if isinstance(outcome, GivenBack):
            self.billing.watch.ledger_entry_recorded(kind=EntryKind.PAYOUT_RETURNED)
            log.warning("payout.failed", payout_id=str(self.payout_id), code=outcome.code)
        return outcome
