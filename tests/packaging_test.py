"""What a user installs: the wheel has its data, the entry point starts, the server answers, and soon enough."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL = re.search(r"/bin/(pip install [^&\n]*)", (ROOT / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_contains_every_file_that_ships(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("profiles", "terminology"):
        files = [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        assert files, folder
        assert {f"fhir_server/_data/{p.relative_to(ROOT).as_posix()}" for p in files} <= names


def test_the_wheel_contains_the_program_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"fhir_server"}
    assert "fhir_server/py.typed" in names


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a clean environment, made with the Dockerfile's own install command on what it copies."""
    assert INSTALL, "the Dockerfile installs with pip"
    source = tmp_path_factory.mktemp("source")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    environment = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    arguments = [word.strip('"') for word in INSTALL[1].split()]
    command = [environment / "bin" / arguments[0], "--disable-pip-version-check", *arguments[1:]]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return environment / "bin"


@pytest.mark.timeout(600)
def test_the_entry_point_starts(installed: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [installed / "fhir-server", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "serve" in run.stdout


@pytest.fixture
def served(installed: Path, tmp_path: Path) -> Iterator[tuple[str, float, subprocess.Popen[bytes]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FHIR_SERVER_", "PYTHON"))}
    began = time.monotonic()
    command = [installed / "fhir-server", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, env=clean)
    try:
        yield f"http://127.0.0.1:{port}", began, process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)


def answer(url: str, process: subprocess.Popen[bytes], within: float) -> bytes:
    deadline = time.monotonic() + within
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.read()
        except urllib.error.URLError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, f"no answer within {within} s"
            time.sleep(0.02)


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_installed_server_starts_serves_and_stays_small(served: tuple[str, float, subprocess.Popen[bytes]]) -> None:
    origin, _, process = served
    answer(f"{origin}/healthz", process, within=30)
    assert b"CapabilityStatement" in answer(f"{origin}/fhir/metadata", process, within=5)
    status = Path(f"/proc/{process.pid}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
    assert resident < 200_000, f"{resident} kB"
