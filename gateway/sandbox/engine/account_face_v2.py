"""A connected account as the second generation of the API shows it."""

from datetime import UTC, datetime
from typing import Final

from gateway.sandbox.engine import account_face, banks
from gateway.sandbox.engine.blanks import nulls
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json

ALL: Final = (
    "configuration.customer",
    "configuration.merchant",
    "configuration.recipient",
    "defaults",
    "future_requirements",
    "identity",
    "requirements",
)
TRANSFERS: Final = "stripe_balance.stripe_transfers"
PAYOUTS: Final = "stripe_balance.payouts"
_STATUS: Final = {"active": "active", "review": "pending", "rejected": "rejected"}
_DETAILS: Final = {
    "restricted": ("requirements_past_due", "provide_info"),
    "pending": ("requirements_pending_verification", "no_resolution"),
    "rejected": ("rejected_other", "contact_stripe"),
}


def iso(moment: int) -> str:
    """A time as this generation writes it."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def statuses(own: Book, record: Json) -> dict[str, str]:
    """The status of each capability, by its name."""
    if "transfers" not in record["requested"]:
        return {}
    status = "restricted" if record["closed"] else _STATUS.get(record["stage"], "restricted")
    return {PAYOUTS: "restricted" if status == "active" and banks.is_errored(own) else status, TRANSFERS: status}


def face(own: Book, record: Json, *, include: tuple[str, ...] | list[str]) -> Json:
    """The account object with the parts that were asked for; the others are null."""
    recipient = _recipient(own, record) if "configuration.recipient" in include else None
    asked = any(part.startswith("configuration.") for part in include)
    return {
        "id": record["id"],
        "object": "v2.core.account",
        "applied_configurations": ["recipient"] if record["requested"] else [],
        "closed": record["closed"],
        "configuration": {"customer": None, "merchant": None, "recipient": recipient} if asked else None,
        "contact_email": record["email"],
        "contact_phone": record["phone"],
        "created": iso(record["created"]),
        "dashboard": "express",
        "defaults": _defaults(record) if "defaults" in include else None,
        "display_name": record["display_name"],
        "future_requirements": _requirements([]) if "future_requirements" in include else None,
        "identity": _identity(record) if "identity" in include else None,
        "livemode": record["livemode"],
        "metadata": dict(record["metadata"]),
        "requirements": _requirements(_entries(own, record)) if "requirements" in include else None,
    }


def _recipient(own: Book, record: Json) -> Json:
    found = {name: _capability(status) for name, status in statuses(own, record).items()}
    return {
        "applied": bool(record["requested"]),
        "capabilities": {
            "bank_accounts": None,
            "cards": None,
            "stripe_balance": {"payouts": found.get(PAYOUTS), "stripe_transfers": found.get(TRANSFERS)},
        },
    }


def _capability(status: str) -> Json:
    details = [{"code": _DETAILS[status][0], "resolution": _DETAILS[status][1]}] if status in _DETAILS else []
    return {"status": status, "status_details": details}


def _defaults(record: Json) -> Json:
    return {
        "currency": "usd",
        "locales": None,
        "payout_methods": None,
        "profile": {**nulls("business_url doing_business_as product_description"), **record.get("profile", {})},
        "responsibilities": {
            "fees_collector": "application",
            "losses_collector": "application",
            "requirements_collector": "stripe",
        },
    }


def _identity(record: Json) -> Json:
    return {
        "attestations": None,
        "business_details": None,
        "country": record["country"].lower(),
        "entity_type": record["business_type"],
        "individual": None,
    }


def _entries(own: Book, record: Json) -> list[Json]:
    why = "routine_onboarding" if record["stage"] in {"new", "started"} else "routine_verification"
    owed = [_entry(name, by="user", status="past_due", why=why) for name in account_face.due(own, record)]
    looked_at = account_face.under_review(record)
    return owed + [_entry(name, by="stripe", status="currently_due", why=why) for name in looked_at]


def _entry(name: str, *, by: str, status: str, why: str) -> Json:
    deadline = {"status": status}
    restricted = {"capability": TRANSFERS, "configuration": "recipient", "deadline": deadline}
    return {
        "awaiting_action_from": by,
        "description": name,
        "errors": [],
        "impact": {"restricts_capabilities": [restricted]},
        "minimum_deadline": deadline,
        "reference": None,
        "requested_reasons": [{"code": why}],
    }


def _requirements(entries: list[Json]) -> Json:
    first = entries[0]["minimum_deadline"]["status"] if entries else None
    summary = {"minimum_deadline": {"status": first, "time": None} if first else None}
    return {"alternatives": None, "entries": entries, "summary": summary}
