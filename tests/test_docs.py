"""The documents say what the code does: commands, settings, queries, events, addresses and numbers that they name."""

import argparse
import json
import random
import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from graphql import build_schema, parse, validate
from prometheus_client import CollectorRegistry
from strawberry.types import get_object_definition

from gateway.app import CHARGING_BODY_BYTES_MAX
from gateway.cli import build_parser
from gateway.db.errors import ContentionReason
from gateway.domain.clock import CLOCKS_DIFFER_MAX, SystemClock
from gateway.domain.identity import SUBJECT_CHARACTERS_MAX, TOKEN_SECRET_BYTES_MIN
from gateway.domain.money import format_usd
from gateway.domain.payouts import TRANSFER_CENTS_MAX
from gateway.domain.verdicts import Verdict
from gateway.metrics import Metrics
from gateway.sandbox.app import build_sandbox
from gateway.sandbox.engine import cards
from gateway.sandbox.settings import SandboxSettings
from gateway.sandbox.wire.faults import FaultKind
from gateway.server import webhook
from gateway.server.auth import AUDIENCES_MAX
from gateway.server.graphql import Limits, limits, requests
from gateway.server.graphql.answers import Code
from gateway.services import snapshot, unanswered
from gateway.services.events import applying, gaps, inbox, patience
from gateway.services.marketplace.charging import CALLS_AT_ONCE_MAX
from gateway.services.marketplace.queue import WAITING_BATCHES_MAX, WAITING_CALLS_MAX
from gateway.services.purchases import checkout, hosted, settle
from gateway.settings import Settings, variable
from gateway.stripe_service import ACCOUNT_EVENTS, API_VERSION, CONNECT_EVENTS, THIN_EVENTS, WebhookRefusal
from gateway.worker import EVENT_SECONDS_MAX, EVENTS_AT_ONCE_MAX, WAITING_SECONDS_MIN
from resolvers.schema import Query
from tests.support.documents import NAMES, ROOT, anchors, blocks, first_cells, section, text_of

DEFAULT = Limits()


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_a_file_and_a_heading(name: str) -> None:
    here = (ROOT / name).parent
    broken: list[str] = []
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text_of(name)):
        path, _, anchor = target.partition("#")
        file = here / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            broken.append(target)

    assert broken == []


def operations(text: str) -> Iterator[str]:
    """GraphQL blocks, and the queries that curl commands send; shell variables count as some text."""
    yield from (content for language, content in blocks(text) if language == "graphql")
    for sent in re.findall(r"""^graphql '(\{"query".*\})'$""", text, re.MULTILINE):
        yield json.loads(re.sub(r"'\$\w+'", "cs_test_1", sent))["query"]


@pytest.mark.parametrize("name", NAMES)
def test_queries_fit_the_schema(name: str) -> None:
    schema = build_schema(text_of("schema.graphql"))

    for operation in operations(text_of(name)):
        assert [error.message for error in validate(schema, parse(operation))] == [], operation


def subcommands() -> dict[str, argparse.ArgumentParser]:
    return subcommands_of(build_parser())


def subcommands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    # argparse has no public way to list them; the type of its choices is not told either.
    actions: list[Any] = parser._actions  # pyright: ignore[reportPrivateUsage] - as above
    choices: list[Any] = [action.choices for action in actions if hasattr(action.choices, "keys")]
    return cast("dict[str, argparse.ArgumentParser]", choices[0] if choices else {})


def command_lines(text: str) -> Iterator[list[str]]:
    """What follows `gateway` wherever a command is quoted or stands in a block, as a shell would split it."""
    for line in re.findall(r"`gateway ([^`\n]+)`", text):
        yield shlex.split(line)
    for _, content in blocks(text):
        for line in re.findall(r"(?:^|\$\()(?:\.venv/bin/)?gateway ([^)\n]+)", content, re.MULTILINE):
            yield shlex.split(line)


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_their_options_exist(name: str) -> None:
    known = subcommands()

    for command, *options in command_lines(text_of(name)):
        assert command in known, f"gateway {command}"
        parser = known[command]
        if inner := subcommands_of(parser):
            assert options, f"gateway {command}"
            assert options[0] in inner, f"gateway {command} {options[0]}"
            parser = inner[options[0]]
        for option in options:
            if option.startswith("--"):
                assert f"{option} " in f"{parser.format_help()} ".replace("\n", " "), f"gateway {command} {option}"


