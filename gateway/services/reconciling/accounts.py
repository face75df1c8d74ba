"""Connected accounts: how our rows say they stand beside how Stripe says so now."""

from typing import Final
from uuid import UUID

from gateway.db.rows import identifier
from gateway.domain.connecting import status_of
from gateway.domain.errors import ProviderError
from gateway.domain.reconciliation import Difference, DifferenceKind, unchecked
from gateway.services.billing import Billing
from gateway.services.connecting import ConnectedAccountView, account_by_id, sync_account
from gateway.services.reconciling.answering import ask_if_stripe_answers, side_by_side

#: Accounts listed together.
ACCOUNTS_AT_ONCE_MAX: Final = 200


async def compare_accounts(billing: Billing, *, with_healing: bool) -> tuple[list[Difference], list[Difference]]:
    """Every open account; returns what still differs or is not shown, and what did differ until it was synced again.

    Raises:
        ProviderUnavailable: Stripe did not answer at all.
    """
    left: list[Difference] = []
    healed: list[Difference] = []

    async def look(account_id: UUID) -> None:
        difference = await _compare(billing, account_id)
        if difference is None:
            return
        if with_healing and difference.kind is not DifferenceKind.UNCHECKED:
            await sync_account(billing, account_id=account_id)
            after = await _compare(billing, account_id)
            if after is None:
                healed.append(difference)
                return
            difference = after
        left.append(difference)

    after = UUID(int=0)
    while True:
        rows = await billing.database.fetch(
            "SELECT id FROM connected_account WHERE closed_at IS NULL AND stripe_account_id IS NOT NULL AND id > $1 "
            "ORDER BY id LIMIT $2",
            (after, ACCOUNTS_AT_ONCE_MAX),
        )
        if not rows:
            return _sorted(left), _sorted(healed)
        await side_by_side(look(identifier(row, "id")) for row in rows)
        after = identifier(rows[-1], "id")


async def _compare(billing: Billing, account_id: UUID) -> Difference | None:
    account = await account_by_id(billing.database, account_id)
    assert account.stripe_account_id is not None, "only such accounts are listed"
    try:
        found = await billing.stripe.accounts(account.api).retrieve(account.stripe_account_id)
    except ProviderError:
        await ask_if_stripe_answers(billing)
        return unchecked(f"acct:{account.stripe_account_id}")
    if found is None:
        name = account.stripe_account_id
        return _difference(account, f"The account {name} is open here and Stripe does not show it to us.", _LEFT)
    status = status_of(found.facts)
    if status is account.status:
        return None
    sentence = f"The account {account.stripe_account_id} is {status.value} at Stripe and {account.status.value} here."
    return _difference(account, sentence, "Sync it again.")


_LEFT: Final = "If its owner has left, nothing can be paid there; the creator connects another account."


def _difference(account: ConnectedAccountView, sentence: str, action: str) -> Difference:
    return Difference(
        kind=DifferenceKind.ACCOUNT, subject=f"acct:{account.stripe_account_id}", sentence=sentence, action=action
    )


def _sorted(differences: list[Difference]) -> list[Difference]:
    return sorted(differences, key=lambda one: one.subject)
