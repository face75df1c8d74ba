"""A connected account as the first generation of the API shows it."""

from typing import Final

from gateway.sandbox.engine import banks, payout_schedule
from gateway.sandbox.engine.blanks import list_of, nulls
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json

_EVERYTHING: Final = (
    "business_profile.url",
    "business_type",
    "external_account",
    "individual.dob.day",
    "individual.dob.month",
    "individual.dob.year",
    "individual.first_name",
    "individual.last_name",
    "tos_acceptance.date",
    "tos_acceptance.ip",
)
_DOCUMENT: Final = "individual.verification.document"
_DUE: Final = {
    "new": _EVERYTHING,
    "started": ("external_account", _DOCUMENT),
    "restricted": (_DOCUMENT,),
}
_CAPABILITY: Final = {"active": "active", "review": "pending"}
_DISABLED: Final = {
    "new": "requirements.past_due",
    "started": "requirements.past_due",
    "restricted": "requirements.past_due",
    "review": "requirements.pending_verification",
    "rejected": "rejected.other",
}


def due(own: Book, record: Json) -> list[str]:
    """What the account's owner has to hand in."""
    owed = list(_DUE.get(record["stage"], ()))
    if banks.is_errored(own) and "external_account" not in owed:
        owed.insert(0, "external_account")
    return owed


def under_review(record: Json) -> list[str]:
    return [_DOCUMENT] if record["stage"] == "review" else []


def pays_out(own: Book, record: Json) -> bool:
    """Whether money may go on to the bank."""
    return record["stage"] == "active" and not record["closed"] and not banks.is_errored(own)


def face(own: Book, record: Json) -> Json:
    """The account object; `own` is the account's own book."""
    bank = banks.bank_of(own)
    url = f"/v1/accounts/{record['id']}/external_accounts"
    return {
        "id": record["id"],
        "object": "account",
        "business_profile": _business_profile(record),
        "business_type": record["business_type"],
        "capabilities": {name: _CAPABILITY.get(record["stage"], "inactive") for name in sorted(record["requested"])},
        "charges_enabled": record["stage"] == "active" and "card_payments" in record["requested"],
        "controller": {
            "fees": {"payer": "application"},
            "is_controller": True,
            "losses": {"payments": "application"},
            "requirement_collection": "stripe",
            "stripe_dashboard": {"type": "express"},
            "type": "application",
        },
        "country": record["country"],
        "created": record["created"],
        "default_currency": "usd",
        "details_submitted": record["stage"] not in {"new", "started"},
        "email": record["email"],
        "external_accounts": list_of([bank] if bank else [], url=url),
        "future_requirements": _requirements([], [], None),
        "metadata": record["metadata"],
        "payouts_enabled": pays_out(own, record),
        "requirements": _requirements(due(own, record), under_review(record), _DISABLED.get(record["stage"])),
        "settings": _settings(own),
        "tos_acceptance": {"date": None},
        "type": "none",
    }


def _business_profile(record: Json) -> Json:
    empty = nulls(
        "mcc minority_owned_business_designation name product_description specified_commercial_transactions_act_url "
        "support_address support_email support_phone support_url url"
    )
    return {**empty, "name": record["display_name"], **record["business_profile"]}


def _requirements(owed: list[str], reviewed: list[str], disabled_reason: str | None) -> Json:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": owed,
        "disabled_reason": disabled_reason,
        "errors": [],
        "eventually_due": owed,
        "past_due": owed,
        "pending_verification": reviewed,
    }


def _settings(own: Book) -> Json:
    descriptors = nulls(
        "statement_descriptor statement_descriptor_kana statement_descriptor_kanji statement_descriptor_prefix_kana "
        "statement_descriptor_prefix_kanji"
    )
    return {
        "branding": nulls("icon logo primary_color secondary_color"),
        "card_payments": {
            "decline_on": {"avs_failure": False, "cvc_failure": False},
            **nulls("statement_descriptor_prefix statement_descriptor_prefix_kana statement_descriptor_prefix_kanji"),
        },
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "payments": descriptors,
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {**payout_schedule.schedule_of(own), "delay_days": payout_schedule.DELAY_DAYS},
            "statement_descriptor": None,
        },
    }
