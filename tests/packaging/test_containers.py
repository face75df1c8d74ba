"""The container files name only what exists: files, commands, settings."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli import build_parser
from gateway.settings import Settings, load_settings, variable

ROOT = Path(__file__).parents[2]
SETTINGS = {variable(field) for field in Settings.model_fields}
#: The image and its published ports decide the first three; a file of plans is mounted with its setting.
CONTAINERS_OWN = {"GATEWAY_HOST", "GATEWAY_PORT", "GATEWAY_SANDBOX_PORT", "GATEWAY_PLANS_FILE"}
#: Decided by compose.yaml itself.
COMPOSED = {"GATEWAY_ENV", "GATEWAY_DATABASE_URL", "GATEWAY_SHUTDOWN_SECONDS"}
REQUIRED = {
    "POSTGRES_PASSWORD": "letters0and1digits",
    "GATEWAY_STRIPE_API_KEY": "rk_test_51Habcdef",
    "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_current,whsec_connect",
    "GATEWAY_JWT_JWKS_URL": "https://id.example.com/jwks.json",
    "GATEWAY_JWT_ISSUER": "https://id.example.com",
    "GATEWAY_JWT_AUDIENCE": "billing",
    "GATEWAY_REDIRECT_ORIGINS": "https://app.example.com",
}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest) pairs, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def rest_of(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def interpolated(text: str) -> str:
    """A compose value with its ${NAME:?why} and ${NAME:-default} filled in from `REQUIRED`."""

    def fill(match: re.Match[str]) -> str:
        return REQUIRED[match["name"]] if match["rule"] == "?" else REQUIRED.get(match["name"], match["rest"])

    return re.sub(r"\$\{(?P<name>\w+):(?P<rule>[?-])(?P<rest>[^}]*)\}", fill, text)


def is_ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the project's top level out; the last rule that matches decides."""
    ignored = False
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        if rule and not rule.startswith("#") and fnmatch(path, rule.removeprefix("!")):
            ignored = not rule.startswith("!")
    return ignored


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    copied = [shlex.split(rest) for rest in rest_of("COPY")]
    sources = [source for words in copied for source in words[:-1]]

    assert "gateway" in sources
    assert [source for source in sources if not (ROOT / source).exists() or is_ignored(source)] == []


def test_everything_that_the_project_is_built_from_is_copied() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = set(" ".join(rest_of("COPY")).split())

    assert {*wheel["packages"], *wheel["force-include"], "README.md", "LICENSE", "pyproject.toml"} <= copied


@pytest.mark.parametrize("path", [".env", "var", ".git", ".venv", "tests", "compose.yaml"])
def test_secrets_and_what_is_not_needed_stay_outside(path: str) -> None:
    assert is_ignored(path)


def test_the_image_runs_as_nobody_in_particular_and_stops_when_asked() -> None:
    assert rest_of("USER") == ["10001:10001"]
    assert rest_of("STOPSIGNAL") == ["SIGTERM"]
    assert rest_of("ENTRYPOINT") == ['["gateway"]']
    assert len(rest_of("HEALTHCHECK")) == 1


def test_the_health_check_is_python_that_compiles_and_asks_readyz() -> None:
    (check,) = rest_of("HEALTHCHECK")
    command = yaml.safe_load(check.partition("CMD ")[2])

    assert command[:2] == ["python", "-c"]
    assert "/readyz" in command[2]
    compile(command[2], "HEALTHCHECK", "exec")


def test_every_command_is_one_that_the_gateway_has() -> None:
    commands = [yaml.safe_load(rest) for rest in rest_of("CMD")]
    commands += [service["command"] for service in compose()["services"].values() if "command" in service]

    assert sorted(command[0] for command in commands) == ["migrate", "serve", "serve", "worker"]
    for command in commands:
        build_parser().parse_args(command)


@pytest.mark.parametrize("file", ["Dockerfile", "compose.yaml", ".env.example", "Makefile", ".ci/run", "README.md"])
def test_every_setting_that_is_named_exists(file: str) -> None:
    named = set(re.findall(r"GATEWAY_[A-Z_]*[A-Z]", (ROOT / file).read_text()))

    assert named - SETTINGS == set()


def test_the_example_file_shows_every_setting_and_starts_as_it_stands() -> None:
    text = (ROOT / ".env.example").read_text()

    assert set(re.findall(r"^#(GATEWAY_\w+)=", text, re.MULTILINE)) == SETTINGS
    load_settings({}, env_file=ROOT / ".env.example")


