"""What happens to connected accounts and their money outside the API: Stripe decides, banks refuse, owners leave."""

from gateway.sandbox.control.body import Body, ControlRefused
from gateway.sandbox.control.money import find
from gateway.sandbox.engine import accounts, balance, banks, payouts, reversals
from gateway.sandbox.engine.accounts import Stage
from gateway.sandbox.engine.book import Book
from gateway.sandbox.engine.world import Scope, World
from gateway.sandbox.refusals import Json

_REASONS = tuple(banks.FAILURE_MESSAGES)


def _account(world: World, body: Body) -> tuple[Book, Json]:
    return find(world, "connected_account", body.text("account"))


def stage(world: World, body: Body) -> Json:
    """Bring an account to a stage, as its owner or Stripe would."""
    platform, record = _account(world, body)
    wanted = body.one_of("stage", tuple(Stage))
    number = body.text_or_none("account_number")
    body.done()
    accounts.move(platform, record, Stage(wanted), account_number=number)
    return _summary(platform, record)


def close(world: World, body: Body) -> Json:
    platform, record = _account(world, body)
    body.done()
    accounts.close(platform, record)
    return _summary(platform, record)


def deauthorize(world: World, body: Body) -> Json:
    platform, record = _account(world, body)
    body.done()
    if not record["connected"]:
        raise ControlRefused(f"The account {record['id']} is not connected any more.", status=409)
    accounts.deauthorize(platform, record)
    return _summary(platform, record)


def replace_bank(world: World, body: Body) -> Json:
    """Another bank account, the one that works unless a number is given."""
    platform, record = _account(world, body)
    number = body.text_or_none("account_number") or banks.GOOD_NUMBER
    body.done()
    accounts.replace_bank(platform, record, number)
    return _summary(platform, record)


def _summary(platform: Book, record: Json) -> Json:
    bank = banks.bank_of(platform.connected(record["id"]))
    return {
        "account": record["id"],
        "stage": record["stage"],
        "closed": record["closed"],
        "connected": record["connected"],
        "bank": None if bank is None else {"last4": bank["last4"], "status": bank["status"]},
    }


def _book(world: World, body: Body) -> Book:
    """The book of the account that is named; the platform's when none is."""
    named = body.text_or_none("account")
    if named is None:
        return world.platform
    platform, record = find(world, "connected_account", named)
    return world.book(Scope(account=record["id"], livemode=platform.livemode))


def make_available(world: World, body: Body) -> Json:
    """Pending money becomes available now."""
    book = _book(world, body)
    body.done()
    return {"lines": balance.make_available(book), "balance": balance.balance_of(book)}


def pay_out(world: World, body: Body) -> Json:
    """Pay out to the bank now, all that is available unless `amount` says less; `automatic` as the schedule would."""
    book = _book(world, body)
    amount, automatic = body.whole_or_none("amount", least=1), body.flag("automatic")
    body.done()
    if automatic and amount is not None:
        raise ControlRefused("An automatic payout takes everything; leave `amount` out.")
    if automatic:
        made = payouts.pay_out_everything(book)
        if made is None:
            raise ControlRefused("There is nothing available to pay out, or the bank account has failed.", status=409)
        return made
    return payouts.create_payout(book, amount=amount or max(balance.available_cents(book, payouts.CURRENCY), 0))


def arrive(world: World, body: Body) -> Json:
    """The bank takes a payout now, or refuses it if its account number is one that fails."""
    book, payout = find(world, "payout", body.text("payout"))
    body.done()
    if payout["status"] not in payouts.UNDER_WAY:
        raise ControlRefused(f"The payout {payout['id']} is {payout['status']} already.", status=409)
    payouts.arrive(book, payout)
    return payout


def fail(world: World, body: Body) -> Json:
    """A payout comes back, also one that was paid."""
    book, payout = find(world, "payout", body.text("payout"))
    reason = body.one_of("reason", _REASONS, default="account_closed")
    body.done()
    payouts.fail(book, payout, reason=reason)
    return payout


def reverse_transfer(world: World, body: Body) -> Json:
    """Take a transfer back from Stripe's side, whole unless `amount` says less, though it leaves a debt."""
    platform, transfer = find(world, "transfer", body.text("transfer"))
    amount = body.whole_or_none("amount", least=1)
    body.done()
    return reversals.reverse_transfer(platform, transfer, amount=amount, covered=False)


def v2_snapshots(world: World, body: Body) -> Json:
    """Whether accounts of the second generation tell of changes by `account.updated` as well."""
    on = body.flag("on")
    body.done()
    world.platform.behind.v2_by_snapshot = on
    return {"on": on}


def plant(world: World, body: Body) -> Json:
    """A line of the balance that nothing accounts for: `amount` may be below zero."""
    book = _book(world, body)
    amount, kind = body.signed("amount"), body.text_or_none("type") or "adjustment"
    source, fee = body.text_or_none("source"), body.whole("fee", default=0)
    body.done()
    return balance.move_balance(
        book, type=kind, amount=amount, fee=fee, currency=payouts.CURRENCY, source=source, available_on=book.now
    )


def alter(world: World, body: Body) -> Json:
    """Change or hide a line of the balance, so that it does not fit what it stands for."""
    book, entry = find(world, "balance_transaction", body.text("balance_transaction"))
    amount, missing = body.signed_or_none("amount"), body.flag("missing")
    body.done()
    if (amount is None) == (not missing):
        raise ControlRefused("Give exactly one of amount, missing.")
    if amount is None:
        del book.table("balance_transaction")[entry["id"]]
    else:
        entry["amount"] = amount
        entry["net"] = amount - entry["fee"]
    return entry
