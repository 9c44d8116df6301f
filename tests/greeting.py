"""What a server prints at its start."""

from typing import IO


def read_greeting(said: IO[str]) -> list[str]:
    """Returns the lines that a server prints once it answers. It would otherwise write to a closed pipe."""
    lines = [said.readline()]
    while lines[-1] and "curl" not in lines[-1]:
        lines.append(said.readline())
    return lines
