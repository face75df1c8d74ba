"""What a resolver may use: who asks, the parts of the gateway, and the snapshot loaded for this request."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import strawberry
from graphql import GraphQLError

from gateway.domain.identity import Caller
from gateway.services.billing import Billing
from gateway.services.snapshot import Need, Snapshot, load_snapshot
from resolvers.need import NeedPlan, check_pages


class NeedsSignIn(GraphQLError):
    """The field is about somebody, and nobody is signed in."""

    def __init__(self) -> None:
        super().__init__("Sign in: send a bearer token.", extensions={"code": "UNAUTHENTICATED"})


class Asked(Protocol):
    """A query about to run: the plan of its document (see plan_need) and its coerced variables."""

    @property
    def plan(self) -> object: ...

    @property
    def variables(self) -> Mapping[str, object]: ...


class Context:
    """One per request (queries of a batch share it), so nothing of one caller can reach another."""

    def __init__(self, billing: Billing, caller: Caller | None) -> None:
        self.billing = billing
        self.caller = caller
        self._snapshot: Snapshot | None = None

    @property
    def subject(self) -> str:
        """The signed-in customer.

        Raises:
            NeedsSignIn: nobody is signed in.
        """
        if self.caller is None:
            raise NeedsSignIn
        return self.caller.subject

    @property
    def snapshot(self) -> Snapshot:
        """What was loaded for the caller.

        Raises:
            NeedsSignIn: nobody is signed in.
        """
        if self.caller is None:
            raise NeedsSignIn
        assert self._snapshot is not None, "loaded before the resolvers run"
        return self._snapshot

    async def load(self, need: Need) -> Snapshot:
        """Fetch the caller's snapshot anew."""
        self._snapshot = await load_snapshot(self.billing.database, subject=self.subject, need=need)
        return self._snapshot

    async def prepare(self, needs: Sequence[Asked]) -> None:
        """Load at once what a run of queries reads; an anonymous caller has nothing to load."""
        if self.caller is None:
            return
        total = Need()
        for asked in needs:
            assert isinstance(asked.plan, NeedPlan), "planned by plan_need"
            total |= asked.plan.need(asked.variables)
        check_pages(total.entries)
        await self.load(total)


Info: TypeAlias = strawberry.Info[Context, None]
