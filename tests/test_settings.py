"""The gateway starts with settings that are complete and safe, or says in one sentence each what is not."""

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.logs import LogFormat
from gateway.settings import Environment, Settings, SettingsError, load_settings

PRODUCTION = {
    "GATEWAY_ENV": "production",
    "GATEWAY_DATABASE_URL": "postgres://billing:hunter2@db.internal:5432/billing",
    "GATEWAY_STRIPE_API_KEY": "rk_live_51Habcdef",
    "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_current,whsec_previous",
    "GATEWAY_JWT_JWKS_URL": "https://id.example.com/.well-known/jwks.json",
    "GATEWAY_JWT_ISSUER": "https://id.example.com",
    "GATEWAY_JWT_AUDIENCE": "billing",
    "GATEWAY_REDIRECT_ORIGINS": "https://app.example.com,https://*.preview.example.com",
}
SECRET = "0123456789abcdef0123456789abcdef"


def problems_of(environ: dict[str, str], env_file: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refusal:
        load_settings(environ, env_file=env_file)
    return refusal.value.problems


def test_development_needs_nothing() -> None:
    settings = load_settings({})

    assert settings.env is Environment.DEVELOPMENT
    assert (settings.host, settings.port, settings.sandbox_port) == ("127.0.0.1", 8000, 12111)
    assert settings.database_url.get_secret_value() == "sqlite://var/gateway.db"
    assert settings.stripe_api_key.get_secret_value() == "sk_test_sandbox"
    assert settings.stripe_api_base == "http://127.0.0.1:12111"
    assert settings.stripe_is_local
    assert not settings.livemode
    assert [secret.get_secret_value() for secret in settings.stripe_webhook_secrets] == [
        "whsec_sandbox",
        "whsec_sandbox_connect",
    ]
    assert settings.redirect_origins == (
        "https://app.aerostack.dev",
        "https://aerostack-admin.pages.dev",
        "https://*.aerostack-admin.pages.dev",
        "http://localhost:5173",
    )
    assert settings.platform_fee_bps == 2000
    assert settings.earnings_hold_hours == 168
    assert settings.payout_minimum_cents == 1000
    assert (settings.deposit_minimum_cents, settings.deposit_maximum_cents) == (500, 50_000)
    assert settings.past_due_grace_hours == 168
    assert settings.graphql_batch_max == 8
    assert settings.log_format is LogFormat.CONSOLE


def test_production_starts_when_everything_is_told() -> None:
    settings = load_settings(PRODUCTION)

    assert settings.in_production
    assert settings.livemode
    assert settings.stripe_api_base == "https://api.stripe.com"
    assert not settings.stripe_is_local
    assert [secret.get_secret_value() for secret in settings.stripe_webhook_secrets] == [
        "whsec_current",
        "whsec_previous",
    ]
    assert settings.jwt_secret is None
    assert settings.log_format is LogFormat.JSON


def test_production_has_no_default_for_what_is_secret_or_its_own_and_says_so_at_once() -> None:
    assert problems_of({"GATEWAY_ENV": "production"}) == (
        "GATEWAY_DATABASE_URL must be set in production.",
        "GATEWAY_STRIPE_API_KEY must be set in production.",
        "GATEWAY_STRIPE_WEBHOOK_SECRETS must be set in production.",
        "GATEWAY_JWT_JWKS_URL: Exactly one of GATEWAY_JWT_SECRET and GATEWAY_JWT_JWKS_URL must be set.",
        "GATEWAY_JWT_ISSUER must be set in production.",
        "GATEWAY_JWT_AUDIENCE must be set in production.",
        (
            "GATEWAY_REDIRECT_ORIGINS: In production a redirect origin is https and not this machine; "
            "got 'http://localhost:5173'."
        ),
    )


@pytest.mark.parametrize("secret", ["short", "x" * 31, "é" * 15])
def test_development_refuses_a_token_secret_that_is_too_short_in_one_sentence(secret: str) -> None:
    assert problems_of({"GATEWAY_JWT_SECRET": secret}) == ("GATEWAY_JWT_SECRET must be at least 32 bytes long.",)
    assert load_settings({"GATEWAY_JWT_SECRET": "é" * 16}).jwt_secret is not None


def test_a_staging_gateway_runs_in_production_with_test_keys() -> None:
    settings = load_settings(PRODUCTION | {"GATEWAY_STRIPE_API_KEY": "sk_test_51Habcdef"})

    assert settings.in_production
    assert not settings.livemode


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"STRIPE_API_KEY": "sk_test_sandbox"}, "GATEWAY_STRIPE_API_KEY is the local Stripe's key"),
        ({"STRIPE_API_KEY": "pk_live_abc"}, "GATEWAY_STRIPE_API_KEY must look like sk_test_"),
        ({"STRIPE_API_KEY": "sk_live_abc "}, "GATEWAY_STRIPE_API_KEY must look like sk_test_"),
        ({"STRIPE_WEBHOOK_SECRETS": "whsec_a,whsec_sandbox"}, "GATEWAY_STRIPE_WEBHOOK_SECRETS must not hold"),
        ({"STRIPE_WEBHOOK_SECRETS": "whsec_sandbox_connect"}, "GATEWAY_STRIPE_WEBHOOK_SECRETS must not hold"),
        ({"STRIPE_WEBHOOK_SECRETS": ","}, "GATEWAY_STRIPE_WEBHOOK_SECRETS must be 1 to 8 secrets"),
        ({"STRIPE_WEBHOOK_SECRETS": "whsec_a,secret"}, "GATEWAY_STRIPE_WEBHOOK_SECRETS must be 1 to 8 secrets"),
        ({"STRIPE_API_BASE": "https://stripe.example.com"}, "GATEWAY_STRIPE_API_BASE must be unset or https://api"),
        ({"STRIPE_API_BASE": "https://api.stripe.com.example.com"}, "GATEWAY_STRIPE_API_BASE must be unset or"),
        ({"STRIPE_API_BASE": "https://api.stripe.com@example.com"}, "GATEWAY_STRIPE_API_BASE must be scheme://host"),
        ({"JWT_SECRET": SECRET}, "GATEWAY_JWT_JWKS_URL: Exactly one of"),
        ({"JWT_SECRET": "short", "JWT_JWKS_URL": ""}, "GATEWAY_JWT_SECRET must be at least 32 bytes long."),
        ({"JWT_JWKS_URL": "http://id.example.com/jwks"}, "GATEWAY_JWT_JWKS_URL must be an https address"),
        ({"JWT_JWKS_URL": "http://127.0.0.1/jwks"}, "GATEWAY_JWT_JWKS_URL must be an https address"),
        ({"JWT_JWKS_URL": "https://me:pw@id.example.com/"}, "GATEWAY_JWT_JWKS_URL must be an https address"),
        ({"JWT_AUDIENCE": ""}, "GATEWAY_JWT_AUDIENCE must be set in production."),
        ({"REDIRECT_ORIGINS": "http://app.example.com"}, "GATEWAY_REDIRECT_ORIGINS: In production"),
        ({"REDIRECT_ORIGINS": "https://localhost"}, "GATEWAY_REDIRECT_ORIGINS: In production"),
        ({"REDIRECT_ORIGINS": "https://app.example.com/path"}, "GATEWAY_REDIRECT_ORIGINS: A redirect origin is like"),
        ({"REDIRECT_ORIGINS": "*"}, "GATEWAY_REDIRECT_ORIGINS: A redirect origin is like"),
        ({"DATABASE_URL": "mysql://billing:hunter2@db/billing"}, "GATEWAY_DATABASE_URL: A database URL begins with"),
        ({"DATABASE_URL": "sqlite://:memory:"}, "GATEWAY_DATABASE_URL: SQLite in memory is not supported"),
        ({"DEPOSIT_MINIMUM_CENTS": "600", "DEPOSIT_MAXIMUM_CENTS": "500"}, "GATEWAY_DEPOSIT_MAXIMUM_CENTS must not be"),
        ({"PLATFORM_FEE_BPS": "10001"}, "GATEWAY_PLATFORM_FEE_BPS must be less than or equal to 10000; got '10001'."),
        ({"PLATFORM_FEE_BPS": "20.5"}, "GATEWAY_PLATFORM_FEE_BPS must be a whole number; got '20.5'."),
        ({"PORT": "0"}, "GATEWAY_PORT must be greater than or equal to 1; got '0'."),
        ({"PORT": "tcp://10.0.0.1:8000"}, "GATEWAY_PORT must be a whole number; got 'tcp://10.0.0.1:8000'."),
        ({"LOG_LEVEL": "loud"}, "GATEWAY_LOG_LEVEL must be 'debug', 'info', 'warning' or 'error'; got 'loud'."),
        ({"STRIPE_PORTAL_CONFIGURATION": "portal"}, "GATEWAY_STRIPE_PORTAL_CONFIGURATION must match pattern"),
    ],
)
def test_production_refuses_what_is_unsafe(changed: dict[str, str], sentence: str) -> None:
    environ = PRODUCTION | {f"GATEWAY_{name}": value for name, value in changed.items()}

    problems = problems_of(environ)

    assert len(problems) == 1
    assert problems[0].startswith(sentence)


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:12111", "http://localhost:12111", "https://[::1]:12111", "http://sandbox:12111"]
)
def test_production_refuses_the_local_stripe_with_a_test_key_too(base: str) -> None:
    environ = PRODUCTION | {"GATEWAY_STRIPE_API_KEY": "sk_test_51Habcdef", "GATEWAY_STRIPE_API_BASE": base}

    assert problems_of(environ) == (
        (
            f"GATEWAY_STRIPE_API_BASE must be https and not on this machine in production, "
            f"which refuses the local Stripe; got {base!r}."
        ),
    )


