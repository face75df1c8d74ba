"""Taking people out of what Stripe sends: an event is kept as a pointer, and nobody's name is needed for that."""

import re
from collections.abc import Mapping
from typing import Final, cast

#: Stands where something personal or secret stood; null stays null, so the shape of an object can still be read.
REDACTED: Final = "[redacted]"
#: Stripe's own objects stay far below this.
LEVELS_MAX: Final = 100

#: A field is personal when one of the words its name is made of is here, whatever object it stands in.
_PERSONAL_WORDS: Final = frozenset(
    {
        *("address", "birth", "city", "dob", "email", "iban", "ip", "line1", "line2", "maiden", "name", "nationality"),
        *("owner", "phone", "postal", "shipping", "ssn", "fingerprint", "last4", "swift"),
    }
)
#: Whole objects and texts that hold, or may hold, what a person typed, and addresses that open without signing in.
_PERSONAL_FIELDS: Final = frozenset(
    {
        *("billing_details", "client_reference_id", "custom_fields", "customer_details", "collected_information"),
        *("customer_tax_ids", "description", "evidence", "individual", "payment_method_details", "risk_data"),
        *("tax_id", "tax_ids", "verification_session", "card", "us_bank_account", "sepa_debit", "source", "sources"),
        *("client_secret", "hosted_invoice_url", "invoice_pdf", "receipt_url", "url", "cancel_url", "success_url"),
        *("return_url", "after_expiration", "routing_number", "account_number"),
    }
)
#: Metadata of other systems may hold anything; ours holds our own ids.
_OUR_METADATA: Final = re.compile(r"gateway_[a-z]+", re.ASCII)
#: What a handler may follow from an event's object; ids never change, so an old pointer is as good as a new one.
_POINTERS: Final = ("id", "object", "customer", "charge", "subscription", "invoice", "payment_intent")


class TooDeep(ValueError):
    """Nested deeper than anything of Stripe's."""


def redact(values: Mapping[str, object]) -> dict[str, object]:
    """An event without what is personal or opens a door; ids, types, times, states and amounts stay.

    Goes by the names of fields, at any depth, so that an object of a kind not known yet is covered too.

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
    # Empty texts and lists say that there is nothing; true and false say nothing about anybody.
    if value and value is not True and _is_personal(name):
        return REDACTED
    return _value(value, level=level + 1)


def _value(value: object, *, level: int) -> object:
    if level > LEVELS_MAX:
        raise TooDeep(f"An event is nested at most {LEVELS_MAX} levels.")
    if isinstance(value, Mapping):
        return _object(cast("Mapping[str, object]", value), level=level)
    if isinstance(value, list):
        return [_value(entry, level=level + 1) for entry in cast("list[object]", value)]
    return value


def _is_personal(name: str) -> bool:
    lower = name.lower()
    return lower in _PERSONAL_FIELDS or not _PERSONAL_WORDS.isdisjoint(lower.split("_"))


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _id_of(value: object) -> str | None:
    """The id of another object, bare or expanded."""
    found = value if isinstance(value, str) else _mapping(value).get("id")
    return found if isinstance(found, str) else None