def test_every_command_is_in_the_operators_document() -> None:
    documented = {words[0] for words in command_lines(text_of("docs/operations.md"))}

    assert documented == subcommands().keys()


def test_every_verdict_is_documented() -> None:
    table = section(text_of("docs/operations.md"), "A customer says she paid").partition("|---|")[2]

    assert first_cells(table) == {verdict.value for verdict in Verdict}


@pytest.mark.parametrize("name", NAMES)
def test_settings_exist(name: str) -> None:
    named = set(re.findall(r"GATEWAY_[A-Z][A-Z_]*[A-Z]", text_of(name)))

    assert named - {variable(field) for field in Settings.model_fields} == set()


def test_every_top_level_code_is_documented() -> None:
    table = section(text_of("docs/errors.md"), "Top-level errors").partition("|---|")[2]

    assert first_cells(table) == {code.value for code in Code}


def test_waiting_times_of_a_pending_payment_are_the_real_ones() -> None:
    row = next(line for line in text_of("docs/errors.md").splitlines() if line.startswith("| `PAYMENT_PENDING`"))

    assert f"{settle.RETRY_OPEN_MS:,}" in row
    assert f"{settle.RETRY_BANK_MS:,}" in row


def test_events_are_those_the_code_applies_and_subscribes_to() -> None:
    text = text_of("docs/webhooks.md")
    applied = first_cells(section(text, "Events that are applied"))

    assert applied == applying.HANDLED_EVENTS
    assert applied == {*ACCOUNT_EVENTS, *CONNECT_EVENTS, *THIN_EVENTS}


def test_the_webhook_document_names_the_real_refusals_version_and_times() -> None:
    text = text_of("docs/webhooks.md")

    assert [code for code in WebhookRefusal if f"`{code}`" not in text] == []
    assert f"`{API_VERSION}`" in text
    assert f"up to {EVENTS_AT_ONCE_MAX} due events" in text
    assert f"for {inbox.LEASE_SECONDS} seconds. One event gets {EVENT_SECONDS_MAX} seconds" in text
    assert f"above {webhook.BODY_BYTES_MAX // 1024} KiB" in text
    assert inbox.ATTEMPTS_MAX == 10  # "the tenth try"
    assert f"tried for {inbox.UNCLEAR_DAYS_MAX} days" in text
    assert f"at most {inbox.UNCLEAR_RETRY_SECONDS_MAX} seconds, so that" in text
    assert inbox.RETRY_SECONDS_MAX == 3600  # "up to an hour"
    assert 240 < sum(inbox.retry_seconds(n) for n in range(1, inbox.ATTEMPTS_MAX)) < 9 * 60  # "four to nine minutes"


def test_the_webhook_document_tells_how_a_silent_stripe_is_treated() -> None:
    text = text_of("docs/webhooks.md")

    assert f"calls for {patience.SILENCES_MAX} events in a row" in text
    assert f"one event every {patience.PROBE_SECONDS} seconds" in text
    assert timedelta(hours=2) == CLOCKS_DIFFER_MAX  # "due two hours before it happened"
    assert f"every {gaps.EVERY_SECONDS} s, by one node; {gaps.CLAIM_SECONDS} s after its last sign" in text
    assert f"younger than {gaps.YOUNG_SECONDS} seconds" in text
    assert timedelta(minutes=1) == unanswered.FIRST_PAUSE  # "put off … for a minute"
    assert f"2, 4, 8 and at most {unanswered.LONGEST_PAUSE // timedelta(minutes=1)}" in text
    assert unanswered.SILENCES_A_ROUND_MAX == 3  # "Three of them end a round"


