"""How far a run over files is, for whoever watches it."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Files and bytes of the run, and what of them is done; `stored` are the resources of this run."""

    files: int = 0
    total_bytes: int = 0
    files_done: int = 0
    files_skipped: int = 0
    bytes_done: int = 0
    stored: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Resources stored per second since the run began."""
        return self.stored / max(time.monotonic() - self.began, 1e-9)