def test_development_refuses_a_key_that_moves_real_money() -> None:
    assert problems_of({"GATEWAY_STRIPE_API_KEY": "sk_live_51Habcdef"}) == (
        "GATEWAY_STRIPE_API_KEY is a live key, which moves real money: it needs GATEWAY_ENV=production.",
    )


def test_development_against_stripe_itself_needs_a_webhook_secret_of_its_own() -> None:
    environ = {"GATEWAY_STRIPE_API_KEY": "sk_test_51Habcdef", "GATEWAY_STRIPE_API_BASE": "https://api.stripe.com/"}

    assert problems_of(environ) == (
        (
            "GATEWAY_STRIPE_WEBHOOK_SECRETS must not hold the local Stripe's secrets, which are public: "
            "anyone could sign events."
        ),
    )
    settings = load_settings(environ | {"GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_mine"})
    assert settings.stripe_api_base == "https://api.stripe.com"


def test_a_misspelt_variable_is_named_with_the_nearest_one() -> None:
    assert problems_of(
        {"GATEWAY_DATABSE_URL": "sqlite://x.db", "GATEWAY_port": "1", "GATEWAY_ZZZ": "", "PATH": "/"}
    ) == (
        "GATEWAY_DATABSE_URL is not a setting; did you mean GATEWAY_DATABASE_URL?",
        "GATEWAY_port is not a setting; did you mean GATEWAY_PORT?",
        "GATEWAY_ZZZ is not a setting; docs/settings.md lists them all.",
    )