def test_the_life_of_a_checkout_tells_the_real_times() -> None:
    text = text_of("docs/architecture.md")

    assert f"without its session after {hosted.KEY_TRUSTED_MINUTES} minutes" in text
    assert f"after {hosted.KEY_TRUSTED_MINUTES} minutes without a session" in text
    assert f"left alone for {checkout.UNMADE_SECONDS_MIN} seconds" in text
    assert f"left alone for {checkout.UNMADE_SECONDS_MIN} seconds" in text_of("docs/errors.md")


def test_the_queries_that_read_beside_the_one_statement_are_named() -> None:
    """A resolver that reads is one that awaits; all others are plain functions over the snapshot."""
    reading = [
        field.python_name
        for field in get_object_definition(Query, strict=True).fields
        if field.base_resolver is not None and field.base_resolver.is_async
    ]

    assert reading == ["billing_timeline"]
    assert "Only `billingTimeline` reads by itself, and asks Stripe." in text_of("docs/architecture.md")
    assert "(`billingTimeline` alone reads on its own, right after it)" in text_of("docs/clients.md")


def test_limits_are_the_real_ones() -> None:
    assert f"The token's `sub`, at most {SUBJECT_CHARACTERS_MAX} characters" in text_of("docs/clients.md")
    assert f"1 to {SUBJECT_CHARACTERS_MAX} printable characters" in text_of("docs/marketplace.md")
    assert f"HS256 secret; at least {TOKEN_SECRET_BYTES_MIN} bytes:" in text_of("docs/settings.md")
    assert f"in an array of at most {AUDIENCES_MAX}." in text_of("docs/settings.md")
    text = section(text_of("docs/clients.md"), "Limits")

    for row in (
        f"| body | {requests.BODY_BYTES_MAX:,} bytes, within {requests.BODY_SECONDS_MAX:g} s |",
        f"| operations in a batch | {Settings.model_fields['graphql_batch_max'].default} |",
        f"| document | {limits.SOURCE_CHARACTERS_MAX:,} characters, {limits.TOKENS_MAX:,} tokens, ",
        f" tokens, {DEFAULT.definitions} definitions |",
        f"| levels, fields, aliases | {DEFAULT.depth}, {DEFAULT.fields}, {DEFAULT.aliases} |",
        f"| directives | {DEFAULT.directives}, of which {DEFAULT.directives_per_node} at one place |",
        f"| root fields | {DEFAULT.root_fields} of a query, {DEFAULT.mutation_fields} of a mutation |",
        f"| calls charged at once | {CALLS_AT_ONCE_MAX} |",
        f"| days of a series | {snapshot.DAYS_MAX} |",
        f"as often as lists repeat it; a series of days counts as at most {limits.PAGE_SIZES_MAX['days']} |",
        f"| different pages of one list in one request, those after a mutation counted anew | {snapshot.PAGES_MAX} |",
        f"| payouts named by their ids in one request, likewise | {snapshot.PAYOUT_IDS_MAX} |",
    ):
        assert row in text
    assert f"| {DEFAULT.cost:,} |" in text
    waiting = f"{WAITING_CALLS_MAX:,} calls or {WAITING_BATCHES_MAX} batches"
    assert [
        name for name in ("marketplace", "errors", "architecture") if waiting not in text_of(f"docs/{name}.md")
    ] == []


