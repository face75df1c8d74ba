"""The settings themselves: names, defaults, and what makes each of them safe."""

import re
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.db.url import PostgresUrl, parse_database_url
from gateway.domain.connecting import AccountsApi
from gateway.domain.identity import TOKEN_SECRET_BYTES_MIN
from gateway.domain.redirects import Allowlist
from gateway.logs import LogFormat, LogLevel
from gateway.settings.addresses import is_loopback, is_origin, split_address

PREFIX: Final = "GATEWAY_"
STRIPE_API_BASE: Final = "https://api.stripe.com"
SANDBOX_API_KEY: Final = "sk_test_sandbox"
#: Of the platform's endpoint and of the Connect endpoint; public by design, as only the local Stripe signs with them.
SANDBOX_WEBHOOK_SECRETS: Final = ("whsec_sandbox", "whsec_sandbox_connect")
SANDBOX_PORT: Final = 12111
WEBHOOK_SECRETS_MAX: Final = 8
REDIRECT_ORIGINS_MAX: Final = 100
HOURS_PER_YEAR: Final = 8_760
#: Stripe's own bounds for one card charge in US dollars.
CHARGE_CENTS_MIN: Final = 50
CHARGE_CENTS_MAX: Final = 99_999_999

_API_KEY = re.compile(r"(?:sk|rk)_(?P<mode>test|live)_[A-Za-z0-9_]{1,255}", re.ASCII)
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9_+/=-]{1,255}", re.ASCII)


