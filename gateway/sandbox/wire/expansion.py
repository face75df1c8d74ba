"""Replacing ids by their objects, and including lists, where `expand` asks for it."""

import copy
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from gateway.sandbox.engine import account_face, balance, customers
from gateway.sandbox.engine.blanks import list_of
from gateway.sandbox.engine.book import Book
from gateway.sandbox.refusals import Json, Refusal

EXPAND_DEPTH_MAX: Final = 4
EXPAND_PATHS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Link:
    """How a field leads to other objects: by their id, embedded already, or included on request."""

    how: Literal["id", "embedded", "included"]
    kind: str


# Field paths that lead on: `field` holds an id, `@field` embeds objects, `+field` appears only when asked for.
_LINKS: Final = {
    "balance_transaction": "source=source",
    "billing_portal.session": "configuration=billing_portal.configuration",
    "charge": (
        "balance_transaction customer payment_intent source_transfer=transfer +refunds=refund "
        "failure_balance_transaction=balance_transaction"
    ),
    "account": "",
    "checkout.session": "customer invoice payment_intent subscription setup_intent +line_items=item",
    "customer": (
        "+subscriptions=subscription invoice_settings.default_payment_method=payment_method default_source=source"
    ),
    "dispute": "charge payment_intent @balance_transactions=balance_transaction",
    "invoice": (
        "customer default_payment_method=payment_method @lines=line_item +payments=invoice_payment "
        "+confirmation_secret=secret parent.subscription_details.subscription=subscription"
    ),
    "invoice_payment": "invoice payment.payment_intent=payment_intent payment.charge=charge",
    "item": "@price",
    "line_item": "pricing.price_details.price=price subscription",
    "payment_intent": "customer latest_charge=charge payment_method",
    "payment_method": "customer",
    "plan": "product",
    "price": "product",
    "product": "default_price=price",
    "payout": ("balance_transaction destination=bank_account failure_balance_transaction=balance_transaction"),
    "refund": "balance_transaction charge customer payment_intent transfer_reversal",
    "subscription": (
        "customer default_payment_method=payment_method default_source=source latest_invoice=invoice "
        "@items=subscription_item pending_setup_intent=setup_intent schedule=subscription_schedule"
    ),
    "subscription_item": "@plan @price",
    "transfer": (
        "balance_transaction destination=connected_account destination_payment=charge source_transaction=charge "
        "@reversals=transfer_reversal"
    ),
    "transfer_reversal": "balance_transaction destination_payment_refund=refund transfer",
}


def _link(text: str) -> tuple[str, Link]:
    how: Literal["id", "embedded", "included"] = "id"
    if text[0] in "@+":
        how = "embedded" if text[0] == "@" else "included"
        text = text[1:]
    field, _, kind = text.partition("=")
    return field, Link(how=how, kind=kind or field)


LINKS: Final = {kind: dict(_link(text) for text in fields.split()) for kind, fields in _LINKS.items()}
_SOURCES: Final = {
    "ch": "charge",
    "du": "dispute",
    "po": "payout",
    "py": "charge",
    "pyr": "refund",
    "re": "refund",
    "tr": "transfer",
    "trr": "transfer_reversal",
}


def check_paths(paths: list[str], *, kind: str, many: bool) -> None:
    """Refuse, before anything is done, a path that cannot be expanded."""
    if len(paths) > EXPAND_PATHS_MAX:
        raise Refusal(f"You cannot expand more than {EXPAND_PATHS_MAX} properties at once.", param="expand")
    for index, path in enumerate(paths):
        steps = path.split(".")
        walked = steps[1:] if many and steps[0] == "data" else steps
        if (many and steps[0] != "data") or not walked or not _leads_on(walked, kind):
            raise Refusal(
                f"This property cannot be expanded ({path}). You may want to try expanding another one.",
                param=f"expand[{index}]",
            )
        if len(_fields_of(steps)) > EXPAND_DEPTH_MAX:
            raise Refusal(
                f"You cannot expand more than {EXPAND_DEPTH_MAX} levels of a property ({path}).",
                param=f"expand[{index}]",
            )


