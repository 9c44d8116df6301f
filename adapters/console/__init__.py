"""The console: a person at a terminal, or a program behind a pipe, talks with the assistant."""

from adapters.console.adapter import ConsoleAdapter
from adapters.console.chat_command import command

__all__ = ["ConsoleAdapter", "command"]
