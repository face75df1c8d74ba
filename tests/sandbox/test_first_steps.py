"""The shortest way through: sell a deposit and a plan with the real SDK."""

from tests.sandbox.local_stripe import LocalStripe, plain
from tests.sandbox.shop import META, deposit_session, open_shop, pay, plan_session


async def test_a_deposit_is_paid_and_told_of(local: LocalStripe) -> None:
    shop = await open_shop(local)
    session = await deposit_session(local, customer=shop.customer)
    assert session["status"] == "open"
    assert session["url"] == f"{local.url}/c/pay/{session['id']}"

    await pay(local, session)

    await local.advance(seconds=2)  # the charge has no balance transaction before
    paid = await plain(
        local.sdk.v1.checkout.sessions.retrieve_async(
            session["id"], {"expand": ["payment_intent.latest_charge.balance_transaction", "line_items", "customer"]}
        )
    )
    assert (paid["status"], paid["payment_status"], paid["amount_total"], paid["url"]) == (
        "complete",
        "paid",
        2500,
        None,
    )
    assert paid["payment_intent"]["metadata"] == META
    entry = paid["payment_intent"]["latest_charge"]["balance_transaction"]
    assert (entry["amount"], entry["fee"], entry["net"]) == (2500, 103, 2397)
    assert paid["line_items"]["data"][0]["description"] == "Wallet deposit"
    assert paid["customer"]["email"] == "ada@example.com"
    assert local.types()[-5:-1] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


async def test_a_plan_is_bought_and_carries_our_metadata(local: LocalStripe) -> None:
    shop = await open_shop(local)
    session = await plan_session(local, shop.monthly, customer=shop.customer)

    await pay(local, session)

    paid = await plain(
        local.sdk.v1.checkout.sessions.retrieve_async(session["id"], {"expand": ["subscription", "invoice"]})
    )
    assert (paid["status"], paid["payment_status"], paid["payment_intent"]) == ("complete", "paid", None)
    assert (paid["subscription"]["status"], paid["subscription"]["metadata"]) == ("active", META)
    details = paid["invoice"]["parent"]["subscription_details"]
    assert (details["subscription"], details["metadata"]) == (paid["subscription"]["id"], META)
    assert (paid["invoice"]["status"], paid["invoice"]["amount_paid"]) == ("paid", 2900)
    assert paid["invoice"]["billing_reason"] == "subscription_create"
    for expected in ("customer.subscription.created", "invoice.paid", "invoice.payment_succeeded"):
        assert expected in local.types()
