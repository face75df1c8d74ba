"""The house rules that a linter does not know: sizes, money without floats, documents that say what the code does."""

import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

from gateway.domain.errors import ErrorCode
from gateway.settings import Settings, variable
from resolvers.schema import schema

ROOT = Path(__file__).parents[1]
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 400
OURS = ("gateway", "resolvers", "models", "tests", "benchmarks", "examples")
MONEY = ("gateway/domain", "gateway/services", "models", "resolvers")
NO_MONEY = {"gateway/domain/clock.py"}
HIDDEN_BUT_OURS = {".ci", ".github"}
MADE = {"var", "dist", "node_modules", "__pycache__"}
VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "data", "info", "misc", "common", "http"}


def python_files(*folders: str) -> Iterator[tuple[str, str]]:
    """Each Python file below the folders as (path from the root, text)."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def text_files() -> Iterator[tuple[str, str]]:
    """Each text file of the project as (path from the root, text); what tools leave behind is not looked into."""
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name in HIDDEN_BUT_OURS or not (name.startswith(".") or name in MADE)]
        for path in (Path(folder) / name for name in sorted(names)):
            with suppress(UnicodeDecodeError):
                yield path.relative_to(ROOT).as_posix(), path.read_text()


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_a_function_fits_a_screen() -> None:
    long = [
        f"{name}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for name, text in python_files(*OURS)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]

    assert long == []


def test_a_file_fits_a_sitting() -> None:
    assert [name for name, text in python_files(*OURS) if len(text.splitlines()) > FILE_LINES_MAX] == []


def test_every_module_opens_with_a_sentence() -> None:
    silent = [name for name, text in python_files(*OURS) if text.strip() and not ast.get_docstring(ast.parse(text))]

    assert silent == []


def test_no_name_is_vague() -> None:
    names = {part for name, _ in python_files(*OURS) for part in Path(name).with_suffix("").parts}

    assert names & VAGUE == set()


def test_no_float_comes_near_money() -> None:
    floats = [
        f"{name}:{line}"
        for name, text in python_files(*MONEY)
        if name not in NO_MONEY
        for line in float_lines(ast.parse(text))
    ]

    assert floats == []


def float_lines(node: ast.AST) -> Iterator[int]:
    """The lines with a float constant, a call of `float` or a `/`; a duration, named `…_seconds`, may be one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield node.lineno
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
        yield node.lineno
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
        yield node.lineno
    if not is_duration(node):
        for child in ast.iter_child_nodes(node):
            yield from float_lines(child)


def is_duration(node: ast.AST) -> bool:
    match node:
        case (
            ast.keyword(arg=str(name))
            | ast.Assign(targets=[ast.Name(id=name)])
            | ast.AnnAssign(target=ast.Name(id=name))
        ):
            return name == "seconds" or "_seconds" in name.lower()
        case _:
            return False


def test_a_silenced_checker_is_told_which_rule_and_why() -> None:
    bare: list[str] = []
    for name, text in python_files(*OURS):
        above = ""
        for number, line in enumerate(text.splitlines(), start=1):
            silenced = re.search(r"#\s*(?:type|pyright):\s*ignore(?P<rule>\[[\w, -]+\])?(?P<reason>.*)", line)
            explained = silenced and (silenced["reason"].strip() or above.lstrip().startswith("#"))
            if silenced and not (silenced["rule"] and explained):
                bare.append(f"{name}:{number}")
            above = line

    assert bare == []


def imported(text: str) -> Iterator[str]:
    """The top-level packages a module imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def test_what_is_imported_is_declared() -> None:
    """A package that arrives only because another needs it would leave with the other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    declared = {re.split(r"[\[>=<]", requirement)[0].lower() for requirement in wanted}
    providers = packages_distributions()
    undeclared = {
        f"{name}: {package}"
        for name, text in python_files("gateway", "resolvers", "models")
        for package in set(imported(text)) - sys.stdlib_module_names - {"gateway", "resolvers", "models"}
        if not declared & {re.sub(r"[-_.]+", "-", provider).lower() for provider in providers.get(package, ())}
    }

    assert undeclared == set()


def test_our_own_code_is_never_mocked() -> None:
    pattern = re.compile(r"^\s*(from|import) (unittest\.)?mock\b|^from unittest import mock|\bmocker:", re.MULTILINE)

    assert [name for name, text in python_files("tests") if pattern.search(text)] == []


def test_nothing_names_one_machine_or_one_registry() -> None:
    folders = r"(?<![\w.*-])/(home|root|Users|work)/\w"
    hosts = r"\b(pypi|pythonhosted|npmjs|docker)\.(org|com|io)\b"
    pattern = re.compile(f"{folders}|{hosts}")
    found = [
        f"{name}: {match[0]}"
        for name, text in text_files()
        if name != "tests/test_tidy.py" and (match := pattern.search(text))
    ]

    assert found == []


def test_no_half_of_a_merge_was_left_behind() -> None:
    marker = re.compile(r"^(<{7}|={7}|>{7}|\|{7})( |$)", re.MULTILINE)

    assert [name for name, text in text_files() if marker.search(text)] == []


def test_every_setting_is_in_the_documents() -> None:
    documented = set(re.findall(r"^\| `(GATEWAY_\w+)` ", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))

    assert documented == {variable(field) for field in Settings.model_fields}


def test_every_error_code_is_in_the_documents() -> None:
    text = (ROOT / "docs/errors.md").read_text()

    assert [code for code in ErrorCode if f"`{code}`" not in text] == []


def test_the_printed_schema_is_what_the_code_says() -> None:
    assert (ROOT / "schema.graphql").read_text() == schema.as_str() + "\n", "run `gateway schema > schema.graphql`"


def test_every_make_target_and_command_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for document in documents() for target in re.findall(r"`make ([a-z-]+)", document.read_text())}

    assert named <= targets
