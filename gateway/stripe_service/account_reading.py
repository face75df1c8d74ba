"""Connected accounts as either generation of Stripe's API shows them, read into the same facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from gateway.domain.connecting import AccountFacts, Capability
from gateway.stripe_service.fields import Fields, MalformedAnswer
from gateway.stripe_service.objects import METADATA_CUSTOMER

#: Metadata on every connected account we make: the id of our row.
METADATA_ACCOUNT: Final = "gateway_account"

#: v1 says inactive, v2 restricted or unsupported; why stands in the reasons.
_CAPABILITIES: Final = {
    "active": Capability.ACTIVE,
    "pending": Capability.PENDING,
    "rejected": Capability.REJECTED,
    "unsupported": Capability.REJECTED,
}


@dataclass(frozen=True, slots=True)
class StripeAccount:
    """A connected account; `country` in capitals, None where Stripe does not say."""

    stripe_account_id: str
    country: str | None
    metadata: Mapping[str, str]
    facts: AccountFacts

    @property
    def customer_id(self) -> str | None:
        """Whom we made it for: the JWT's `sub`."""
        return self.metadata.get(METADATA_CUSTOMER)

    @property
    def account_row_id(self) -> str | None:
        """The id of our row."""
        return self.metadata.get(METADATA_ACCOUNT)


@dataclass(frozen=True, slots=True)
class AccountLink:
    """A short-lived way into Stripe's own pages about an account: made per click, never stored or logged."""

    url: str = field(repr=False)
    expires_at: datetime | None


def read_account_v1(fields: Fields) -> StripeAccount:
    _expect(fields, "account")
    capabilities = fields.maybe_child("capabilities")
    needs = fields.maybe_child("requirements") or Fields({})
    past_due = needs.texts("past_due")
    reason = needs.maybe_text("disabled_reason")
    return StripeAccount(
        stripe_account_id=fields.text("id"),
        country=fields.maybe_text("country"),
        metadata=fields.metadata(),
        facts=AccountFacts(
            transfers=_capability(capabilities.maybe_text("transfers") if capabilities else None),
            bank_payouts=Capability.ACTIVE if fields.flag("payouts_enabled") else Capability.INACTIVE,
            details_submitted=fields.flag("details_submitted"),
            due=tuple(name for name in needs.texts("currently_due") if name not in past_due),
            past_due=past_due,
            pending_verification=needs.texts("pending_verification"),
            reasons=(reason,) if reason else (),
        ),
    )


def read_account_v2(fields: Fields) -> StripeAccount:
    """An account fetched with `configuration.recipient`, `identity` and `requirements` included."""
    _expect(fields, "v2.core.account")
    configuration = fields.maybe_child("configuration")
    recipient = configuration.maybe_child("recipient") if configuration else None
    capabilities = recipient.maybe_child("capabilities") if recipient else None
    balance = capabilities.maybe_child("stripe_balance") if capabilities else None
    transfers = balance.maybe_child("stripe_transfers") if balance else None
    payouts = balance.maybe_child("payouts") if balance else None
    identity = fields.maybe_child("identity")
    country = identity.maybe_text("country") if identity else None
    entries = _entries(fields.maybe_child("requirements"))
    wanted = [entry for entry in entries if entry.awaits == "user"]
    return StripeAccount(
        stripe_account_id=fields.text("id"),
        country=country.upper() if country else None,
        metadata=fields.metadata(),
        facts=AccountFacts(
            transfers=_capability(transfers.text("status") if transfers else None),
            bank_payouts=_capability(payouts.text("status") if payouts else None),
            details_submitted=not any(entry.onboarding for entry in wanted if entry.deadline != "eventually_due"),
            due=tuple(entry.name for entry in wanted if entry.deadline == "currently_due"),
            past_due=tuple(entry.name for entry in wanted if entry.deadline == "past_due"),
            pending_verification=tuple(entry.name for entry in entries if entry.awaits == "stripe"),
            reasons=_reasons(transfers, payouts),
            closed=fields.maybe_flag("closed") or False,
        ),
    )


def read_account_link_v1(fields: Fields) -> AccountLink:
    _expect(fields, "account_link")
    return AccountLink(url=fields.text("url"), expires_at=fields.moment("expires_at"))


def read_login_link(fields: Fields) -> AccountLink:
    """Stripe does not say how long a way into the Express dashboard is good for."""
    _expect(fields, "login_link")
    return AccountLink(url=fields.text("url"), expires_at=None)


def read_account_link_v2(fields: Fields) -> AccountLink:
    _expect(fields, "v2.core.account_link")
    return AccountLink(url=fields.text("url"), expires_at=fields.instant("expires_at"))


@dataclass(frozen=True, slots=True)
class _Entry:
    """A requirement of v2. `onboarding`: it belongs to what everybody hands in at first."""

    name: str
    awaits: str
    deadline: str
    onboarding: bool


def _entries(requirements: Fields | None) -> list[_Entry]:
    if requirements is None or requirements.values.get("entries") is None:
        return []
    return [_entry(fields) for fields in requirements.children("entries")]


def _entry(fields: Fields) -> _Entry:
    asked_for = fields.children("requested_reasons") if fields.values.get("requested_reasons") else ()
    return _Entry(
        name=fields.text("description"),
        awaits=fields.text("awaiting_action_from"),
        deadline=fields.child("minimum_deadline").text("status"),
        onboarding=any(reason.maybe_text("code") == "routine_onboarding" for reason in asked_for),
    )


def _reasons(*capabilities: Fields | None) -> tuple[str, ...]:
    """The codes of all that keeps the capabilities from being active, each once."""
    details = [
        detail
        for capability in capabilities
        if capability is not None and capability.values.get("status_details")
        for detail in capability.children("status_details")
    ]
    return tuple(dict.fromkeys(detail.text("code") for detail in details))


def _capability(status: str | None) -> Capability:
    return Capability.UNSAID if status is None else _CAPABILITIES.get(status, Capability.INACTIVE)


def _expect(fields: Fields, kind: str) -> None:
    if fields.maybe_text("object") != kind:
        raise MalformedAnswer(f"object is not {kind}")
