"""Connected accounts, the first generation: /v1/account, /v1/accounts, /v1/account_links."""

import re
from collections.abc import Iterable
from typing import Final

from gateway.sandbox.engine import account_face, accounts, dashboards, onboarding, payout_schedule
from gateway.sandbox.engine.blanks import merged_metadata
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import (
    Json,
    Refusal,
    missing_in_params,
    not_played,
    parameter_invalid,
    parameter_missing,
    state_conflict,
)
from gateway.sandbox.wire.operation import Call, Operation, listing, matches, operation

_COUNTRY = re.compile(r"[A-Z]{2}")
#: Some of the countries that Stripe pays out to nobody in.
_UNSUPPORTED: Final = frozenset({"CU", "IR", "KP", "SY"})
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
#: Whose key every platform key is: the same from one start to the next, with or without a state file.
PLATFORM_ACCOUNT_ID: Final = "acct_1LocalStripePlatform"
_SCHEDULE: Final = (
    f"{{interval:({' '.join(payout_schedule.INTERVALS)}) weekly_payout_days:[({' '.join(payout_schedule.WEEKDAYS)})] "
    "monthly_payout_days:[i] weekly_anchor^:s monthly_anchor^:i delay_days^:*}"
)
_FIELDS: Final = (
    "account_token^:s "
    "business_profile:{annual_revenue^:* estimated_worker_count^:i mcc:s minority_owned_business_designation^:* "
    "monthly_estimated_revenue^:* name:s product_description:s specified_commercial_transactions_act_url^:s "
    "support_address^:* support_email:s support_phone:s support_url:s|'' url:s} "
    "business_type:(company government_entity individual non_profit) "
    "capabilities:{transfers:{requested:b} card_payments:{requested:b}} company^:* default_currency^:s documents^:* "
    "email:s external_account^:* groups^:* individual^:* metadata:map|'' "
    "settings:{bacs_debit_payments^:* branding^:* card_issuing^:* card_payments^:* invoices^:* payments^:* "
    f"payouts:{{debit_negative_balances^:b schedule:{_SCHEDULE} statement_descriptor^:s}} paypay_payments^:* "
    "sepa_debit_payments^:* treasury^:*} tos_acceptance^:*"
)
_CONTROLLER: Final = (
    "{fees:{payer:(account application)} losses:{payments:(application stripe)} "
    "requirement_collection:(application stripe) stripe_dashboard:{type:(express full none)}}"
)
#: The only kind of connected account that is played: Stripe collects, the platform pays fees and carries losses.
_PLAYED: Final = {
    ("fees", "payer"): "application",
    ("losses", "payments"): "application",
    ("stripe_dashboard", "type"): "express",
}


def platform_only(call: Call) -> Book:
    """The book of the caller, which must not act for a connected account.

    Raises:
        Refusal: 403.
    """
    if call.book.account is not None:
        raise Refusal(
            "This operation is for the platform itself; leave the Stripe-Account header out.",
            status=403,
            code="platform_account_required",
        )
    return call.book


def account_in_path(book: Book, id: str) -> Json:
    """The record of an account the platform may see.

    Raises:
        Refusal: 403, as Stripe does not say whether the account exists.
    """
    record = accounts.account_at(book.platform, id)
    if record is None or book.account not in (None, id):
        raise Refusal(
            f"The provided key does not have access to account '{id}' (or that account does not exist). "
            "Application access may have been revoked.",
            status=403,
            code="account_invalid",
        )
    return record


def checked_email(text: str, *, param: str) -> str:
    if _EMAIL.fullmatch(text) is None:
        raise parameter_invalid(f"Invalid email address: {text}", param=param, code="email_invalid")
    return text


def checked_country(text: str, *, param: str) -> str:
    if _COUNTRY.fullmatch(text) is None:
        raise parameter_invalid(
            f"Country '{text}' is unknown. Try using a 2-character alphanumeric country code instead, such as 'US', "
            "'EG', or 'GB'.",
            param=param,
            code="country_code_invalid",
        )
    if text in _UNSUPPORTED:
        raise parameter_invalid(
            f"{text} is not currently supported by Stripe.", param=param, code="country_unsupported"
        )
    return text


def _create(call: Call) -> Json:
    platform, params = platform_only(call), call.params
    controller: Json = params.get("controller", {})
    for (part, name), played in _PLAYED.items():
        given = controller.get(part, {}).get(name)
        if given is None:
            raise parameter_missing(f"controller[{part}][{name}]")
        if given != played:
            raise not_played(f"controller[{part}][{name}]")
    if controller.get("requirement_collection", "stripe") != "stripe":
        raise not_played("controller[requirement_collection]")
    country = checked_country(params.get("country", "US"), param="country")
    record = accounts.new_account(platform, {"country": country, **_changes(params, {})}, api="v1")
    _set_schedule(platform, record, params)
    return account_face.face(platform.connected(record["id"]), record)


