"""What is logged can be read by a machine and by a person, and holds no secret in any shape."""

import asyncio
import dataclasses
import io
import json
import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage, BadStatusLine
from aiohttp.web import RequestPayloadError
from pydantic import SecretStr

from gateway.logs import LogFormat, LogLevel, configure_logs, redact, scrub

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjdXNfMSJ9.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Puts the process's logging back, because `configure_logs` is for the whole process."""
    root = logging.getLogger()
    handlers, level, events = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**events)


def written(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def redacted(**event: object) -> dict[str, object]:
    return cast("dict[str, object]", redact(None, "info", event))


def fail(error: Exception) -> None:
    raise error


def to_json(level: LogLevel = LogLevel.INFO) -> io.StringIO:
    stream = io.StringIO()
    configure_logs(log_format=LogFormat.JSON, level=level, stream=stream)
    return stream


def test_an_event_is_one_json_line_with_its_name_level_and_time() -> None:
    stream = to_json()

    structlog.get_logger("gateway").info("deposit.settled", checkout_id=uuid.UUID(int=7), amount_cents=2500)

    (event,) = written(stream)
    stamp = datetime.fromisoformat(str(event.pop("timestamp")))
    assert stamp.tzinfo == UTC
    assert event == {
        "event": "deposit.settled",
        "level": "info",
        "checkout_id": "00000000-0000-0000-0000-000000000007",
        "amount_cents": 2500,
    }


def test_events_below_the_level_are_not_written() -> None:
    stream = to_json(LogLevel.WARNING)

    structlog.get_logger("gateway").info("quiet")
    structlog.get_logger("gateway").warning("heard")
    logging.getLogger("some.library").info("quiet")

    assert [event["event"] for event in written(stream)] == ["heard"]


def test_a_library_is_written_in_the_same_form_and_cleaned_too() -> None:
    stream = to_json()

    logging.getLogger("aiohttp.server").error("refused %s", "Bearer abc.def", extra={"authorization": "Bearer abc"})

    (event,) = written(stream)
    assert (event["event"], event["level"], event["logger"]) == ("refused [redacted]", "error", "aiohttp.server")
    assert "abc" not in stream.getvalue()


@pytest.mark.parametrize("name", ["stripe", "tortoise.db_client", "aiosqlite", "aiohttp.access"])
def test_libraries_that_write_bodies_and_statements_are_held_at_warnings(name: str) -> None:
    stream = to_json(LogLevel.DEBUG)

    logging.getLogger(name).debug("body=%s", "x")
    logging.getLogger(name).info("body=%s", "x")
    logging.getLogger(name).warning("kept")

    assert [event["event"] for event in written(stream)] == ["kept"]


def test_an_exception_is_written_with_its_traceback_and_without_its_secrets() -> None:
    stream = to_json()

    try:
        fail(ConnectionError("postgres://billing:hunter2@db:5432/billing said no to sk_live_abc123"))
    except ConnectionError:
        structlog.get_logger("gateway").exception("database.lost")

    (event,) = written(stream)
    assert "Traceback (most recent call last)" in str(event["exception"])
    assert "postgres://billing:[redacted]@db:5432/billing said no to [redacted]" in str(event["exception"])


async def test_a_task_that_dies_unseen_is_written_without_its_secrets() -> None:
    stream = to_json()

    async def dies() -> None:
        raise ValueError(f"token {JWT}")

    task = asyncio.create_task(dies())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_exception_handler({"message": "never retrieved", "exception": task.exception()})

    (event,) = written(stream)
    assert event["logger"] == "asyncio"
    assert "ValueError: token [redacted]" in str(event["exception"])


def test_the_console_form_is_for_a_person_and_as_clean() -> None:
    stream = io.StringIO()
    configure_logs(log_format=LogFormat.CONSOLE, level=LogLevel.INFO, stream=stream)

    try:
        fail(RuntimeError("whsec_hunter2"))
    except RuntimeError:
        structlog.get_logger("gateway").exception("checkout.failed", checkout_id="c1", password="hunter2")

    text = stream.getvalue()
    assert "checkout.failed" in text
    assert "Traceback (most recent call last)" in text
    assert "hunter2" not in text


def test_configuring_twice_writes_once() -> None:
    to_json()
    stream = to_json()

    structlog.get_logger("gateway").info("once")

    assert len(written(stream)) == 1


def test_context_of_the_request_is_in_every_event() -> None:
    stream = to_json()

    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger("gateway").info("inside")

    assert written(stream)[0]["request_id"] == "r1"


@pytest.mark.parametrize(
    "key",
    [
        "authorization",
        "Authorization",
        "token",
        "access_token",
        "accessToken",
        "client_secret",
        "password",
        "PGPASSWORD",
        "api_key",
        "stripe-api-key",
        "card_number",
        "cvc",
        "cookie",
        "Stripe-Signature",
        "success_url",
        "successUrl",
        "cancel_url",
        "return_url",
        "database_url",
        "url",
        "body",
        "raw_body",
        "payload",
    ],
)
def test_the_key_alone_gives_a_value_away(key: str) -> None:
    assert redacted(**{key: "harmless"}) == {key: "[redacted]"}
    assert redacted(outer=[{"headers": {key: {"deep": 1}}}]) == {"outer": [{"headers": {key: "[redacted]"}}]}


def test_a_secret_that_is_absent_is_shown_to_be_absent() -> None:
    assert redacted(client_secret=None) == {"client_secret": None}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("sk_live_51Habc", "[redacted]"),
        ("key=rk_test_51Habc.", "key=[redacted]."),
        ("Invalid API Key provided: sk_test_****abcd", "Invalid API Key provided: [redacted]"),
        ("whsec_A/b+c=", "[redacted]"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: [redacted]"),
        ("bearer   xyz", "[redacted]"),
        ("Basic c2tfdGVzdF8xMjM0NTY3ODo=", "[redacted]"),
        (f"got {JWT}!", "got [redacted]!"),
        (f"got {JWT.rpartition('.')[0]}", "got [redacted]"),
        ("postgres://u:p@h/n", "postgres://u:[redacted]@h/n"),
        ("postgres://u:p@ss:w/rd@h/n", "postgres://u:[redacted]@h/n"),
        ("redis://:p@h", "redis://:[redacted]@h"),
        ("https://api.stripe.com/v1/x", "https://api.stripe.com/v1/x"),
        ("a basic question", "a basic question"),
        ("cs_test_a1b2 paid $25.00", "cs_test_a1b2 paid $25.00"),
        ("", ""),
    ],
)
def test_the_look_of_a_value_gives_it_away(text: str, clean: str) -> None:
    assert scrub(text) == clean
    assert redacted(note=text) == {"note": clean}


