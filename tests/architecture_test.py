"""The shape of the code: sizes, first sentences, and imports that go one way."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("fhir_server", "tools", "examples", "bench") for path in (ROOT / folder).rglob("*.py")
)
MODULES = sorted((ROOT / "fhir_server").rglob("*.py"))
# Folders whose files each stand for one page of the specification.
OF_THE_SPECIFICATION = ("interactions", "operations", "search/params")
EVERY_MODULE = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@EVERY_MODULE
def test_a_module_fits_in_the_head(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@EVERY_MODULE
def test_a_function_fits_on_a_page(path: Path) -> None:
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions(path) if f.end_lineno - f.lineno >= 60}
    assert not long


@EVERY_MODULE
def test_a_module_says_what_it_is(path: Path) -> None:
    if path.read_text().strip():
        assert docstring(path), "the first line of a module is a sentence that says what it is"


@pytest.mark.parametrize("folder", OF_THE_SPECIFICATION)
def test_a_module_of_the_specification_links_its_page(folder: str) -> None:
    unlinked = [p.name for p in (ROOT / "fhir_server" / folder).glob("*.py") if "https://" not in docstring(p)]
    assert [name for name in unlinked if name != "__init__.py"] == []


@pytest.mark.parametrize(
    ("packages", "homes"),
    [
        (("sqlite3", "pymongo", "bson"), ("store",)),
        (("fastapi", "starlette"), ("rest", "auth", "portal", "app.py")),
        (("joserfc",), ("auth/jose.py",)),
        (("uvicorn",), ("commands/serve.py",)),
    ],
    ids=lambda value: value[0],
)
def test_a_library_is_known_in_one_place(packages: tuple[str, ...], homes: tuple[str, ...]) -> None:
    strangers = []
    for path in MODULES:
        name = path.relative_to(ROOT / "fhir_server").as_posix()
        if any(name == home or name.startswith(home + "/") for home in homes):
            continue
        strangers += [f"{name} imports {module}" for module in imported(path) if module.split(".")[0] in packages]
    assert strangers == []


def test_every_library_imported_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["mongo"], *extras["analysis"], *extras["s3"]]
    names = {re.split(r"[<>=;\[ ]", one)[0].lower().replace("-", "_") for one in declared}
    found = {module.split(".")[0] for path in MODULES for module in imported(path)} - set(sys.stdlib_module_names)
    # bson comes with pymongo, botocore with boto3; argon2 and yaml are what argon2-cffi and pyyaml are called by.
    found -= {"fhir_server", "bson", "botocore", "argon2", "yaml"}
    assert found - names == set()


def test_imports_go_one_way() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_module_is_called_by_a_word_that_means_nothing() -> None:
    empty = {"manager", "service", "helper", "helpers", "util", "utils", "base", "common", "misc"}
    assert [str(p) for p in SOURCES if set(p.stem.split("_")) & empty] == []
