"""Taking people out of what Stripe sends: an event is kept as a pointer, and nobody's name is needed for that."""

import re
from collections.abc import Mapping
from typing import Final, cast

#: Stands where something personal or secret stood; null stays null, so the shape of an object can still be read.
REDACTED: Final = "[redacted]"
#: Stripe's own objects stay far below this.
LEVELS_MAX: Final = 100

#: Texts that are kept, in whatever object they stand: ids, kinds, states, reasons. Everything else may be a person's.
_KEPT_TEXTS: Final = frozenset(
    {
        *("id", "object", "type", "api_version", "account", "context", "snapshot_event", "created", "mode", "method"),
        *("customer", "customer_account", "subscription", "subscription_item", "invoice", "invoice_item", "price"),
        *("product", "plan", "payment_intent", "setup_intent", "charge", "refund", "transfer", "dispute", "capability"),
        *("latest_charge", "latest_invoice", "payment_method", "default_payment_method", "balance_transaction"),
        *("failure_balance_transaction", "destination", "destination_payment", "source_transaction", "transfer_group"),
        *("source_refund", "application", "on_behalf_of", "test_clock", "schedule", "status", "payment_status"),
        *("currency", "collection_method", "billing_reason", "billing_scheme", "reason", "feedback", "failure_code"),
        *("interval", "usage_type", "lookup_key", "unit_amount_decimal", "reporting_category", "reconciliation_status"),
        *("card_payments", "transfers", "disabled_reason", "currently_due", "eventually_due", "past_due"),
        *("pending_verification", "requested_capabilities"),
    }
)
#: What an id, a state or a time looks like: no blanks and no @, so nothing that a person typed in earnest.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,255}", re.ASCII)
#: Numbers that are kept have one of these words in their name: amounts, times, and how many of something.
_KEPT_NUMBERS: Final = frozenset(
    {
        *("amount", "subtotal", "total", "fee", "net", "tax", "discount", "balance", "paid", "due", "remaining"),
        *("at", "on", "created", "start", "end", "deadline", "anchor", "arrival", "attempt", "count", "quantity"),
        *("webhooks", "refunded", "reversed", "percent"),
    }
)
#: Metadata of other systems may hold anything. Of ours all but the customer's subject, which may be an address.
_OUR_METADATA: Final = re.compile(r"gateway_(account|checkout|payout|price|products|setup)", re.ASCII)
#: What a handler may follow from an event's object; ids never change, so an old pointer is as good as a new one.
_POINTERS: Final = ("id", "object", "customer", "charge", "subscription", "invoice", "payment_intent")


class TooDeep(ValueError):
    """Nested deeper than anything of Stripe's."""


def redact(values: Mapping[str, object]) -> dict[str, object]:
    """An event of which only ids, types, states, times and amounts are left.

    What is kept is listed, by the names of fields at any depth; so what nobody thought of is not kept.

    Raises:
        TooDeep: it is nested more than LEVELS_MAX levels.
    """
    return _object(values, level=0)


def pointers_only(values: Mapping[str, object]) -> dict[str, object]:
    """What is left of an event whose payload is dropped: enough to apply it again, and nothing else."""
    happened = _mapping(_mapping(values.get("data")).get("object"))
    pointers = {name: _id_of(happened[name]) for name in _POINTERS if _id_of(happened.get(name)) is not None}
    kept = {name: values[name] for name in ("id", "object", "type") if isinstance(values.get(name), str)}
    return {**kept, "data": {"object": pointers}}


def _object(values: Mapping[str, object], *, level: int) -> dict[str, object]:
    return {name: _field(name, value, level=level) for name, value in values.items()}


def _field(name: str, value: object, *, level: int) -> object:
    if name == "metadata":
        return {key: kept for key, kept in _mapping(value).items() if _OUR_METADATA.fullmatch(key)}
    return _value(name, value, level=level + 1)


def _value(name: str, value: object, *, level: int) -> object:
    """Of a list, each entry by the name of the list."""
    if level > LEVELS_MAX:
        raise TooDeep(f"An event is nested at most {LEVELS_MAX} levels.")
    if isinstance(value, Mapping):
        return _object(cast("Mapping[str, object]", value), level=level)
    if isinstance(value, list):
        return [_value(name, entry, level=level + 1) for entry in cast("list[object]", value)]
    # Empty texts say that there is nothing; true and false say nothing about anybody.
    kept = not value or value is True or (_is_kept_text(name, value) if isinstance(value, str) else _is_number(name))
    return value if kept else REDACTED


def _is_kept_text(name: str, value: str) -> bool:
    return name in _KEPT_TEXTS and _TOKEN.fullmatch(value) is not None


def _is_number(name: str) -> bool:
    return not _KEPT_NUMBERS.isdisjoint(name.split("_"))


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _id_of(value: object) -> str | None:
    """The id of another object, bare or expanded."""
    found = value if isinstance(value, str) else _mapping(value).get("id")
    return found if isinstance(found, str) else None
