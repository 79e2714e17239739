"""The documents say what the program does: settings, interactions, commands, links."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server import settings
from fhir_server.cli import COMMANDS, parser
from fhir_server.interactions.table import TABLE

ROOT = Path(__file__).parents[1]
PAGES = sorted(p for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if p.is_file())
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_setting_is_documented_as_the_program_has_it() -> None:
    assert settings.table() in (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("name", sorted({row.name for row in TABLE}))
def test_every_interaction_has_its_page(name: str) -> None:
    stem = name.split("-")[0]
    page = ROOT / "docs" / "interactions" / f"{stem}.md"
    assert page.exists(), f"docs/interactions/{stem}.md"
    assert "https://hl7.org/fhir/R4/" in page.read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_and_its_example_parses(name: str) -> None:
    assert f"| `{name}" in (ROOT / "docs" / "cli.md").read_text()
    args = parser(settings.Settings()).parse_args(COMMANDS[name].example.split()[1:])
    assert args.command == name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_code_blocks_exist(page: Path) -> None:
    """Lines of a code block that call make or fhir-server name a target or parse as a command."""
    blocks = re.findall(r"^(?:    |```.*?$)(.*?)(?:^```|\n\n)", page.read_text(), re.MULTILINE | re.DOTALL)
    for line in "\n".join(blocks).splitlines():
        words = line.split("#")[0].strip().removeprefix("$ ").split()
        if words[:1] == ["make"]:
            assert words[1] in MAKE_TARGETS, line
        if words and words[0].endswith("fhir-server") and words[0][0] in "f.":
            assert words[1] in {*COMMANDS, "--help", "--version"}, line


@pytest.mark.parametrize("record", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda path: path.stem[:4])
def test_a_decision_is_short_and_complete(record: Path) -> None:
    text = record.read_text()
    assert len(text.splitlines()) <= 60
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {"Context", "Decision", "Consequences", "Options rejected"} <= set(headings)


def test_help_of_every_command_shows_its_example() -> None:
    for name, command in COMMANDS.items():
        run = subprocess.run(
            [sys.executable, "-m", "fhir_server.cli", name, "--help"], capture_output=True, text=True, check=True
        )
        assert command.example in run.stdout
