"""What a request loads: all it needs, once, and fresh after every mutation."""

from tests.support.books import assert_books_balance
from tests.support.counting import CountingDatabase, counting_of
from tests.support.gateway import Platform
from tests.support.person import ENTRIES, VERIFY_DEPOSIT, Json, Person

EDGES = "{ edges { node { amount { amountCents } } } }"


def database_of(platform: Platform) -> CountingDatabase:
    database = counting_of(platform.database)
    database.forget()
    return database


def cents(connection: Json) -> list[int]:
    return [int(edge["node"]["amount"]["amountCents"]) for edge in connection["edges"]]


async def with_entries(platform: Platform, count: int = 10) -> Person:
    person = platform.person()
    await platform.credit(person, range(1, count + 1))
    return person


async def test_a_full_batch_of_queries_is_one_statement(each: Platform) -> None:
    ann = await with_entries(each)
    database = database_of(each)
    batch: list[Json] = [{"query": "{ plan { tier } }"}, {"query": "{ wallet { balance { amount } } }"}]
    batch += [{"query": ENTRIES, "variables": {"first": first}} for first in (1, 2, 3, 3)]
    batch += [{"query": "{ plans { tier } }"}, {"query": "{ plan { status } wallet { id } }"}]

    reply = await ann.send(batch)

    assert [len(answer["data"]) for answer in reply.body] == [1, 1, 1, 1, 1, 1, 1, 2]
    assert [cents(answer["data"]["wallet"]["entries"]) for answer in reply.body[2:6]] == [
        [10],
        [10, 9],
        [10, 9, 8],
        [10, 9, 8],
    ]
    assert (len(database.reads), database.transactions) == (1, 0)


async def test_the_catalogue_and_strangers_load_nothing(each: Platform) -> None:
    database = database_of(each)

    await each.person().ask("{ plans { tier } }")
    await each.person().ask("{ __typename }")
    await each.stranger().post("{ plan { tier } wallet { entries { edges { cursor } } } }")

    assert (database.reads, database.transactions) == ([], 0)


async def test_a_replayed_verification_reads_twice_and_writes_nothing(each: Platform) -> None:
    ann = each.person()
    page = await ann.deposit_page()
    await each.stripe.pay(page.url)
    await ann.verify_deposit(page.session_id)
    await each.stripe.forget_requests()
    database = database_of(each)

    await ann.verify_deposit(page.session_id)

    assert (len(database.reads), database.transactions) == (2, 0)
    assert await each.stripe.requests() == []
    await each.assert_true()


async def test_a_query_after_a_mutation_in_one_batch_reads_what_it_did(each: Platform) -> None:
    ann = each.person()
    page = await ann.deposit_page("2500")
    await each.stripe.pay(page.url)
    balance = {"query": "{ wallet { balance { amountCents } } plan { tier } }"}
    verify = {"query": VERIFY_DEPOSIT, "variables": {"input": {"sessionId": page.session_id}}}

    reply = await ann.send([balance, verify, balance, verify, balance])

    first, verified, second, again, third = (answer["data"] for answer in reply.body)
    assert first["wallet"]["balance"]["amountCents"] == "0"
    assert verified == again
    assert verified["verifyDeposit"]["wallet"]["balance"]["amountCents"] == "2500"
    assert second == third == {"wallet": {"balance": {"amountCents": "2500"}}, "plan": {"tier": "FREE"}}
    await each.assert_true()


async def test_fragments_aliases_and_variables_are_all_loaded(each: Platform) -> None:
    ann = await with_entries(each)
    start = (await ann.entries(first=4))["pageInfo"]["endCursor"]
    database = database_of(each)

    data = await ann.ask(
        """query ($n: Int! = 2, $cursor: String, $maybe: Int) {
            ...Everything
            mine: wallet { entries(first: $n, after: $cursor) { ...Cents } }
            ... on Query { plan { ... { tier } } }
            defaulted: wallet { entries(first: $maybe) { ...Cents } }
        }
        fragment Everything on Query { wallet { ...Pages pages: entries(first: 3) { pageInfo { hasNextPage } } } }
        fragment Pages on Wallet { entries(first: 1) { ...Cents } pages: entries(first: 3) { ...Cents } }
        fragment Cents on WalletEntryConnection { edges { node { amount { amountCents } } } }""",
        cursor=start,
    )

    assert cents(data["wallet"]["entries"]) == [10]
    assert cents(data["wallet"]["pages"]) == [10, 9, 8]
    assert data["wallet"]["pages"]["pageInfo"] == {"hasNextPage": True}
    assert cents(data["mine"]["entries"]) == [6, 5]
    assert cents(data["defaulted"]["entries"]) == list(range(10, 0, -1))
    assert data["plan"] == {"tier": "FREE"}
    assert len(database.reads) == 1


async def test_what_is_skipped_neither_fails_nor_shows(platform: Platform) -> None:
    ann = await with_entries(platform)

    data = await ann.ask(
        f"""query ($no: Boolean!) {{ plan @include(if: $no) {{ tier }}
            wallet {{ id @skip(if: true) bad: entries(first: 101) @include(if: $no) {EDGES}
                good: entries(first: 1) @skip(if: $no) {EDGES} }} }}""",
        no=False,
    )

    assert list(data) == ["wallet"]
    assert list(data["wallet"]) == ["good"]
    assert cents(data["wallet"]["good"]) == [10]


