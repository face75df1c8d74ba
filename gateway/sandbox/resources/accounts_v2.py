"""Connected accounts, the second generation: /v2/core/accounts, /v2/core/account_links, /v2/core/events."""

from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urlencode

from gateway.sandbox.engine import account_face_v2, accounts, onboarding
from gateway.sandbox.engine.account_face_v2 import iso
from gateway.sandbox.engine.blanks import merged_metadata
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import (
    Json,
    missing_in_path,
    not_played,
    parameter_invalid,
    parameter_missing,
    state_conflict,
)
from gateway.sandbox.resources.accounts import checked_country, checked_email, platform_only
from gateway.sandbox.wire.operation import Call, Operation
from gateway.sandbox.wire.shapes import parts

LIMIT_MAX: Final = 100
LIMIT_DEFAULT: Final = 20

#: What the asynchronous `fetch_event` and `fetch_related_object` of Stripe's Python SDK add to the address.
_SDK_SENDS: Final = "usage:[s]"
_INCLUDE: Final = f"include:[({' '.join(account_face_v2.ALL)})]"
_FIELDS: Final = (
    "account_token^:s "
    "configuration:{customer^:* merchant^:* recipient:{applied^:b capabilities:{bank_accounts^:* cards^:* "
    "stripe_balance:{stripe_transfers:{requested!:b}}}}} "
    "contact_email:s contact_phone:s dashboard:(express full none) "
    "defaults:{currency^:s locales^:[s] profile:{business_url:s doing_business_as:s product_description:s} "
    "responsibilities:{fees_collector!:s losses_collector!:s requirements_collector:s}} display_name:s "
    "identity:{attestations^:* business_details^:* country:s "
    "entity_type:(company government_entity individual non_profit) individual^:*} "
    f"metadata:map {_INCLUDE}"
)
#: Where an account link leads back to, and what is asked on the way.
_PAGES: Final = (
    "{collection_options:{fields:(currently_due eventually_due) future_requirements:(include omit)} "
    "refresh_url!:s return_url:s}"
)


def _v2(method: str, path: str, notation: str, run: Callable[[Call], Json]) -> Operation:
    """An operation of this generation, which knows `include` and not `expand`."""
    return Operation(method=method, path=path, kind="v2", shape=parts(notation), run=run)


def _record(platform: Book, id: str) -> Json:
    record = accounts.account_at(platform, id)
    if record is None:
        raise missing_in_path("account", id)
    return record


def _shown(platform: Book, record: Json, params: Json) -> Json:
    return account_face_v2.face(platform.connected(record["id"]), record, include=params.get("include", []))


def _create(call: Call) -> Json:
    platform, params = platform_only(call), call.params
    if params.get("dashboard", "express") != "express":
        raise not_played("dashboard")
    record = accounts.new_account(platform, _changes(params, {}), api="v2")
    return _shown(platform, record, params)


def _changes(params: Json, record: Json) -> Json:
    """What the parameters say about the record's own fields."""
    changed: Json = {}
    if "contact_email" in params:
        changed["email"] = checked_email(params["contact_email"], param="contact_email")
    for name, field in (("contact_phone", "phone"), ("display_name", "display_name")):
        if name in params:
            changed[field] = params[name] or None
    if "metadata" in params:
        changed["metadata"] = merged_metadata(record.get("metadata", {}), params["metadata"])
    identity: Json = params.get("identity", {})
    if "country" in identity:
        changed["country"] = checked_country(identity["country"].upper(), param="identity.country")
    if "entity_type" in identity:
        changed["business_type"] = identity["entity_type"]
    if "profile" in params.get("defaults", {}):
        changed["profile"] = {**record.get("profile", {}), **params["defaults"]["profile"]}
    _check_responsibilities(params)
    if "recipient" in params.get("configuration", {}):
        changed["requested"] = _requested(params["configuration"]["recipient"], record)
    return changed


def _check_responsibilities(params: Json) -> None:
    responsibilities: Json = params.get("defaults", {}).get("responsibilities", {})
    for name, played in (
        ("fees_collector", "application"),
        ("losses_collector", "application"),
        ("requirements_collector", "stripe"),
    ):
        if responsibilities.get(name, played) != played:
            raise not_played(f"defaults.responsibilities.{name}")


def _requested(recipient: Json, record: Json) -> list[str]:
    wish: Json | None = recipient.get("capabilities", {}).get("stripe_balance", {}).get("stripe_transfers")
    requested = set(record.get("requested", []))
    if wish is not None:
        requested = requested | {"transfers"} if wish["requested"] else requested - {"transfers"}
    return sorted(requested)


def _retrieve(call: Call) -> Json:
    platform = call.book.platform
    return _shown(platform, _record(platform, call.id), call.params)


def _update(call: Call) -> Json:
    platform = platform_only(call)
    record = _record(platform, call.id)
    if record["closed"]:
        raise state_conflict(f"The account {record['id']} is closed.", code="account_closed")
    if "country" in call.params.get("identity", {}):
        raise state_conflict("The country of an account cannot be changed.", param="identity.country")
    changed = _changes(call.params, record)
    with accounts.telling(platform, record):
        record.update(changed)
    return _shown(platform, record, call.params)


