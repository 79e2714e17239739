"""The machine and the versions that figures belong to."""

import platform
import re
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from os import cpu_count
from pathlib import Path


def describe() -> str:
    """One paragraph of Markdown."""
    packages = ", ".join(f"{name} {_version(name)}" for name in ("uvicorn", "starlette", "msgspec", "pymongo"))
    return (
        f"{cpu_count()} cores ({_first('/proc/cpuinfo', r'model name.*: (.+)')}), "
        f"{int(_first('/proc/meminfo', r'MemTotal: +([0-9]+)') or 0) // 1_000_000} GB of memory, {platform.system()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}. "
        "The load generator runs on the same cores as the server."
    )


def _first(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
