"""What is installed elsewhere is complete: the wheel holds every file that the gateway opens."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

LOCKS = ("requirements.lock", "requirements-pgqueuer.lock", "requirements-dev.lock", "requirements-build.lock")
ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "resolvers", "models")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_packages_is_in_the_wheel(wheel_names: set[str]) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }

    assert sources - wheel_names == set()


def test_the_plans_come_along(wheel_names: set[str]) -> None:
    assert "gateway/plans.toml" in wheel_names


def test_nothing_but_the_packages_is_in_the_wheel(wheel_names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel_names}

    assert {top for top in tops if not top.startswith("billing_gateway-")} == set(PACKAGES)


def test_the_command_is_installed() -> None:
    assert (Path(sys.executable).parent / "gateway").is_file()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_by_hash_and_names_no_address(lock: str) -> None:
    lines = [line for line in (ROOT / lock).read_text().splitlines() if line and not line.startswith("#")]
    entries = "\n".join(lines).replace("\\\n", " ").splitlines()

    assert entries
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ;[^\\]+)?(\s+--hash=sha256:[0-9a-f]{64})+", entry)
    assert re.search(r"https?://|file:/|index-url|find-links|trusted-host", (ROOT / lock).read_text()) is None


def test_the_locks_hold_everything_that_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-pgqueuer.lock": [
            *project["project"]["dependencies"],
            *project["project"]["optional-dependencies"]["pgqueuer"],
        ],
        "requirements-dev.lock": [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]],
        "requirements-build.lock": project["build-system"]["requires"],
    }

    for lock, requirements in asked.items():
        pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
        assert {re.split(r"[\[>=<; ]", requirement)[0] for requirement in requirements} - pinned == set()


def test_the_locks_agree_with_one_another() -> None:
    pins = [dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)) for lock in LOCKS]

    for one in pins:
        for other in pins:
            assert all(other.get(name, version) == version for name, version in one.items())