def _close(call: Call) -> Json:
    platform = platform_only(call)
    record = _record(platform, call.id)
    accounts.close(platform, record)
    return _shown(platform, record, call.params)


def _page(rows: list[Json], params: Json, *, path: str) -> Json:
    """A page of this generation: the address of the next one rather than a cursor of one's own."""
    limit: int = params.get("limit", LIMIT_DEFAULT)
    if not 1 <= limit <= LIMIT_MAX:
        raise parameter_invalid(f"limit must be between 1 and {LIMIT_MAX}; got {limit}.", param="limit")
    text = params.get("page", "0")
    if not text.isdecimal():
        raise parameter_invalid(f"page is not one that was given out: {text}.", param="page")
    start = int(text)
    end = start + limit

    def address(page: int) -> str:
        return f"{path}?{urlencode([*_filters(params), ('limit', limit), ('page', page)])}"

    return {
        "data": rows[start:end],
        "next_page_url": address(end) if end < len(rows) else None,
        "previous_page_url": address(max(0, start - limit)) if start else None,
    }


def _filters(params: Json) -> list[tuple[str, str]]:
    """The parameters that the next page's address repeats, as they were sent."""
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        match value:
            case bool():
                pairs.append((name, str(value).lower()))
            case list():
                pairs.extend((f"{name}[{index}]", str(one)) for index, one in enumerate(cast("list[object]", value)))
            case _ if name not in {"limit", "page"}:
                pairs.append((name, str(value)))
            case _:
                pass
    return pairs


def _accounts(call: Call) -> Json:
    platform = platform_only(call)
    closed: bool = call.params.get("closed", False)
    rows = [
        _shown(platform, record, {})
        for record in platform.newest_first("connected_account")
        if record["connected"] and record["closed"] == closed
    ]
    return _page(rows, call.params, path="/v2/core/accounts")


def _link(call: Call) -> Json:
    platform, params = platform_only(call), call.params
    record = accounts.account_at(platform, params["account"])
    if record is None:
        raise missing_in_path("account", params["account"])
    use_case: Json = params["use_case"]
    use = onboarding.LinkUse(use_case["type"])
    wanted: Json | None = use_case.get(use)
    if wanted is None:
        raise parameter_missing(f"use_case.{use}")
    if use is onboarding.LinkUse.UPDATE and record["stage"] in {"new", "started"}:
        raise state_conflict(
            f"The account {record['id']} has not completed onboarding; there is nothing to update yet.",
            param="use_case.type",
        )
    link = onboarding.new_link(
        platform,
        record,
        use=use,
        refresh_url=wanted["refresh_url"],
        return_url=wanted.get("return_url"),
        lifetime_seconds=onboarding.V2_SECONDS,
        at=f"use_case.{use}.",
    )
    shown = {"collection_options": None, "return_url": None, **wanted}
    return {
        "object": "v2.core.account_link",
        "account": record["id"],
        "created": iso(link["created"]),
        "expires_at": iso(link["expires_at"]),
        "livemode": platform.livemode,
        "url": onboarding.url_of(platform, link),
        "use_case": {"account_onboarding": None, "account_update": None, use.value: shown, "type": use.value},
    }


def _event(call: Call) -> Json:
    event = call.book.platform.find("v2.core.event", call.id)
    if event is None:
        raise missing_in_path("event", call.id)
    return event


def _events(call: Call) -> Json:
    named: str | None = call.params.get("object_id")
    types: list[str] | None = call.params.get("types")
    rows = [
        event
        for event in call.book.platform.newest_first("v2.core.event")
        if (named is None or event["related_object"]["id"] == named) and (types is None or event["type"] in types)
    ]
    return _page(rows, call.params, path="/v2/core/events")


OPERATIONS: Final[tuple[Operation, ...]] = (
    _v2("POST", "/v2/core/accounts", _FIELDS, _create),
    _v2("GET", "/v2/core/accounts", "applied_configurations^:[s] closed:b limit:i page:s", _accounts),
    _v2("GET", "/v2/core/accounts/{id}", f"{_INCLUDE} {_SDK_SENDS}", _retrieve),
    _v2("POST", "/v2/core/accounts/{id}", _FIELDS, _update),
    _v2("POST", "/v2/core/accounts/{id}/close", "applied_configurations:[(customer merchant recipient)]", _close),
    _v2(
        "POST",
        "/v2/core/account_links",
        "account!:s use_case!:{type!:(account_onboarding account_update) "
        f"account_onboarding:{_PAGES} account_update:{_PAGES}}}",
        _link,
    ),
    _v2("GET", "/v2/core/events/{id}", _SDK_SENDS, _event),
    _v2("GET", "/v2/core/events", "created^:* limit:i object_id:s page:s types:[s]", _events),
)