def _fields_of(steps: list[str]) -> list[str]:
    return [step for step in steps if step != "data"]


def _leads_on(steps: list[str], kind: str) -> bool:
    """Whether the path ends at something an `expand` changes."""
    if kind == "source":
        return True
    link, rest = _longest(steps, kind)
    if link is None:
        return False
    if rest and rest[0] == "data":
        rest = rest[1:]
    if not rest:
        return link.how != "embedded"
    return _leads_on(rest, link.kind)


def _longest(steps: list[str], kind: str) -> tuple[Link | None, list[str]]:
    """The link that the first steps name (some lie inside nested parts), and the steps after it."""
    known = LINKS.get(kind, {})
    for length in range(min(3, len(steps)), 0, -1):
        link = known.get(".".join(steps[:length]))
        if link is not None:
            return link, steps[length:]
    return None, steps


def render(book: Book, thing: Json) -> Json:
    """A copy to hand out, as of now."""
    copied = copy.deepcopy(thing)
    if copied.get("object") == "balance_transaction":
        return balance.as_of_now(book, copied)
    if copied.get("object") == "connected_account":
        return account_face.face(book.connected(copied["id"]), copied)
    return copied


def expand(book: Book, thing: Json, paths: list[str]) -> None:
    """Expand each path in a rendered object or list; the paths were checked."""
    for path in paths:
        _expand_steps(book, thing, path.split("."))


def _expand_steps(book: Book, thing: Json, steps: list[str]) -> None:
    if thing.get("object") == "list":
        rest = steps[1:] if steps and steps[0] == "data" else steps
        for row in thing["data"]:
            if rest:
                _expand_steps(book, row, rest)
        return
    link, rest = _longest(steps, thing.get("object", ""))
    if link is None:
        return
    walked = steps[: len(steps) - len(rest)]
    holder: Json | None = thing
    for step in walked[:-1]:
        holder = holder[step] if holder else None
    if holder is None:
        return
    value = _reached(book, thing, holder, walked[-1], link)
    for one in cast("list[Any]", value if isinstance(value, list) else [value]):
        if isinstance(one, dict) and rest:
            _expand_steps(book, cast("Json", one), rest)


def _reached(book: Book, thing: Json, holder: Json, field: str, link: Link) -> Any:  # noqa: ANN401 - any part of an object
    if link.how == "included" and field not in holder:
        holder[field] = _included(book, thing, field)
    elif link.how == "id" and isinstance(holder.get(field), str):
        holder[field] = _by_id(book, link.kind, holder[field])
    return holder.get(field)


def _by_id(book: Book, kind: str, id: str) -> Json | str:
    if kind == "source":
        kind = _SOURCES.get(id.partition("_")[0], kind)
    if id in book.behind.deleted:
        return customers.deleted_customer({"id": id})
    # A transfer leads from the platform's book to a connected account's, and back.
    found = book.find(kind, id) or book.around.elsewhere(book, kind, id)
    return render(book, found) if found is not None else id


def _included(book: Book, thing: Json, field: str) -> Json | None:
    own: str = thing["id"]
    match field:
        case "line_items":
            rows = book.behind.session_lines.get(own, [])
            return _list(book, rows, f"/v1/checkout/sessions/{own}/line_items")
        case "refunds":
            rows = [row for row in book.newest_first("refund") if row["charge"] == own]
            return _list(book, rows, f"/v1/charges/{own}/refunds")
        case "payments":
            rows = [row for row in book.newest_first("invoice_payment") if row["invoice"] == own]
            return _list(book, rows, f"/v1/invoices/{own}/payments")
        case "subscriptions":
            rows = [
                row
                for row in book.newest_first("subscription")
                if row["customer"] == own and row["status"] not in {"canceled", "incomplete_expired"}
            ]
            return _list(book, rows, f"/v1/customers/{own}/subscriptions")
        case _:
            return None


def _list(book: Book, rows: list[Json], url: str) -> Json:
    return list_of([render(book, row) for row in rows[:10]], url=url, has_more=len(rows) > 10)  # noqa: PLR2004 - a page
