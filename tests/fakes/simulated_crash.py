"""A process that dies at a step of its work, as far as its own code can tell."""

from __future__ import annotations


class Death(BaseException):
    """The process is gone from here on."""


class Mortal:
    """Counts the steps of a process, and lets it die before or after one of them."""

    def __init__(self, at: int = -1) -> None:
        self.at = at
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > self.at > 0:
            raise Death
