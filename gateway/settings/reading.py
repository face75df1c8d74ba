"""From the environment and an `.env` file to settings, or to one sentence for each thing that is wrong."""

import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.domain.identity import TOKEN_SECRET_BYTES_MIN
from gateway.logs import scrub
from gateway.settings.model import (
    PREFIX,
    SANDBOX_API_KEY,
    SANDBOX_WEBHOOK_SECRETS,
    Environment,
    Settings,
)

DEVELOPMENT_DATABASE_URL: Final = "sqlite://var/gateway.db"

_CONSEQUENCE = "default_factory_not_called"  # pydantic's word for: another field is wrong, so no default was worked out
_RULES = {"int_parsing": "must be a whole number", "string_too_short": "must not be empty"}
_SECRETS = frozenset({"database_url", "stripe_api_key", "stripe_webhook_secrets", "jwt_secret"})


class SettingsError(Exception):
    """The gateway must not start; `problems` has one sentence for each setting that is missing, odd or unsafe."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_settings(
    environ: Mapping[str, str], *, env_file: Path | None = None, jwt_secret_file: Path | None = None
) -> Settings:
    """The settings of `environ`, then of `env_file` (which may be absent); an empty value counts as unset.

    In development a JWT secret that is not given is random: kept in `jwt_secret_file`, so that restarts and several
    processes share it, or good for this call only where no file is named.

    Raises:
        SettingsError: with every problem at once.
    """
    fields = {variable(field): field for field in Settings.model_fields}
    named = _read(env_file) | {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    problems = [_unknown(name, fields) for name in named if name not in fields]
    given = {fields[name]: value for name, value in named.items() if value and name in fields}
    if given.get("env") != Environment.PRODUCTION:
        given = _development_defaults(given, jwt_secret_file) | given
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems += [_sentence(detail) for detail in error.errors(include_url=False) if detail["type"] != _CONSEQUENCE]
        raise SettingsError(tuple(problems)) from None
    if problems:
        raise SettingsError(tuple(problems))
    return settings


def variable(field: str) -> str:
    """The environment variable of a field: `port` is GATEWAY_PORT."""
    return f"{PREFIX}{field.upper()}"


def _development_defaults(given: Mapping[str, str], jwt_secret_file: Path | None) -> dict[str, str]:
    """What production must be told."""
    defaults = {
        "database_url": DEVELOPMENT_DATABASE_URL,
        "stripe_api_key": SANDBOX_API_KEY,
        "stripe_webhook_secrets": ",".join(SANDBOX_WEBHOOK_SECRETS),
    }
    if "jwt_secret" not in given and "jwt_jwks_url" not in given:
        defaults["jwt_secret"] = _kept_secret(jwt_secret_file) if jwt_secret_file else _new_secret()
    return defaults


def _new_secret() -> str:
    return secrets.token_hex(TOKEN_SECRET_BYTES_MIN)


def _kept_secret(file: Path) -> str:
    """The secret in `file`, made by whoever comes first; it is linked in whole, so nobody reads half of it."""
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")  # readable by its owner alone
            try:
                with os.fdopen(handle, "w", encoding="ascii") as out:
                    out.write(_new_secret())
                with suppress(FileExistsError):
                    file.hardlink_to(draft)
            finally:
                Path(draft).unlink()
        secret = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError((f"{variable('jwt_secret')} must be set, for {file} cannot be used: {error}.",)) from None
    if len(secret) < TOKEN_SECRET_BYTES_MIN:
        raise SettingsError((f"{file} must hold a secret of at least {TOKEN_SECRET_BYTES_MIN} bytes: delete it.",))
    return secret


def _read(env_file: Path | None) -> dict[str, str]:
    if env_file is None or not env_file.is_file():
        return {}
    try:
        # Without interpolation: a `$` in a secret stays what it is, and nothing else of the process is read.
        found = dotenv_values(env_file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError((f"{env_file} cannot be read: {error}.",)) from None
    return {name: value for name, value in found.items() if name.startswith(PREFIX) and value is not None}


def _unknown(name: str, known: Mapping[str, str]) -> str:
    near = get_close_matches(name.removeprefix(PREFIX).lower(), known.values(), n=1)
    hint = f"did you mean {variable(near[0])}?" if near else "docs/settings.md lists them all."
    return f"{name} is not a setting; {hint}"


def _sentence(detail: ErrorDetails) -> str:
    """One problem in one sentence, with the value unless it is, or looks like, a secret."""
    field = str(detail["loc"][0])
    if detail["type"] == "missing":
        return f"{variable(field)} must be set in production."
    rule = _RULES.get(detail["type"], detail["msg"])
    for prefix in ("Value error, ", "Input ", "String "):
        rule = rule.removeprefix(prefix)
    rule = rule.replace("should", "must", 1)
    if rule.endswith("."):  # a sentence of its own
        return scrub(f"{variable(field)}: {rule}")
    value = detail["input"]
    shown = f"; got {value!r}" if field not in _SECRETS and isinstance(value, str) else ""
    return scrub(f"{variable(field)} {rule}{shown}.")
