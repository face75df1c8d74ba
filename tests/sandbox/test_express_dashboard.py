"""The Express dashboard, where the owner of an account that is ready sees the money and replaces the bank account."""

from tests.sandbox.connect import ACCOUNT_CLOSED, NO_ACCOUNT, creator, fund, transfer
from tests.sandbox.local_stripe import LocalStripe, plain


async def _login(local: LocalStripe, account: str) -> str:
    return (await plain(local.sdk.v1.accounts.login_links.create_async(account)))["url"]


async def _open(local: LocalStripe, url: str) -> tuple[int, str]:
    """Status and page, as a browser gets them."""
    async with local.http.get(url) as response:
        return response.status, await response.text()


async def _dashboard(local: LocalStripe, account: str) -> str:
    """The address a login link leads to."""
    async with local.http.get(await _login(local, account), allow_redirects=False) as response:
        assert response.status == 303
        return f"{local.url}{response.headers['Location']}"


async def _replace(local: LocalStripe, url: str, **fields: str) -> tuple[int, str | None, str]:
    async with local.http.post(f"{url}/bank", data=fields, allow_redirects=False) as response:
        return response.status, response.headers.get("Location"), await response.text()


async def test_it_shows_the_balance_the_payouts_and_the_bank_account(local: LocalStripe) -> None:
    account = await creator(local)
    await fund(local, cents=50_00)
    await transfer(local, account, 12_00)
    await local.control("payouts/create", {"account": account, "amount": 5_00})

    status, page = await _open(local, await _login(local, account))

    assert status == 200
    for told in ("creator@example.com", account, "$7.00", "$5.00", "Pending", "6789", "The next payout is made on"):
        assert told in page
    assert "<script" not in page


async def test_a_login_link_opens_it_once_and_it_stays_open_for_an_hour(local: LocalStripe) -> None:
    account = await creator(local)
    link = await _login(local, account)
    assert (await _open(local, link))[0] == 200
    status, page = await _open(local, link)
    assert (status, "This dashboard is not open" in page) == (404, True)

    dashboard = await _dashboard(local, account)
    await local.advance(seconds=3590)
    assert (await _open(local, dashboard))[0] == 200
    await local.advance(seconds=10)
    assert (await _open(local, dashboard))[0] == 404
    assert (await _replace(local, dashboard))[0] == 404


async def test_a_login_link_that_nobody_followed_expires(local: LocalStripe) -> None:
    link = await _login(local, await creator(local))
    await local.advance(seconds=300)
    assert (await _open(local, link))[0] == 404


async def test_the_bank_account_is_replaced_and_payouts_go_on(local: LocalStripe) -> None:
    account = await creator(local, account_number=NO_ACCOUNT)
    await fund(local)
    await transfer(local, account, 12_00)
    made = await local.control("payouts/create", {"account": account})
    await local.control("payouts/arrive", {"payout": made["id"]})
    dashboard = await _dashboard(local, account)
    _, page = await _open(local, dashboard)
    assert "Your bank sent a payout back." in page
    assert "Came back" in page

    status, place, _ = await _replace(local, dashboard, account_number="000123456789")

    assert (status, place) == (303, f"{dashboard.removeprefix(local.url)}?done=bank")
    _, page = await _open(local, f"{local.url}{place}")
    assert "Your bank account was replaced." in page
    assert "Your bank sent a payout back." not in page
    await local.advance(days=4)
    _, page = await _open(local, await _dashboard(local, account))
    assert "At the bank" in page


async def test_each_field_says_what_is_wrong_with_it(local: LocalStripe) -> None:
    account = await creator(local)
    dashboard = await _dashboard(local, account)
    status, _, page = await _replace(local, dashboard, routing_number="999999999", account_number=ACCOUNT_CLOSED)
    assert status == 422
    assert 'id="routing_number-problem"' in page
    assert 'id="account_number-problem"' not in page
    assert 'value="999999999"' in page
    assert "6789" in page


async def test_a_closed_account_has_none(local: LocalStripe) -> None:
    account = await creator(local)
    link, dashboard = await _login(local, account), await _dashboard(local, account)
    await local.control("accounts/close", {"account": account})
    assert (await _open(local, link))[0] == 404
    assert (await _open(local, dashboard))[0] == 404


async def test_strangers_find_nothing(local: LocalStripe) -> None:
    account = await creator(local)
    for path in ("/express/none", f"/express/{account}", f"/express/{account}/none"):
        assert (await _open(local, f"{local.url}{path}"))[0] == 404
