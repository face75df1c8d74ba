"""Which spendings incomes paid, against a wallet in which every dollar has a name."""

from collections.abc import Collection
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.services.taken_back.provenance import Income, Stretch, Sweep, covers, merged

#: Income with a plus, spending with a minus; spending beyond what is there is cut down to it.
movements = st.lists(st.integers(-12, 12).filter(bool), max_size=40)
stretches = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)).map(lambda two: Stretch(two[0], sum(two))))


def dollar_by_dollar(amounts: list[int], incomes: Collection[int]) -> set[int]:
    """A queue of dollars, each labelled with where it came from."""
    queue: list[int] = []
    found: set[int] = set()
    for number, amount in enumerate(amounts):
        if amount > 0:
            queue += [number] * amount
            continue
        spent, queue = queue[:-amount], queue[-amount:]
        if set(incomes) & set(spent):
            found.add(number)
    return found


def possible(amounts: list[int]) -> list[int]:
    """The same movements without overdrafts."""
    balance, made = 0, list[int]()
    for amount in amounts:
        real = max(amount, -balance)
        if real:
            made.append(real)
            balance += real
    return made


def walk(amounts: list[int], incomes: Collection[int], *, stop_when_over: bool = False) -> set[int]:
    """Begins at the first of the incomes: what was before is known from the balance."""
    sweep = Sweep(Income(number, amounts[number], sum(amounts[: number + 1])) for number in incomes)
    for number in range(min(incomes), len(amounts)):
        sweep.step(number, amounts[number])
        if stop_when_over and sweep.is_over:
            break
    return {n for n, amount in enumerate(amounts) if amount < 0 and covers(sweep.stretches(), n)}


@given(movements)
def test_every_income_paid_what_its_dollars_paid(wished: list[int]) -> None:
    amounts = possible(wished)

    for number, amount in enumerate(amounts):
        if amount > 0:
            assert walk(amounts, [number]) == dollar_by_dollar(amounts, [number])


@given(movements, st.sets(st.integers(0, 39), min_size=1))
def test_several_incomes_paid_what_any_of_their_dollars_paid(wished: list[int], places: set[int]) -> None:
    amounts = possible(wished)
    incomes = {place for place in places if place < len(amounts) and amounts[place] > 0}

    if incomes:
        assert walk(amounts, incomes) == dollar_by_dollar(amounts, incomes)


@given(movements)
def test_stopping_once_all_is_spent_finds_the_same(wished: list[int]) -> None:
    amounts = possible(wished)

    for number, amount in enumerate(amounts):
        if amount > 0:
            assert walk(amounts, [number], stop_when_over=True) == walk(amounts, [number])


def test_a_charge_across_two_deposits_was_paid_by_both() -> None:
    amounts = [10, 10, -15, -5]

    assert walk(amounts, [0]) == {2}
    assert walk(amounts, [1]) == {2, 3}


def test_neighbouring_spendings_are_one_stretch_whatever_came_in_between() -> None:
    sweep = Sweep([Income(1, 10, 10)])
    for seq, amount in enumerate([10, -4, 7, -4, -2, -7], start=1):
        sweep.step(seq, amount)

    assert sweep.stretches() == (Stretch(2, 5),)


@given(stretches)
def test_merged_stretches_hold_the_same_postings_and_stand_apart(some: list[Stretch]) -> None:
    found = merged(some)

    assert [n for n in range(50) if covers(found, n)] == [n for n in range(50) if covers(some, n)]
    assert all(one.last + 1 < other.first for one, other in pairwise(found))


@given(stretches, st.integers(1, 7))
def test_windows_of_a_stretch_are_the_stretch(some: list[Stretch], size: int) -> None:
    for stretch in some:
        windows = list(stretch.windows(size))
        assert merged(windows) == (stretch,)
        assert all(window.last - window.first < size for window in windows)