class Environment(StrEnum):
    """Where the gateway runs: on a developer's machine, or where its answers matter (staging too)."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class JobEngineName(StrEnum):
    """What tells which job is due: our own table, or pgqueuer on top of it."""

    EMBEDDED = "embedded"
    PGQUEUER = "pgqueuer"


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Port = Annotated[int, Field(ge=1, le=65_535)]
Cents = Annotated[int, Field(ge=CHARGE_CENTS_MIN, le=CHARGE_CENTS_MAX)]
Hours = Annotated[int, Field(ge=0, le=HOURS_PER_YEAR)]


def _api_base(given: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{given['sandbox_port']}" if given["env"] is Environment.DEVELOPMENT else STRIPE_API_BASE


def _log_format(given: dict[str, Any]) -> LogFormat:
    return LogFormat.CONSOLE if given["env"] is Environment.DEVELOPMENT else LogFormat.JSON


class Settings(BaseSettings):
    """What docs/settings.md describes, checked and frozen; made by `load_settings` alone.

    A field without a default has one in development only. The rules of a field may look at the fields above it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    env: Environment = Environment.DEVELOPMENT
    host: str = Field("127.0.0.1", min_length=1)
    port: Port = 8000
    sandbox_port: Port = SANDBOX_PORT
    workers: int = Field(1, ge=1, le=64)
    shutdown_seconds: int = Field(20, ge=1, le=300)
    database_url: SecretStr
    job_engine: JobEngineName = JobEngineName.EMBEDDED
    stripe_api_key: SecretStr
    stripe_api_base: str = Field(default_factory=_api_base)
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
    stripe_portal_configuration: str | None = Field(None, pattern=r"^bpc_[A-Za-z0-9]+$")
    stripe_account: str | None = Field(None, pattern=r"^acct_[A-Za-z0-9]+/(test|live)$")
    stripe_timeout_seconds: int = Field(20, ge=1, le=80)
    connect_accounts_api: AccountsApi = AccountsApi.V2
    jwt_secret: SecretStr | None = None
    jwt_jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    redirect_origins: Annotated[tuple[str, ...], BeforeValidator(_split)] = (
        "https://app.aerostack.dev",
        "https://aerostack-admin.pages.dev",
        "https://*.aerostack-admin.pages.dev",
        "http://localhost:5173",
    )
    plans_file: Path | None = None
    platform_fee_bps: int = Field(2_000, ge=0, le=10_000)
    earnings_hold_hours: Hours = 168
    payout_minimum_cents: Cents = 1_000
    deposit_minimum_cents: Cents = 500
    deposit_maximum_cents: Cents = 50_000
    past_due_grace_hours: Hours = 168
    event_payload_days: int = Field(30, ge=1, le=3_650)
    graphql_batch_max: int = Field(8, ge=1, le=50)
    log_format: LogFormat = Field(default_factory=_log_format)
    log_level: LogLevel = LogLevel.INFO

    @property
    def in_production(self) -> bool:
        return self.env is Environment.PRODUCTION

    @property
    def livemode(self) -> bool:
        """Whether the key moves real money; every event and object must say the same."""
        return _is_live(self.stripe_api_key.get_secret_value())

    @property
    def stripe_is_local(self) -> bool:
        address = split_address(self.stripe_api_base)
        return address is not None and is_loopback(address.hostname)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed in: nothing is read from the process behind the caller's back."""
        return (init_settings,)

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, url: SecretStr) -> SecretStr:
        parse_database_url(url.get_secret_value())
        return url

    @field_validator("job_engine")
    @classmethod
    def _job_engine(cls, engine: JobEngineName, info: ValidationInfo) -> JobEngineName:
        url: SecretStr | None = info.data.get("database_url")
        if engine is JobEngineName.EMBEDDED or url is None:
            return engine
        if not isinstance(parse_database_url(url.get_secret_value()), PostgresUrl):
            raise ValueError(f"pgqueuer needs PostgreSQL, and {PREFIX}DATABASE_URL is SQLite")  # noqa: TRY004 - pydantic's way to refuse
        if find_spec("pgqueuer") is None:
            raise ValueError("pgqueuer is not installed here; it comes with the extra billing-gateway[pgqueuer]")
        return engine

    @field_validator("stripe_api_key")
    @classmethod
    def _stripe_api_key(cls, key: SecretStr, info: ValidationInfo) -> SecretStr:
        text = key.get_secret_value()
        if not _API_KEY.fullmatch(text):
            raise ValueError("must look like sk_test_…, sk_live_…, rk_test_… or rk_live_…, with no blanks")
        if _is_live(text) and _env(info) is Environment.DEVELOPMENT:
            raise ValueError(f"is a live key, which moves real money: it needs {PREFIX}ENV=production")
        if text == SANDBOX_API_KEY and _env(info) is Environment.PRODUCTION:
            raise ValueError("is the local Stripe's key, which production refuses")
        return key

    @field_validator("stripe_api_base")
    @classmethod
    def _stripe_api_base(cls, base: str, info: ValidationInfo) -> str:
        address = base.rstrip("/")
        parts = split_address(address)
        if not parts or not is_origin(address, parts):
            raise ValueError("must be scheme://host:port and nothing more")
        if address == STRIPE_API_BASE:
            return address
        key: SecretStr | None = info.data.get("stripe_api_key")
        if key and _is_live(key.get_secret_value()):
            raise ValueError(f"must be unset or {STRIPE_API_BASE} with a live key")
        if _env(info) is Environment.PRODUCTION and (parts.scheme == "http" or is_loopback(parts.hostname)):
            raise ValueError("must be https and not on this machine in production, which refuses the local Stripe")
        return address

    @field_validator("stripe_webhook_secrets")
    @classmethod
    def _stripe_webhook_secrets(cls, values: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        texts = [value.get_secret_value() for value in values]
        if not 1 <= len(texts) <= WEBHOOK_SECRETS_MAX or not all(_WEBHOOK_SECRET.fullmatch(text) for text in texts):
            raise ValueError(f"must be 1 to {WEBHOOK_SECRETS_MAX} secrets that begin with whsec_, separated by commas")
        base = info.data.get("stripe_api_base")
        public = not set(SANDBOX_WEBHOOK_SECRETS).isdisjoint(texts)
        if public and (_env(info) is Environment.PRODUCTION or base == STRIPE_API_BASE):
            raise ValueError("must not hold the local Stripe's secrets, which are public: anyone could sign events")
        return values

    @field_validator("jwt_secret")
    @classmethod
    def _jwt_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value().encode()) < TOKEN_SECRET_BYTES_MIN:
            raise ValueError(f"must be at least {TOKEN_SECRET_BYTES_MIN} bytes long")
        return secret

    @field_validator("jwt_jwks_url")
    @classmethod
    def _jwt_jwks_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        if "jwt_secret" in info.data and (url is None) == (info.data["jwt_secret"] is None):
            raise ValueError(f"Exactly one of {PREFIX}JWT_SECRET and {PREFIX}JWT_JWKS_URL must be set.")
        if url is None:
            return None
        parts = split_address(url)
        local = parts is not None and parts.scheme == "http" and is_loopback(parts.hostname)
        allowed = parts and not parts.username and (parts.scheme == "https" or local)
        if not allowed or (local and _env(info) is Environment.PRODUCTION):
            raise ValueError("must be an https address without a login (http only on this machine in development)")
        return url

    @field_validator("jwt_issuer", "jwt_audience")
    @classmethod
    def _jwt_claims(cls, claim: str | None, info: ValidationInfo) -> str | None:
        if claim is None and _env(info) is Environment.PRODUCTION:
            raise ValueError("must be set in production")
        return claim

    @field_validator("redirect_origins")
    @classmethod
    def _redirect_origins(cls, origins: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(origins) > REDIRECT_ORIGINS_MAX:
            raise ValueError(f"must be at most {REDIRECT_ORIGINS_MAX} origins")
        Allowlist.parse(origins, secure_only=_env(info) is Environment.PRODUCTION)
        return origins

    @field_validator("deposit_maximum_cents")
    @classmethod
    def _deposit_maximum_cents(cls, maximum: int, info: ValidationInfo) -> int:
        if maximum < info.data.get("deposit_minimum_cents", maximum):
            raise ValueError(f"must not be less than {PREFIX}DEPOSIT_MINIMUM_CENTS")
        return maximum


def _env(info: ValidationInfo) -> Environment | None:
    return info.data.get("env")


def _is_live(key: str) -> bool:
    match = _API_KEY.fullmatch(key)
    return match is not None and match["mode"] == "live"