def test_an_unknown_environment_is_one_problem_not_ten() -> None:
    assert problems_of({"GATEWAY_ENV": "prod"}) == ("GATEWAY_ENV must be 'development' or 'production'; got 'prod'.",)


def test_no_secret_is_ever_shown() -> None:
    environ = PRODUCTION | {
        "GATEWAY_STRIPE_API_KEY": "sk_live_hunter3 x",
        "GATEWAY_JWT_JWKS_URL": "sk_live_wrongplace",
        "GATEWAY_HOST": "",
        "GATEWAY_REDIRECT_ORIGINS": "whsec_wrongplace",
        "GATEWAY_DATABASE_URL": "postgres://billing:hunter2@db:port/billing",
    }

    shown = "\n".join(problems_of(environ)) + repr(load_settings(PRODUCTION)) + str(load_settings(PRODUCTION))

    for secret in ("wrongplace", "hunter2", "hunter3", "whsec_current", "51Habcdef"):
        assert secret not in shown


def test_the_environment_wins_over_the_file_and_empty_counts_as_unset(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        f"# a comment\nGATEWAY_PORT=9000\nexport GATEWAY_HOST='0.0.0.0'\nGATEWAY_JWT_SECRET='{SECRET}$HOME'\n"
        "OTHER=x\nGATEWAY_LOG_LEVEL\n"
    )

    settings = load_settings({"GATEWAY_PORT": "9001", "GATEWAY_SANDBOX_PORT": ""}, env_file=file)

    assert (settings.host, settings.port, settings.sandbox_port) == ("0.0.0.0", 9001, 12111)
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == f"{SECRET}$HOME"


