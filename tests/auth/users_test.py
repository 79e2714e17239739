"""Users: made, listed, disabled; passwords cost the same whoever they are for, and cannot be tried for long."""

import asyncio
import re
import subprocess
import sys
import time

import pytest

from fhir_server.app import open_server
from fhir_server.auth import users
from fhir_server.settings import Settings
from fhir_server.store.seam import Store
from tests.auth.person import PASSWORD, Person, fill, living
from tests.client import Client


def run(url: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fhir_server.cli", "user", *arguments, "--store", url]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('users') / 'fhir.db'}"
    asyncio.run(fill(Settings(store=url, auth="smart")))
    return url


def test_the_command_line_adds_lists_and_disables(filled: str) -> None:
    added = run(filled, "add", "Zoe", "--fhir-user", "Patient/anna", "--shown", "Zoe Z.")
    assert added.returncode == 0, added.stderr
    password = re.search(r"^password (\S+)$", added.stdout, re.MULTILINE)[1]
    assert len(password) >= 30
    assert run(filled, "add", "yan", "--fhir-user", "Patient/bo", "--password-stdin", stdin=PASSWORD).returncode == 0
    listed = run(filled, "list").stdout
    assert "zoe\tPatient/anna\tenabled\tZoe Z.\n" in listed
    assert password not in listed
    assert "argon2" not in listed

    async def signs_in(name: str, password: str) -> bool:
        async with open_server(Settings(store=filled)) as server:
            return await users.verified(server.store, name, password) is not None

    assert asyncio.run(signs_in(" ZOE ", password))
    assert asyncio.run(signs_in("yan", PASSWORD))
    assert run(filled, "disable", "zoe").returncode == 0
    assert not asyncio.run(signs_in("zoe", password))
    assert "zoe\tPatient/anna\tdisabled\t" in run(filled, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("add", "anna", "--fhir-user", "Patient/anna"), "", "already"),
        (("add", "ANNA", "--fhir-user", "Patient/anna"), "", "already"),
        (("add", "new", "--fhir-user", "Patient/nobody"), "", "no Patient/nobody"),
        (("add", "new", "--fhir-user", "Organization/1"), "", "Patient, Practitioner, RelatedPerson"),
        (("add", "new"), "", "Patient, Practitioner, RelatedPerson"),
        (("add", "a b", "--fhir-user", "Patient/anna"), "", "user name"),
        (("add", "new", "--fhir-user", "Patient/anna", "--password-stdin"), "short", "12 to 200"),
        (("add", "new", "--fhir-user", "Patient/anna", "--password-stdin"), "x" * 201, "12 to 200"),
        (("disable", "nobody"), "", "no user"),
        (("disable",), "", "user name"),
        (("list", "anna"), "", "user name"),
    ],
)
def test_what_the_command_line_refuses(filled: str, arguments: tuple[str, ...], stdin: str, said: str) -> None:
    refused = run(filled, *arguments, stdin=stdin)
    assert refused.returncode == 2
    assert said in refused.stderr


async def test_passwords_are_kept_as_argon2id(store: Store) -> None:
    with pytest.raises(ValueError, match="load it first"):
        await users.add(store, "anna", "Patient/anna", PASSWORD)


def test_a_password_is_kept_as_argon2id_and_checked_at_equal_cost(smart: Client) -> None:
    server = smart.app.endpoint.server
    assert smart.run(users.user_of(server.store, "anna")).password.startswith("$argon2id$")

    def seconds(name: str) -> float:
        took = []
        for _ in range(5):
            began = time.perf_counter()
            assert smart.run(users.verified(server.store, name, "wrong password")) is None
            took.append(time.perf_counter() - began)
        return min(took)

    smart.run(users.verified(server.store, "nobody", "x"))
    known, unknown, malformed = seconds("anna"), seconds("nobody"), seconds("no/such name")
    assert known / 3 < unknown < known * 3
    assert known / 3 < malformed < known * 3


def test_five_wrong_passwords_lock_a_name_for_this_address(person: Person) -> None:
    person.ask()
    for _ in range(5):
        assert person.sign_in("anna", "wrong password").status_code == 403
        assert "name or the password is wrong" in person.heard()[-1]
    assert person.sign_in("anna").status_code == 429
    assert "too many attempts" in person.heard()[-1]
    person.sign_in("doc")
    assert person.page.status_code == 200


def test_many_at_once_are_no_way_around_the_lock(person: Person) -> None:
    server = person.client.app.endpoint.server
    from fhir_server.auth.attempts import counted

    async def all_at_once() -> list[bool]:
        return await asyncio.gather(*(counted(server, "anna", "address/1") for _ in range(40)))

    assert sum(person.client.run(all_at_once())) == 5


def test_success_does_not_count_as_an_attempt(person: Person) -> None:
    for _ in range(7):
        one = Person(person.client)
        one.ask()
        assert one.sign_in("anna").status_code == 200
        person.client.run(one.http.aclose())


def test_a_disabled_user_loses_session_and_tokens(person: Person, store_url: str) -> None:
    answer = person.redeem(person.code(scope="patient/*.rs offline_access")).json()
    assert living(person, answer["access_token"])
    assert run(store_url, "disable", "anna").returncode == 0
    server = person.client.app.endpoint.server
    server.grants.clear()  # what a process remembers for a second
    assert not living(person, answer["access_token"])
    assert person.refresh(answer["refresh_token"]).json()["error"] == "invalid_grant"
    person.ask()
    assert person.heard()[0] == "Sign in"
    assert person.sign_in("anna").status_code == 403
