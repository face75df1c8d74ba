"""The Stripe account that the key belongs to."""

from gateway.stripe_service.connection import Calls
from gateway.stripe_service.fields import Fields, MalformedAnswer


class OwnAccountCalls(Calls):
    """The call about ourselves."""

    async def own_account(self) -> str:
        """The id of the account whose key this is; the same for its test and its live keys."""
        request = self._stripe.v1.accounts.retrieve_current_async()
        return await self._stripe.ask("accounts.retrieve_current", request, _read_id)


def _read_id(fields: Fields) -> str:
    if fields.maybe_text("object") != "account":
        raise MalformedAnswer("object is not account")
    return fields.text("id")
