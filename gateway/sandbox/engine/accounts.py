"""Connected accounts: one record each, which both generations of the API show, and the steps it goes through."""

import copy
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum

from gateway.sandbox.engine import account_face, account_face_v2, banks, payout_schedule, thin_events
from gateway.sandbox.engine.balance import has_money
from gateway.sandbox.engine.book import Book, differences
from gateway.sandbox.refusals import Json, state_conflict


class Stage(StrEnum):
    """How far an account has come; what it may do follows from it."""

    NEW = "new"
    STARTED = "started"
    """Left half done."""
    REVIEW = "review"
    """All is handed in, and Stripe looks at it."""
    ACTIVE = "active"
    RESTRICTED = "restricted"
    """Was further once, and owes something now."""
    REJECTED = "rejected"


def new_account(platform: Book, fields: Json, *, api: str) -> Json:
    """An account that owes everything; `fields` are those of the record that the caller knows."""
    record: Json = {
        **platform.stamp("acct", "connected_account"),
        "api": api,
        "business_profile": {},
        "business_type": None,
        "closed": False,
        "connected": True,
        "country": "US",
        "display_name": None,
        "email": None,
        "metadata": {},
        "phone": None,
        "requested": [],
        "stage": Stage.NEW.value,
        **fields,
    }
    platform.add(record)
    payout_schedule.begin(platform.connected(record["id"]))
    if api == "v2":
        thin_events.emit(platform, "v2.core.account.created", record)
    return record


def account_at(platform: Book, id: str) -> Json | None:
    """The record of an account that is connected, closed or not."""
    record = platform.find("connected_account", id)
    return record if record is not None and record["connected"] else None


def can_receive(record: Json) -> bool:
    """Whether transfers may go there."""
    return record["stage"] == Stage.ACTIVE and "transfers" in record["requested"] and not record["closed"]


@contextmanager
def telling(platform: Book, record: Json) -> Generator[Json]:
    """Change a record or its bank account; whoever listens is told what that comes to."""
    own = platform.connected(record["id"])
    before, before_v2 = _faces(own, record)
    yield record
    after, after_v2 = _faces(own, record)
    previous = differences(before, after)
    if previous and (record["api"] == "v1" or _tells_v2_by_snapshot(platform)):
        own.emit("account.updated", after, previous)
    if record["api"] == "v2":
        thin_events.tell_changes(platform, record, before_v2, after_v2)


def _tells_v2_by_snapshot(platform: Book) -> bool:
    switched = platform.behind.v2_by_snapshot
    return platform.settings.v2_account_snapshots if switched is None else switched


def _faces(own: Book, record: Json) -> tuple[Json, Json]:
    return copy.deepcopy(account_face.face(own, record)), account_face_v2.face(own, record, include=account_face_v2.ALL)


def move(platform: Book, record: Json, stage: Stage, *, account_number: str | None = None) -> None:
    """Bring an account to a stage; finishing needs a bank account, the good one unless a number is given.

    Raises:
        Refusal: it is closed, or the number is not one for tests.
    """
    if record["closed"]:
        raise state_conflict(f"The account {record['id']} is closed.", code="account_closed")
    own = platform.connected(record["id"])
    with telling(platform, record):
        if stage in {Stage.ACTIVE, Stage.REVIEW} and (account_number or banks.bank_of(own) is None):
            number = account_number or banks.GOOD_NUMBER
            banks.set_bank(own, routing_number=banks.ROUTING_NUMBER, account_number=number)
        record["stage"] = stage.value
    payout_schedule.plan(own)


def replace_bank(platform: Book, record: Json, account_number: str) -> None:
    """Another bank account, to which payouts go on by themselves."""
    own = platform.connected(record["id"])
    with telling(platform, record):
        bank = banks.set_bank(own, routing_number=banks.ROUTING_NUMBER, account_number=account_number)
    own.emit("account.external_account.created", bank)
    payout_schedule.plan(own)


def close(platform: Book, record: Json) -> None:
    """Close it for good.

    Raises:
        Refusal: there is money left, or it is closed already.
    """
    if record["closed"]:
        raise state_conflict(f"The account {record['id']} is closed already.", code="account_closed")
    if has_money(platform.connected(record["id"])):
        raise state_conflict(
            "This account has a balance that is not zero; pay it out or reverse its transfers first.",
            code="account_balance_not_zero",
        )
    with telling(platform, record):
        record["closed"] = True
        record["stage"] = Stage.RESTRICTED.value
    if record["api"] == "v2":
        thin_events.emit(platform, "v2.core.account.closed", record)


def deauthorize(platform: Book, record: Json) -> None:
    """Its owner takes the platform's access away: from now on it does not exist for the platform."""
    application = {"id": "ca_local", "object": "application", "name": platform.settings.business_name}
    platform.connected(record["id"]).emit("account.application.deauthorized", application)
    record["connected"] = False
