"""What ``check`` says of an MCP server."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from os.path import basename
from urllib.parse import urlsplit

from gateway.configuration import McpServerDefinition
from gateway.ports.check import CheckResult
from gateway.tools.mcp.listing import Listing

MAX_SHOWN_TOOLS = 20


def report(server: McpServerDefinition, problem: str, listing: Listing) -> Iterator[CheckResult]:
    """Yields a line with the server's tools, or with what is wrong, and one for each tool that cannot be used."""
    line, where = f"mcp {server.name}", place_of(server)
    if problem:
        yield CheckResult(line, ok=False, detail=f"{where}: {problem}")
        return
    names = [tool.name for tool in listing.tools]
    more = f" and {len(names) - MAX_SHOWN_TOOLS} more" if len(names) > MAX_SHOWN_TOOLS else ""
    yield CheckResult(line, ok=True, detail=f"{where}: {', '.join(names[:MAX_SHOWN_TOOLS]) or 'no tools'}{more}")
    for tool, reason in listing.left_out.items():
        yield CheckResult(line, ok=False, detail=f"{tool} is left out: {reason}")
    for tool in listing.unknown:
        near = get_close_matches(tool, listing.offered, n=1)
        hint = f"; if you mean {near[0]}, write that" if near else ""
        yield CheckResult(line, ok=False, detail=f"allow names {tool}, which the server does not have{hint}")


def place_of(server: McpServerDefinition) -> str:
    """Returns where a server is, without what may be secret: arguments, and parts of the address."""
    if not server.url:
        return basename(server.command[0])  # noqa: PTH119  # a name, not a path on this machine
    url = urlsplit(server.url)
    return url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()