async def test_null_for_an_argument_with_a_default_is_refused_on_its_field(platform: Platform) -> None:
    ann = await with_entries(platform)

    reply = await ann.post(f"query ($n: Int) {{ wallet {{ entries(first: $n) {EDGES} }} plan {{ tier }} }}", n=None)

    assert reply.codes == ["BAD_REQUEST"]
    assert reply.body["data"] == {"wallet": None, "plan": {"tier": "FREE"}}


async def test_too_many_different_pages_are_refused_and_a_few_are_not(platform: Platform) -> None:
    ann = await with_entries(platform)

    def pages(numbers: range) -> str:
        return "{ wallet { " + " ".join(f"p{n}: entries(first: {n}) {{ edges {{ cursor }} }}" for n in numbers) + " } }"

    most = await ann.post(pages(range(1, 17)))
    too_many = await ann.post(pages(range(1, 18)))
    batch = await ann.send([{"query": pages(range(n, n + 6))} for n in (1, 7, 13)])

    assert (most.status, most.codes, len(most.body["data"]["wallet"])) == (200, [], 16)
    assert too_many.codes == ["QUERY_TOO_COMPLEX"]
    assert [answer["errors"][0]["extensions"]["code"] for answer in batch.body] == ["QUERY_TOO_COMPLEX"] * 3


async def test_pages_of_a_request_add_up_across_its_mutations(each: Platform) -> None:
    ann = await with_entries(each, 3)
    page = await ann.deposit_page("2500")
    await each.stripe.pay(page.url)
    verify = {"query": VERIFY_DEPOSIT, "variables": {"input": {"sessionId": page.session_id}}}

    def pages(numbers: range) -> Json:
        asked = " ".join(f"p{n}: entries(first: {n}) {{ edges {{ cursor }} }}" for n in numbers)
        return {"query": f"{{ wallet {{ {asked} }} plans {{ tier }} }}"}

    reply = await ann.send([pages(range(1, 17)), verify, pages(range(1, 17))])
    halves = await ann.send([pages(range(1, 9)), verify, pages(range(1, 9))])

    first, verified, last = reply.body
    assert ("errors" in first, "errors" in verified) == (False, False)
    assert [error["extensions"]["code"] for error in last["errors"]] == ["QUERY_TOO_COMPLEX"]
    assert last["errors"][0]["message"] == (
        "A request loads at most 16 different pages of one list, and those after a mutation count anew; got 32."
    )
    assert (last["data"]["wallet"], len(last["data"]["plans"]) > 0) == (None, True)
    assert ["errors" in answer for answer in halves.body] == [False, False, False]
    await assert_books_balance(each.database)


async def test_an_answer_over_the_limit_is_refused_before_its_mutation_begins(each: Platform) -> None:
    ann = await with_entries(each, 3)
    page = await ann.deposit_page("2500")
    await each.stripe.pay(page.url)
    pages = " ".join(f"p{n}: entries(first: {n}) {{ edges {{ cursor }} }}" for n in range(1, 18))

    reply = await ann.post(
        f"""mutation ($id: ID!) {{ verifyDeposit(input: {{ sessionId: $id }}) {{
            ... on VerifyDepositSuccess {{ wallet {{ {pages} }} }} }} }}""",
        id=page.session_id,
    )

    assert reply.codes == ["QUERY_TOO_COMPLEX"]
    assert (await ann.wallet())["balance"]["amountCents"] == "6"
    await assert_books_balance(each.database)


async def test_the_answer_of_a_mutation_holds_whatever_it_selects(each: Platform) -> None:
    ann = await with_entries(each, 3)
    deposit, plan = await ann.deposit_page("2500"), await ann.checkout_page("PRO")
    await each.stripe.pay(deposit.url)
    await each.stripe.pay(plan.url)

    only_tier = await ann.ask(
        "mutation ($id: ID!) { verifyCheckout(input: { sessionId: $id }) { ... on VerifyCheckoutSuccess { tier } } }",
        id=plan.session_id,
    )
    only_fact = await ann.ask(
        "mutation ($id: ID!) { verifyDeposit(input: { sessionId: $id }) { "
        "... on VerifyDepositSuccess { deposited } } }",
        id=deposit.session_id,
    )
    statement = await ann.ask(
        f"""mutation ($id: ID!, $n: Int! = 2) {{ again: verifyDeposit(input: {{ sessionId: $id }}) {{ ...Done }} }}
        fragment Done on VerifyDepositResult {{ __typename ... on VerifyDepositSuccess {{ wallet {{
            balance {{ amountCents }} entries(first: $n) {EDGES} }} }} }}""",
        id=deposit.session_id,
    )

    assert only_tier["verifyCheckout"] == {"tier": "PRO"}
    assert only_fact["verifyDeposit"] == {"deposited": True}
    assert statement["again"]["wallet"]["balance"] == {"amountCents": "2506"}
    assert cents(statement["again"]["wallet"]["entries"]) == [2500, 3]
    await assert_books_balance(each.database)
