"""Which charges a deposit paid, against a wallet in which every dollar has a name."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from gateway.services.taken_back.provenance import Trail

#: Income with a plus, spending with a minus; spending beyond what is there is cut down to it.
movements = st.lists(st.integers(-12, 12).filter(bool), max_size=40)


def dollar_by_dollar(amounts: list[int], income: int) -> tuple[UUID, ...]:
    """A queue of dollars, each labelled with where it came from."""
    queue: list[int] = []
    found: list[UUID] = []
    for number, amount in enumerate(amounts):
        if amount > 0:
            queue += [number] * amount
            continue
        spent, queue = queue[:-amount], queue[-amount:]
        if income in spent:
            found.append(UUID(int=number))
    return tuple(found)


def possible(amounts: list[int]) -> list[int]:
    """The same movements without overdrafts."""
    balance, made = 0, list[int]()
    for amount in amounts:
        real = max(amount, -balance)
        if real:
            made.append(real)
            balance += real
    return made


def walk(amounts: list[int], income: int, *, stop_when_over: bool = False) -> tuple[UUID, ...]:
    trail = Trail(f"dep:{income}")
    for number, amount in enumerate(amounts):
        trail.step(idem=f"dep:{number}", entry_id=UUID(int=number), amount_micros=amount)
        if stop_when_over and trail.is_over:
            break
    return trail.paid()


@given(movements)
def test_every_income_paid_what_its_dollars_paid(wished: list[int]) -> None:
    amounts = possible(wished)

    for number, amount in enumerate(amounts):
        if amount > 0:
            assert walk(amounts, number) == dollar_by_dollar(amounts, number)


@given(movements)
def test_stopping_once_all_is_spent_finds_the_same(wished: list[int]) -> None:
    amounts = possible(wished)

    for number in range(len(amounts)):
        assert walk(amounts, number, stop_when_over=True) == walk(amounts, number)


def test_an_income_that_never_came_paid_nothing() -> None:
    assert walk([5, -5], income=7) == ()


def test_a_charge_across_two_deposits_was_paid_by_both() -> None:
    amounts = [10, 10, -15, -5]

    assert walk(amounts, income=0) == (UUID(int=2),)
    assert walk(amounts, income=1) == (UUID(int=2), UUID(int=3))
