"""The batches of a small gateway: it hands them to one worker, and remembers what the worker reports."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

CHANNEL = 5


@dataclass
class HandedBatches:
    """`items` are those of each batch. A batch's first offset is 100 times its place among them."""

    items: list[list[Any]] = field(default_factory=list)
    receive_count: int = 1
    lease: float | None = None  # seconds
    ended: bool = True  # whether the worker is told the end when nothing is left
    attempts: dict[int, int] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    done: dict[int, list[Any]] = field(default_factory=dict)  # outputs
    failed: list[tuple[int, str]] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)
    completed: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def note(self, body: bytes) -> None:
        """Take a report; what is not held was reported before."""
        line, _, rest = body.partition(b"\n")
        head = json.loads(line)
        outputs = [json.loads(record) for record in rest.splitlines()]
        assert len(outputs) == sum(said[3] for said in head["done"])
        self.calls.append(head)
        for channel, first, seconds, count in head["done"]:
            own, outputs = outputs[:count], outputs[count:]
            if first in self.held:
                assert (channel, first in self.done, seconds >= 0) == (CHANNEL, False, True)
                self.held.remove(first)
                self.done[first] = own
        for channel, first, error, _ in head["failed"]:
            if first in self.held:
                assert channel == CHANNEL
                self.held.remove(first)
                self.failed.append((first, error))
                if self.attempts[first] >= self.receive_count:
                    self.dead.add(first)
        if head["completed"] is not None:
            self.completed.append(head["completed"])

    @property
    def has_answer(self) -> bool:
        """Whether the gateway answers now."""
        asked = self.calls[-1]
        return bool(self._free or self.held or not asked["want"] or (self.ended and not self.held))

    def answer(self) -> bytes | None:
        """Answer the last call; None when nothing came."""
        asked = self.calls[-1]
        known = {first for _, first in asked["held"]}
        again = self.held - known  # the answer was lost
        for first in self._free[: max(0, asked["want"] - len(again))]:
            self.held.add(first)
            self.attempts[first] = self.attempts.get(first, 0) + 1
        new = sorted(self.held - known)
        is_over = not new and not known and asked["want"] > 0 and self.ended
        if not new and not known and asked["want"] and not is_over:
            return None
        bodies = [json.dumps(self.items[first // 100]).encode() + b"\n" for first in new]
        heads = [
            [CHANNEL, first, len(self.items[first // 100]), self.attempts[first], f"batch-{first}", len(body)]
            for first, body in zip(new, bodies, strict=True)
        ]
        counts = {"succeeded": len(self.done), "failed": len(self.failed), "dead": len(self.dead), "job_id": "0a"}
        complete = counts if is_over and not self.completed else None
        head = {"batches": heads, "complete": complete, "end": is_over and bool(self.completed), "lease": self.lease}
        return json.dumps(head).encode() + b"\n" + b"".join(bodies)

    @property
    def _free(self) -> list[int]:
        every = (100 * place for place in range(len(self.items)))
        return [
            first for first in every if first not in self.held and first not in self.done and first not in self.dead
        ]
