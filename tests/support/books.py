"""The last line of every test that moves money."""

from gateway.services.ledger import Reader, verify_books


async def assert_books_balance(reader: Reader) -> None:
    """The whole ledger adds up, and every row of it is as the rules say."""
    faults = await verify_books(reader)
    assert faults == [], faults
