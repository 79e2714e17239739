"""A pytest plugin for `make test-deep`: what has passed is not run again until something changes; the longest first.

Passed tests are listed in build/deep-tests-[digest of the sources]; a run in which all pass removes the list.
"""

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("fhir_server/**/*.py", "tests/**/*.py", "profiles/**/*", "terminology/**/*", "pyproject.toml")


def passed_list() -> Path:
    """Where the tests that have passed on these sources are noted."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in ROOT.glob(pattern) if path.is_file()):
        digest.update(path.read_bytes())
    return ROOT / "build" / f"deep-tests-{digest.hexdigest()[:16]}"


class Resume:
    """The hooks, for one list."""

    def __init__(self, passed: Path, writes: bool) -> None:
        self.passed, self.writes = passed, writes

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        done = set(self.passed.read_text().splitlines()) if self.passed.exists() else set()
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
        items[:] = sorted((item for item in items if item.nodeid not in done), key=_allowed, reverse=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.writes and report.when == "call" and report.passed:
            self.passed.parent.mkdir(exist_ok=True)
            with self.passed.open("a") as file:
                file.write(report.nodeid + "\n")

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self.writes and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            self.passed.unlink(missing_ok=True)


def _allowed(item: pytest.Item) -> float:
    """How many seconds a test may take: the best guess at how long it does."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker and marker.args else 0.0


def pytest_configure(config: pytest.Config) -> None:
    """Workers of xdist are told the list by their controller, which alone writes to it."""
    worker = getattr(config, "workerinput", None)
    path = Path(worker["deep_passed"]) if worker else passed_list()
    config.pluginmanager.register(Resume(path, worker is None), "resume-deep-tests")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of xdist where the list is."""
    resume = node.config.pluginmanager.get_plugin("resume-deep-tests")  # type: ignore[attr-defined]
    node.workerinput["deep_passed"] = str(resume.passed)  # type: ignore[attr-defined]
