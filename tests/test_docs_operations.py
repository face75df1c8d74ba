"""What operators look up is what the code does: levels of log events, chores, leases, tests of faults."""

import ast
import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from gateway.metrics import Metrics
from gateway.services.chores import CHORES, SCHEDULES_AT_ONCE_MAX
from gateway.services.events import inbox
from gateway.services.jobs.doing import RENEWALS_PER_LEASE
from gateway.services.jobs.table import LEASE_SECONDS as JOB_LEASE_SECONDS
from gateway.services.jobs.table import PUT_OFF_SECONDS_MAX
from gateway.services.marketplace.releases import RELEASED_AT_ONCE_MAX
from tests.support.documents import ROOT, blocks, first_cells, section, text_of


def logged(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each event that a module logs, as (level, event). `tell = log.error if dead else log.warning` counts as both."""
    tellers: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            tellers[node.targets[0].id] = levels_in(node.value)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
        levels = tellers.get(call.func.id, []) if isinstance(call.func, ast.Name) else levels_in(call.func)
        match call.args[0]:
            case ast.Constant(value=str(event)):
                yield from ((level, event) for level in levels)
            case ast.IfExp(body=ast.Constant(value=str(first)), orelse=ast.Constant(value=str(second))):
                yield from zip(levels, (first, second), strict=True)
            case other:
                assert not levels, f"the name of an event is to be read off the code: {ast.unparse(other)}"


def levels_in(expression: ast.expr) -> list[str]:
    """`log.error` is one level; `log.error if … else log.warning` is two."""
    match expression:
        case ast.IfExp(body=first, orelse=second):
            return [*levels_in(first), *levels_in(second)]
        case ast.Attribute(value=ast.Name(id="log"), attr=level):
            return ["error" if level == "exception" else level]
        case _:
            return []


def test_the_operators_document_tells_the_real_leases() -> None:
    text = text_of("docs/operations.md")

    assert f"seen their leases stand still for {inbox.LEASE_SECONDS} and {JOB_LEASE_SECONDS:g} seconds" in text
    assert f"renewed every {JOB_LEASE_SECONDS / RENEWALS_PER_LEASE:g} seconds" in text
    assert f"stand still for {JOB_LEASE_SECONDS:g}, whatever the clocks" in text
    assert inbox.PUT_OFF_SECONDS_MAX == PUT_OFF_SECONDS_MAX == 300  # "waits untouched for five minutes"
    assert f"lost its lease of {JOB_LEASE_SECONDS:g} seconds" in text
    assert f"After {inbox.LEASE_SECONDS} seconds others take its events over" in text


def test_the_table_of_chores_is_that_of_the_code() -> None:
    text = section(text_of("docs/books.md"), "What happens by itself")
    rows = re.findall(r"^\| (\w+) \| (\d+) (s|min|h) \| (.+) \|$", text, re.MULTILINE)
    documented = {name: int(number) * {"s": 1, "min": 60, "h": 3_600}[unit] for name, number, unit, _ in rows}
    does = {name: words for name, _, _, words in rows}

    assert documented == {chore.name: chore.every_seconds for chore in CHORES}
    assert f"{SCHEDULES_AT_ONCE_MAX} creators a round" in does["schedules"]
    assert f"{RELEASED_AT_ONCE_MAX} charges a transaction" in does["release"]


def test_a_restricted_key_may_read_all_that_reconciling_reads() -> None:
    [read] = re.findall(r"must be allowed to read the (.+?)\. ", text_of("docs/reconciliation.md"))
    [granted] = re.findall(
        r"^\*\*Restricted key\.\*\* (.+?) `gateway stripe-setup`", text_of("docs/operations.md"), re.MULTILINE
    )
    names = re.split(r", | and ", read)
    may = {
        one.removeprefix("and ").removeprefix("the ")
        for one in re.split(r", | and |\. It reads | with ", granted.rstrip("."))
    }

    assert len(names) > 5
    assert [name for name in names if name not in may] == []


def test_every_test_of_faults_is_documented() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", text_of("docs/faults.md")))

    assert named == {path.name for path in (ROOT / "tests/faults").glob("test_*.py")}


def test_what_is_logged_for_a_person_is_documented_with_its_level() -> None:
    files = [path for path in (ROOT / "gateway").rglob("*.py") if "sandbox" not in path.parts]
    events = {found for path in files for found in logged(ast.parse(path.read_text()))}
    loud = {level: {event for at, event in events if at == level} for level in ("error", "warning", "info")}
    table = section(text_of("docs/operations.md"), "Logs").partition("|---|")[2]
    documented = {level: first_cells("\n".join(rows_at(table, level))) for level in loud}

    assert documented["error"] == loud["error"]
    assert documented["warning"] == loud["warning"] - loud["error"]
    assert documented["info"] <= loud["info"]


def test_alarms_are_about_metrics_that_exist() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    exported = {f"{one.name}_total" if one.type == "counter" else one.name for one in registry.collect()}
    [rules] = [content for language, content in blocks(text_of("docs/operations.md")) if language == "yaml"]
    named = set(re.findall(r"\bgateway_\w+", rules))

    assert len(named) > 1
    assert named - exported == set()


def rows_at(table: str, level: str) -> list[str]:
    return [row for row in table.splitlines() if re.match(rf"\| [^|]+ \| {level}\b", row)]