def test_the_first_page_tells_the_real_limits() -> None:
    text = section(text_of("README.md"), "Limits")
    default = {name: field.default for name, field in Settings.model_fields.items()}
    usd = {name: format_usd(cents) for name, cents in default.items() if name.endswith("_cents")}
    body = f"{requests.BODY_BYTES_MAX:,} bytes ({CHARGING_BODY_BYTES_MAX:,} with the scope `billing:charge`)"

    for row in (
        f"| a deposit | {usd['deposit_minimum_cents']} to {usd['deposit_maximum_cents']} as shipped |",
        f"| a request | {body}, {default['graphql_batch_max']} operations of cost {DEFAULT.cost:,} each |",
        f"| a payout | {usd['payout_minimum_cents']} as shipped to {format_usd(TRANSFER_CENTS_MAX)}; one under way a ",
        f"1 to {CALLS_AT_ONCE_MAX} in one request; the platform's fee is {default['platform_fee_bps'] // 100} % as ",
        f"| pending for {default['earnings_hold_hours']} hours as shipped",
        f"| the tier is kept for {default['past_due_grace_hours']} hours |",
        f"| {webhook.BODY_BYTES_MAX:,} bytes, signed within",
        f"| a page of a list | {snapshot.PAGE_ROWS_MAX} rows |",
    ):
        assert row in text


async def test_the_control_door_has_the_documented_addresses() -> None:
    app = await build_sandbox(SandboxSettings(), clock=SystemClock(), randomness=random.Random(7))
    served = {f"{route.method} {route.resource.canonical}" for route in app.router.routes() if route.resource}
    ours = {address for address in served if "/_sandbox/" in address and not address.startswith(("HEAD", "*"))}
    text = text_of("docs/sandbox.md")

    assert {cell for cell in first_cells(section(text, "Control")) if "/_sandbox/" in cell} == ours


def test_every_fault_and_every_card_of_the_local_stripe_is_documented() -> None:
    text = text_of("docs/sandbox.md")
    numbers = re.sub(r"(?<=\d) (?=\d)", "", text)
    known = {*cards._CONDUCTS, *cards._DECLINES}  # pyright: ignore[reportPrivateUsage] - the tables of the cards

    assert [kind for kind in FaultKind if f"`{kind.value}`" not in text] == []
    assert [card for card in sorted(known) if card not in numbers and f"…{card[-4:]}" not in numbers] == []


def test_metrics_and_reasons_are_the_real_ones() -> None:
    text = text_of("docs/operations.md")
    registry = CollectorRegistry()
    Metrics(registry)
    exported = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in registry.collect()}

    assert first_cells(section(text, "Metrics")) == exported
    assert [reason for reason in ContentionReason if f"`{reason}`" not in text] == []
    assert f"looked at every {WAITING_SECONDS_MIN} seconds" in text


@pytest.mark.parametrize("name", NAMES)
def test_places_in_the_code_exist(name: str) -> None:
    ours = r"`((?:gateway|resolvers|models|tests|benchmarks|examples|docs)/[^`*<]*)`"

    assert [place for place in re.findall(ours, text_of(name)) if not all(map(exists, spelled_out(place)))] == []


def exists(place: str) -> bool:
    return (ROOT / place).exists()


def spelled_out(place: str) -> list[str]:
    """`a/{b,c}.py` is two places."""
    before, brace, rest = place.partition("{")
    inside, _, after = rest.partition("}")
    return [f"{before}{one}{after}" for one in inside.split(",")] if brace else [place]


def test_every_room_is_in_the_architecture() -> None:
    text = text_of("docs/architecture.md")
    places = sorted(path.name for path in (ROOT / "gateway").iterdir() if not path.name.startswith("_"))
    rooms = {path.parent.name for path in (ROOT / "gateway/services").glob("*/__init__.py")}

    assert [place for place in places if f"`gateway/{place}`" not in text] == []
    assert first_cells(text.partition("| room in `gateway/services` |")[2].partition("\n\n")[0]) == rooms


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    documented = first_cells(text_of("docs/decisions/0011-dependencies.md"))

    assert documented == {requirement.partition(">=")[0] for requirement in wanted}


def test_every_decision_is_listed_and_of_the_same_form() -> None:
    folder = ROOT / "docs/decisions"
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    index = (folder / "README.md").read_text()

    assert [path.name for path in pages if f"]({path.name})" not in index] == []
    for path in pages:
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"], path.name