def test_a_misspelt_line_of_the_file_is_found_too(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("GATEWAY_PROT=9000\n")

    assert problems_of({}, file) == ("GATEWAY_PROT is not a setting; did you mean GATEWAY_PORT?",)


def test_an_absent_file_is_fine_and_an_unreadable_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert load_settings({}, env_file=file).port == 8000
    file.write_bytes(b"GATEWAY_PORT=\xff\xfe")

    (problem,) = problems_of({}, file)

    assert problem.startswith(f"{file} cannot be read")


def test_the_sandbox_address_follows_its_port() -> None:
    assert load_settings({"GATEWAY_SANDBOX_PORT": "1234"}).stripe_api_base == "http://127.0.0.1:1234"
    assert problems_of({"GATEWAY_SANDBOX_PORT": "abc"}) == ("GATEWAY_SANDBOX_PORT must be a whole number; got 'abc'.",)


def test_the_development_secret_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "var" / "dev-jwt-secret"

    first = load_settings({}, jwt_secret_file=file)
    second = load_settings({}, jwt_secret_file=file)

    assert first.jwt_secret == second.jwt_secret
    assert first.jwt_secret is not None
    assert len(first.jwt_secret.get_secret_value()) == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert load_settings({}).jwt_secret != load_settings({}).jwt_secret


def test_the_development_secret_is_not_made_where_it_is_not_needed(tmp_path: Path) -> None:
    file = tmp_path / "dev-jwt-secret"

    load_settings(PRODUCTION, jwt_secret_file=file)
    load_settings({"GATEWAY_JWT_SECRET": SECRET}, jwt_secret_file=file)
    load_settings({"GATEWAY_JWT_JWKS_URL": "http://127.0.0.1:9/jwks"}, jwt_secret_file=file)

    assert not file.exists()


def test_a_spoilt_development_secret_is_named(tmp_path: Path) -> None:
    file = tmp_path / "dev-jwt-secret"
    file.write_text("")

    with pytest.raises(SettingsError, match="must hold a secret of at least 32 bytes: delete it"):
        load_settings({}, jwt_secret_file=file)
    with pytest.raises(SettingsError, match=r"GATEWAY_JWT_SECRET must be set, for .* cannot be used"):
        load_settings({}, jwt_secret_file=file / "below-a-file")


def test_settings_cannot_be_changed_and_read_nothing_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "9999")
    settings = load_settings({})

    assert settings.port == 8000
    with pytest.raises(ValidationError):
        settings.port = 1  # pyright: ignore[reportAttributeAccessIssue] - that it is frozen is the point


def test_every_setting_has_its_place_in_the_documents() -> None:
    named = [line.split("`")[1] for line in Path("docs/settings.md").read_text().splitlines() if line.startswith("| `")]

    assert sorted(named) == sorted(f"GATEWAY_{field.upper()}" for field in Settings.model_fields)