def test_the_defaults_in_the_example_file_are_the_defaults(tmp_path: Path) -> None:
    shown = re.findall(r"^#(GATEWAY_\w+)=(.+)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    own = {"GATEWAY_STRIPE_API_BASE", "GATEWAY_REDIRECT_ORIGINS", "GATEWAY_PLANS_FILE"}
    environ = {name: value for name, value in shown if name not in own}
    environ["GATEWAY_JWT_SECRET"] = "0123456789abcdef0123456789abcdef"

    assert load_settings(environ) == load_settings({"GATEWAY_JWT_SECRET": environ["GATEWAY_JWT_SECRET"]})


@pytest.mark.parametrize("service", ["migrate", "gateway", "worker"])
def test_the_composed_gateway_starts_in_production_once_the_required_variables_are_set(service: str) -> None:
    environ = {name: interpolated(str(value)) for name, value in compose()["services"][service]["environment"].items()}

    settings = load_settings(environ)

    assert settings.in_production
    assert settings.database_url.get_secret_value() == "postgres://billing:letters0and1digits@postgres:5432/billing"


def test_the_composed_gateway_takes_every_setting_but_those_that_are_the_containers_own() -> None:
    shown = set(re.findall(r"^#(GATEWAY_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    environment = compose()["services"]["gateway"]["environment"]

    assert shown - set(environment) == CONTAINERS_OWN
    for name in shown - CONTAINERS_OWN - COMPOSED:
        assert re.fullmatch(rf"\$\{{{name}:(-|\?[^}}]+)\}}", environment[name]), name


def test_a_setting_handed_over_empty_is_one_that_was_not_set() -> None:
    optional = {f"GATEWAY_{field.upper()}": "" for field in Settings.model_fields} | {"GATEWAY_ENV": "production"}
    needed = {name: value for name, value in REQUIRED.items() if name in SETTINGS}
    needed |= {"GATEWAY_ENV": "production", "GATEWAY_DATABASE_URL": "postgres://billing:letters@postgres:5432/billing"}

    assert load_settings(optional | needed) == load_settings(needed)


def test_money_settings_reach_the_composed_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "GATEWAY_PLATFORM_FEE_BPS": "1500",
        "GATEWAY_EARNINGS_HOLD_HOURS": "24",
        "GATEWAY_STRIPE_ACCOUNT": "acct_1/test",
    }
    for name, value in told.items():
        monkeypatch.setitem(REQUIRED, name, value)
    environ = {name: interpolated(str(value)) for name, value in compose()["services"]["worker"]["environment"].items()}

    settings = load_settings(environ)

    assert (settings.platform_fee_bps, settings.earnings_hold_hours, settings.stripe_account) == (
        1_500,
        24,
        "acct_1/test",
    )


def test_the_composed_gateway_has_time_to_finish_what_it_began() -> None:
    server = compose()["services"]["gateway"]

    assert int(server["stop_grace_period"].removesuffix("s")) > int(server["environment"]["GATEWAY_SHUTDOWN_SECONDS"])


def test_migrations_are_applied_before_anything_serves() -> None:
    services = compose()["services"]

    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("gateway", "worker"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_two_servers_stand_behind_two_published_ports() -> None:
    server = compose()["services"]["gateway"]

    assert server["deploy"]["replicas"] == 2
    assert server["ports"] == ["127.0.0.1:8000-8001:8000"]


def test_the_worker_is_looked_at_where_it_can_be() -> None:
    worker = compose()["services"]["worker"]
    options = build_parser().parse_args(worker["command"])
    check = worker["healthcheck"]["test"]

    assert worker["ports"] == [f"127.0.0.1:{options.metrics_port}:{options.metrics_port}"]
    assert options.metrics_host == "0.0.0.0"
    assert f"http://127.0.0.1:{options.metrics_port}/readyz" in check[-1]
    compile(check[-1], "healthcheck", "exec")


def test_no_secret_has_a_default_in_the_container_files() -> None:
    for name in ("POSTGRES_PASSWORD", "GATEWAY_STRIPE_API_KEY", "GATEWAY_STRIPE_WEBHOOK_SECRETS"):
        assert f"${{{name}:?" in (ROOT / "compose.yaml").read_text()
        assert name not in (ROOT / "Dockerfile").read_text()
