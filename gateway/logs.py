"""Log events: named facts with ids and amounts, as JSON lines or for a person, with secrets taken out on the way."""

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import TextIO, cast

import orjson
import structlog
from aiohttp.http import HttpProcessingError
from aiohttp.web import RequestPayloadError
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
TOO_DEEP = "[too deep]"
TOO_MUCH = "[too much]"
UNPRINTABLE = "[unprintable]"

NESTING_LEVELS_MAX = 6
VALUES_PER_EVENT_MAX = 500
TEXT_CHARACTERS_MAX = 16_384

#: What a line begins with, so that an eye finds it.
_FIRST = ("timestamp", "level", "event")
#: Libraries that write statements, parameters or whole answers into their lower levels.
_TALKATIVE = ("stripe", "tortoise", "aiosqlite", "asyncpg", "aiohttp.access")

#: What goes wrong on the other side of a connection.
_CLIENT_FAULTS = (HttpProcessingError, RequestPayloadError, ConnectionResetError)

_SECRET_KEY = re.compile(
    r"authorization|token|secret|password|passwd|apikey|jwt|cookie|cardnumber|cvc|dsn|credential|signature"
    r"|(?:url|urls|uri|body|payload|card)$"
)
_SECRET_TEXT = re.compile(
    r"(?P<stripe>(?:sk|rk|ek)_(?:org_)?(?:test|live)_[\w*]{1,512}|whsec_[\w+/=*-]{1,512})"
    r"|(?P<bearer>\bbearer\s{1,8}[^\s,;\"']{1,8192}|\bbasic\s{1,8}[a-z0-9+/]{16,8192}={0,2})"
    r"|(?P<jwt>eyJ[\w-]{5,1024}\.[\w-]{1,8192}(?:\.[\w-]{0,1024})?)"
    r"|(?P<login>(?<=://)[^\s:/@]{0,128}:\S{1,512}@)",
    re.IGNORECASE | re.ASCII,
)
#: Every secret that `_SECRET_TEXT` knows has one of these in it: most texts have none and need no closer look.
_MARKS = ("_test_", "_live_", "whsec_", "bearer", "basic", "eyj", "://")


log = structlog.stdlib.get_logger()


class LogFormat(StrEnum):
    """How a log event is written."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least event that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure_logs(*, log_format: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """Send every event, ours and the libraries', to `stream` (standard error unless told) in one form.

    Call once, before the first event; a second call replaces the first for the handler, the form and the libraries'
    level, but loggers of ours that have already spoken keep their level.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    stamp: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *stamp, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *stamp],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                _renderer(log_format),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(threshold)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.getLogger("aiohttp.server").addFilter(shorten_client_faults)


def shorten_client_faults(record: logging.LogRecord) -> bool:
    """The filter for aiohttp's server, which writes an error with a traceback for bytes that are not HTTP.

    Anybody can send those, or hang up in the middle: it becomes one short line, and no alarm. A traceback that may be
    of a mistake of ours stays.
    """
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, _CLIENT_FAULTS):
        return True
    log.info("http.client_fault", reason=type(error).__name__)
    return False


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The structlog processor that keeps secrets, bodies and addresses out of what is written.

    It judges by the key (`authorization`, `success_url`, `body`, …) and by the look of a value (a Stripe key, a bearer
    token, a password in a URL), at any depth up to a bound, and it never raises.
    """
    return cast("EventDict", _Redaction().mapping(event, level=0))


def scrub(text: str) -> str:
    """`text` with everything that looks like a secret replaced, and its middle left out when it is very long."""
    if len(text) > TEXT_CHARACTERS_MAX:
        half = TEXT_CHARACTERS_MAX // 2
        # A word that was cut in two could be half a secret that no pattern knows any more: leave it out as well.
        head, tail = text[:half].rpartition(" ")[0], text[-half:].partition(" ")[2]
        text = f"{head} … {tail}"
    lowered = text.lower()
    return _SECRET_TEXT.sub(_replacement, text) if any(mark in lowered for mark in _MARKS) else text


def _replacement(match: re.Match[str]) -> str:
    if match.lastgroup == "login":
        return f"{match[0].partition(':')[0]}:{REDACTED}@"
    return REDACTED


class _Redaction:
    """One walk through one event; it stops looking once it has seen too much."""

    def __init__(self) -> None:
        self._values_left = VALUES_PER_EVENT_MAX

    def mapping(self, entries: Mapping[object, object] | EventDict, *, level: int) -> dict[str, object]:
        clean: dict[str, object] = {}
        for key, value in entries.items():
            name = scrub(_text(key))
            if self._values_left <= 0:
                clean[TOO_MUCH] = len(entries) - len(clean)
                break
            clean[name] = REDACTED if _is_secret_key(name) and value is not None else self.value(value, level=level)
        return clean

    def value(self, value: object, *, level: int) -> object:
        self._values_left -= 1
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes | bytearray):
            return f"[{len(value)} bytes]"
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self.container(cast("Mapping[object, object] | Iterable[object]", value), level=level + 1)
        return scrub(_text(value))

    def container(self, values: Mapping[object, object] | Iterable[object], *, level: int) -> object:
        if level > NESTING_LEVELS_MAX:
            return TOO_DEEP
        if isinstance(values, Mapping):
            return self.mapping(cast("Mapping[object, object]", values), level=level)
        return self.sequence(values, level=level)

    def sequence(self, values: Iterable[object], *, level: int) -> list[object]:
        clean: list[object] = []
        for value in values:
            if self._values_left <= 0:
                clean.append(TOO_MUCH)
                break
            clean.append(self.value(value, level=level))
        return clean


@lru_cache(maxsize=1024)
def _is_secret_key(key: str) -> bool:
    return _SECRET_KEY.search(re.sub(r"[\W_]+", "", key.lower())) is not None


def _text(value: object) -> str:
    """How a value is written; a value whose own spelling fails must not lose the event."""
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception:  # noqa: BLE001 - a stranger's __str__ may raise anything
        return UNPRINTABLE


def _renderer(log_format: LogFormat) -> Processor:
    if log_format is LogFormat.CONSOLE:
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(event: EventDict, **_options: object) -> str:
    ordered = {**{key: event[key] for key in _FIRST if key in event}, **event}
    try:
        return orjson.dumps(ordered).decode()
    except (TypeError, ValueError):  # an integer beyond 64 bits, a lone surrogate
        return orjson.dumps({key: ascii(value) for key, value in ordered.items()}).decode()
