"""What a resolver may use: who asks, the parts of the gateway, and the snapshot loaded for this run."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import strawberry
from graphql import GraphQLError

from gateway.domain.identity import Caller
from gateway.services.billing import Billing
from gateway.services.marketplace.queue import ChargeQueue
from gateway.services.snapshot import Need, Snapshot, load_snapshot
from resolvers.budget import Budget, TooMuchToLoad
from resolvers.need import NeedPlan


class NeedsSignIn(GraphQLError):
    """The field is about somebody, and nobody is signed in."""

    def __init__(self) -> None:
        super().__init__("Sign in: send a bearer token.", extensions={"code": "UNAUTHENTICATED"})


class NeedsScope(GraphQLError):
    """The caller is known and may not do this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs a token with the scope {scope}.", extensions={"code": "FORBIDDEN"})


class Asked(Protocol):
    """A query about to run: the plan of its document (see plan_need) and its coerced variables."""

    @property
    def plan(self) -> object: ...

    @property
    def variables(self) -> Mapping[str, object]: ...


class Context:
    """One for each run of queries and each mutation, of one caller. What they may cost together is the `budget`'s."""

    def __init__(self, billing: Billing, caller: Caller | None, charges: ChargeQueue, budget: Budget) -> None:
        self.billing = billing
        self.charges = charges
        self.caller = caller
        self.budget = budget
        self._snapshot: Snapshot | None = None
        self._refused: TooMuchToLoad | None = None

    @property
    def subject(self) -> str:
        """The signed-in customer.

        Raises:
            NeedsSignIn: nobody is signed in.
        """
        if self.caller is None:
            raise NeedsSignIn
        return self.caller.subject

    def require(self, scope: str) -> None:
        """Go on for callers with this scope only.

        Raises:
            NeedsSignIn: nobody is signed in.
            NeedsScope: the token lacks it.
        """
        if self.caller is None:
            raise NeedsSignIn
        if scope not in self.caller.scopes:
            raise NeedsScope(scope)

    @property
    def snapshot(self) -> Snapshot:
        """What was loaded for the caller.

        Raises:
            NeedsSignIn: nobody is signed in.
            TooMuchToLoad: more was asked for than a request may load, so nothing was.
        """
        if self.caller is None:
            raise NeedsSignIn
        if self._refused is not None:
            raise self._refused
        assert self._snapshot is not None, "loaded before the resolvers run"
        return self._snapshot

    async def load(self, need: Need) -> Snapshot:
        """Fetch the caller's snapshot anew; the budget was asked before."""
        self._snapshot = await load_snapshot(
            self.billing.database,
            subject=self.subject,
            need=need,
            today=self.billing.clock.now().date(),
            payout_minimum_cents=self.billing.rules.payout_minimum_cents,
        )
        return self._snapshot

    async def prepare(self, needs: Sequence[Asked]) -> None:
        """Load at once what a run of queries reads; an anonymous caller has nothing to load."""
        if self.caller is None:
            return
        total = Need()
        for asked in needs:
            assert isinstance(asked.plan, NeedPlan), "planned by plan_need"
            total |= asked.plan.need(asked.variables)
        try:
            self.budget.load(total)
        except TooMuchToLoad as refusal:
            self._refused = refusal  # each field that would have read it says so; the others answer
        else:
            await self.load(total)


Info: TypeAlias = strawberry.Info[Context, None]