def test_every_shape_is_walked() -> None:
    @dataclasses.dataclass
    class Held:
        key: str

    event = redacted(
        listed=["sk_live_a", ("whsec_b", {"sk_live_c"})],
        error=ValueError("sk_live_d"),
        kept=SecretStr("sk_live_e"),
        raw=b"sk_live_f",
        held=Held("sk_live_g"),
        sk_live_h=1,
    )

    assert event == {
        "listed": ["[redacted]", ["[redacted]", ["[redacted]"]]],
        "error": "ValueError: [redacted]",
        "kept": "**********",
        "raw": "[9 bytes]",
        "held": "test_every_shape_is_walked.<locals>.Held(key='[redacted]')",
        "[redacted]": 1,
    }


def test_a_cycle_a_crowd_and_a_flood_are_bounded() -> None:
    cycle: dict[str, object] = {}
    cycle["again"] = cycle
    crowd = list(range(10_000))

    event = redacted(cycle=cycle, crowd=crowd, flood="x y " * 1_000_000)

    assert "[too deep]" in json.dumps(event["cycle"])
    assert len(cast("list[object]", event["crowd"])) < 600
    assert len(json.dumps(event)) < 40_000


def test_a_secret_that_the_cut_runs_through_is_left_out() -> None:
    secret = "sk_live_abcdefghijklmnopqrstuvwxyz"
    for shift in range(len(secret) + 2):
        around_the_cuts = f"{'x ' * 4_090}{'-' * shift} {secret} {'y ' * 9_000}{secret} {'-' * shift}{'z ' * 4_090}"

        clean = scrub(around_the_cuts)

        assert len(clean) < len(around_the_cuts)
        assert not any(part in clean for part in ("abc", "mno", "wxyz"))


def test_nothing_that_is_logged_can_break_the_log() -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError("no")

    stream = to_json()

    structlog.get_logger("gateway").info("odd", rude=Rude(), big=2**80, lone="\ud800", nan=float("nan"))

    (event,) = written(stream)
    assert event["rude"] == "'[unprintable]'"
    assert event["big"] == str(2**80)


def log_as_aiohttp_does(error: Exception) -> None:
    try:
        fail(error)
    except Exception as caught:
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", "10.0.0.1", exc_info=caught)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BadHttpMessage("Invalid header token: b'Bearer abc.def'"), "BadHttpMessage"),
        (BadStatusLine("\x16\x03\x01"), "BadStatusLine"),
        (RequestPayloadError("Can not decode content-encoding"), "RequestPayloadError"),
        (ConnectionResetError("Connection lost"), "ConnectionResetError"),
    ],
)
def test_bytes_that_are_not_http_are_one_short_line_and_no_alarm(error: Exception, reason: str) -> None:
    stream = to_json()

    log_as_aiohttp_does(error)

    (event,) = written(stream)
    assert (event["event"], event["level"], event["reason"]) == ("http.client_fault", "info", reason)
    assert len(stream.getvalue()) < 200


def test_strangers_are_not_heard_where_only_warnings_are_written() -> None:
    stream = to_json(LogLevel.WARNING)

    log_as_aiohttp_does(BadStatusLine("\x16\x03\x01"))

    assert written(stream) == []


def test_an_error_of_the_server_that_may_be_ours_keeps_its_traceback() -> None:
    stream = to_json()

    log_as_aiohttp_does(ValueError("ours"))

    (event,) = written(stream)
    assert (event["event"], event["level"]) == ("Error handling request from 10.0.0.1", "error")
    assert "ValueError: ours" in str(event["exception"])
