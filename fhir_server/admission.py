"""How much of large requests one process works on at a time: others wait in line, and a line too long is refused.

A body decoded, drafted and indexed takes about ten times its bytes. Without a bound, a hundred clients that send
bundles at once would fill the memory of the server. https://hl7.org/fhir/R4/http.html#Status-Codes
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import NamedTuple

from fhir_server.store.seam import Busy

SMALL = 65_536  # bytes of a body up to which it need not wait
PATIENCE = 30.0  # seconds in the line


class _Waiting(NamedTuple):
    size: int
    turn: asyncio.Future[None]
    counted: int  # of the line's length: 0 for who waits without holding anything


class Admission:
    """The room that large bodies share: `at_once` bytes under way and `waiting` bytes in line."""

    def __init__(self, at_once: int = 16_000_000, waiting: int = 200_000_000) -> None:
        self._at_once, self._free = at_once, at_once
        self._most, self._length = waiting, 0
        self._line: deque[_Waiting] = deque()

    def room(self, size: int, patience: float | None = PATIENCE) -> "Room":
        """Enter with a body of `size` bytes, first come first served; a body larger than the room has it to itself.

        Raises Busy on entering if the line is too long, or its turn does not come within `patience` seconds. None: it
        waits for ever, and is not counted in the line, because it holds no body yet.
        """
        return Room(self, min(size, self._at_once) if size > SMALL else 0, patience)

    async def take(self, size: int, patience: float | None) -> None:
        """Wait for `size` bytes of room. Raises Busy."""
        if not self._line and size <= self._free:
            self._free -= size
            return
        counted = 0 if patience is None else size
        if counted and self._length + size > self._most:
            raise Busy("Too many large requests are waiting: try again shortly.")
        waiting = _Waiting(size, asyncio.get_running_loop().create_future(), counted)
        self._line.append(waiting)
        self._length += counted
        try:
            await asyncio.wait_for(waiting.turn, patience)
        except BaseException as error:
            if waiting in self._line:
                self._line.remove(waiting)
                self._length -= counted
                self._move()
            elif not waiting.turn.cancelled():  # the turn came at the same moment
                self.give(size)
            if isinstance(error, TimeoutError):
                raise Busy(f"Large requests before this one took {PATIENCE:.0f} s: try again shortly.") from None
            raise

    def give(self, size: int) -> None:
        """Give the room back; who is next goes on."""
        self._free += size
        self._move()

    def _move(self) -> None:
        while self._line and self._line[0].size <= self._free:
            size, turn, counted = self._line.popleft()
            self._length -= counted
            if not turn.done():
                self._free -= size
                turn.set_result(None)


class Room:
    """The place of one request; an asynchronous context."""

    __slots__ = ("_admission", "_patience", "_size")

    def __init__(self, admission: Admission, size: int, patience: float | None) -> None:
        self._admission, self._size, self._patience = admission, size, patience

    async def __aenter__(self) -> None:
        if self._size:
            await self._admission.take(self._size, self._patience)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._size:
            self._admission.give(self._size)
