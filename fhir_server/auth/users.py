"""People who sign in to the embedded authorization server, kept in State. https://www.rfc-editor.org/rfc/rfc9106

A password is kept as argon2id. Checking one takes the same work whether or not there is such a user.
"""

import asyncio
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fhir_server.auth.records import User, load, save
from fhir_server.search.predicate import EVERYTHING
from fhir_server.store.seam import Store

KINDS = ("Patient", "Practitioner", "RelatedPerson")
SHORTEST, LONGEST = 12, 200  # characters of a password
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+\-]{0,63}", re.ASCII)
_WHO = re.compile(rf"({'|'.join(KINDS)})/[A-Za-z0-9\-.]{{1,64}}", re.ASCII)
_ALL = "users"  # the State that lists their names: State itself cannot be listed
_HASHER = PasswordHasher()
_ROOM = ThreadPoolExecutor(2, "passwords")  # each hash fills 64 MiB
T = TypeVar("T")


class Names(msgspec.Struct, frozen=True):
    """The names of all users, in the order in which they were added."""

    names: tuple[str, ...] = ()


async def add(store: Store, name: str, fhir_user: str, password: str, shown: str = "") -> User:
    """Make a user. Raises ValueError for a name that is taken or no name, a weak password and a missing resource."""
    name = folded(name)
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a user name: use up to 64 letters, digits and . _ @ + -")
    if not _WHO.fullmatch(fhir_user):
        raise ValueError(f"{fhir_user!r} is not who a user can be: give one of {', '.join(KINDS)} with its id.")
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"The password must have {SHORTEST} to {LONGEST} characters.")
    type, id = fhir_user.split("/")
    found = await store.read(type, id, EVERYTHING)
    if found is None or found.deleted:
        raise ValueError(f"There is no {fhir_user} in the store: load it first.")
    hashed = await _aside(partial(_HASHER.hash, password))
    user = User(name=name, password=hashed, fhir_user=fhir_user, shown=shown or name)
    await _list(store, name)
    if not await save(store, _key(name), user):
        raise ValueError(f"There is a user {name!r} already.")
    return user


async def user_of(store: Store, name: str) -> User | None:
    """The user of a name, disabled ones included."""
    found = await load(store, _key(folded(name)), User)
    return found and found[0]


async def everyone(store: Store) -> list[User]:
    """All users, in the order in which they were added."""
    listed = await load(store, _ALL, Names)
    users = [await user_of(store, name) for name in (listed[0].names if listed else ())]
    return [user for user in users if user is not None]


async def disable(store: Store, name: str) -> User:
    """Keep a user from signing in, and end what they are signed in to. Raises ValueError if there is none."""
    while True:
        found = await load(store, _key(folded(name)), User)
        if found is None:
            raise ValueError(f"There is no user {name!r}.")
        user = msgspec.structs.replace(found[0], disabled=True)
        if await save(store, _key(user.name), user, found[1]):
            return user


async def verified(store: Store, name: str, password: str) -> User | None:
    """The user whose name and password these are; None after the same work if there is none or it is disabled."""
    user = await user_of(store, name) if _NAME.fullmatch(folded(name)) else None
    known = user is not None and not user.disabled
    kept = user.password if user is not None and known else await _aside(_nobody)
    right = await _aside(partial(_matches, kept, password[: LONGEST + 1]))
    return user if known and right else None


def folded(name: str) -> str:
    """The form of a user name in which it is kept: case and outer spaces tell nobody apart."""
    return name.strip().lower()


def fresh_password() -> str:
    """A password of 120 random bits that can be read out and typed."""
    return "-".join(secrets.token_hex(3) for _ in range(5))


async def _aside(work: Callable[[], T]) -> T:
    """Do it in one of two threads: requests go on meanwhile, and memory stays bounded."""
    return await asyncio.get_running_loop().run_in_executor(_ROOM, work)


async def _list(store: Store, name: str) -> None:
    while True:
        found = await load(store, _ALL, Names)
        names, version = (found[0].names, found[1]) if found else ((), 0)
        if name in names or await save(store, _ALL, Names((*names, name)), version):
            return


def _matches(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


@cache
def _nobody() -> str:
    """The hash of a password that nobody has."""
    return _HASHER.hash(secrets.token_hex(32))


def _key(name: str) -> str:
    return f"user/{name}"