def _changes(params: Json, record: Json) -> Json:
    """What the parameters say about the record's own fields."""
    changed: Json = {}
    if "email" in params:
        changed["email"] = checked_email(params["email"], param="email")
    if "business_type" in params:
        changed["business_type"] = params["business_type"]
    if "metadata" in params:
        changed["metadata"] = merged_metadata(record.get("metadata", {}), params["metadata"])
    if "business_profile" in params:
        changed["business_profile"] = {**record.get("business_profile", {}), **params["business_profile"]}
    if "capabilities" in params:
        requested = set(record.get("requested", []))
        for name, wish in params["capabilities"].items():
            requested = requested | {name} if wish.get("requested") else requested - {name}
        changed["requested"] = sorted(requested)
    return changed


def _set_schedule(platform: Book, record: Json, params: Json) -> None:
    schedule: Json | None = params.get("settings", {}).get("payouts", {}).get("schedule")
    if schedule is not None:
        own = platform.connected(record["id"])
        own.behind.payout_schedule = {**own.behind.payout_schedule, **schedule}
        payout_schedule.plan(own)


def _update(call: Call) -> Json:
    platform, record = call.book.platform, account_in_path(call.book, call.id)
    if record["closed"]:
        raise state_conflict(f"The account {record['id']} is closed.", code="account_closed")
    changed = _changes(call.params, record)
    with accounts.telling(platform, record):
        record.update(changed)
        _set_schedule(platform, record, call.params)
    return account_face.face(platform.connected(record["id"]), record)


def _retrieve(call: Call) -> Json:
    return account_face.face(call.book.platform.connected(call.id), account_in_path(call.book, call.id))


def _delete(call: Call) -> Json:
    platform = platform_only(call)
    record = account_in_path(platform, call.id)
    if not record["closed"]:
        accounts.close(platform, record)
    record["connected"] = False
    return {"id": call.id, "object": "account", "deleted": True}


def _accounts(call: Call) -> Iterable[Json]:
    platform = platform_only(call)
    for record in platform.newest_first("connected_account"):
        if record["connected"] and matches(record, call.params, "created"):
            yield account_face.face(platform.connected(record["id"]), record)


def _own(call: Call) -> Json:
    """The account of the caller."""
    book = call.book
    if book.account is not None:
        return account_face.face(book, account_in_path(book, book.account))
    return {
        "id": PLATFORM_ACCOUNT_ID,
        "object": "account",
        "business_profile": None,
        "charges_enabled": True,
        "country": book.settings.country,
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "settings": None,
        "type": "standard",
    }


def _link(call: Call) -> Json:
    platform, params = platform_only(call), call.params
    record = accounts.account_at(platform, params["account"])
    if record is None:
        raise missing_in_params("account", params["account"], param="account")
    if params["type"] == "account_update":
        raise parameter_invalid(
            "You cannot create `account_update` type Account Links for this account: it has a Stripe-hosted dashboard.",
            param="type",
        )
    for name in ("refresh_url", "return_url"):
        if name not in params:
            raise parameter_missing(name)
    link = onboarding.new_link(
        platform,
        record,
        refresh_url=params["refresh_url"],
        return_url=params["return_url"],
        lifetime_seconds=onboarding.V1_SECONDS,
    )
    return {
        "object": "account_link",
        "created": link["created"],
        "expires_at": link["expires_at"],
        "url": onboarding.url_of(platform, link),
    }


def _login_link(call: Call) -> Json:
    platform, record = call.book.platform, account_in_path(call.book, call.id)
    if record["stage"] in {"new", "started"}:
        raise state_conflict("Cannot create a login link for an account that has not completed onboarding.")
    login = dashboards.new_login(platform, record)
    return {"object": "login_link", "created": login["created"], "url": dashboards.url_of(platform, login)}


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("GET", "/v1/account", "account", "", _own),
    operation(
        "POST",
        "/v1/accounts",
        "account",
        f"{_FIELDS} controller:{_CONTROLLER} country:s type^:(custom express standard)",
        _create,
    ),
    operation("GET", "/v1/accounts/{id}", "account", "", _retrieve),
    operation("POST", "/v1/accounts/{id}", "account", _FIELDS, _update),
    operation("DELETE", "/v1/accounts/{id}", "account", "", _delete),
    listing("/v1/accounts", "account", "created:range", _accounts),
    operation("POST", "/v1/accounts/{id}/login_links", "login_link", "", _login_link),
    operation(
        "POST",
        "/v1/account_links",
        "account_link",
        "account!:s collect^:(currently_due eventually_due) "
        "collection_options:{fields:(currently_due eventually_due) future_requirements:(include omit)} "
        "refresh_url:s return_url:s type!:(account_onboarding account_update)",
        _link,
    ),
)
