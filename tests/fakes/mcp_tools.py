"""An MCP server by the SDK's own server side, with tools of every kind. Runs as a program on stdio, or as an app."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import (
    Annotations,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    TextContent,
)

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 20).decode()


def build() -> MCPServer[Any]:
    """Returns the server."""
    server: MCPServer[Any] = MCPServer("orders")

    @server.tool()
    def find_order(number: str) -> str:
        """Find an order by the number on its invoice."""
        if number == "secret":
            return os.environ.get("ORDERS_TOKEN", "not given")
        return f"order {number} is on its way"

    @server.tool()
    def refund(number: str, cents: int) -> str:
        """Pay money back."""
        if cents > 100:
            raise ValueError("that is too much")
        return f"refunded {cents} for {number}"

    @server.tool()
    def chart() -> CallToolResult:
        """Draw a chart."""
        return CallToolResult(
            content=[
                TextContent(text="Here it is."),
                ImageContent(data=PNG, mime_type="image/png"),
                EmbeddedResource(
                    resource=BlobResourceContents(
                        uri="file:///out/raw%20data.bin", mime_type="application/octet-stream", blob="AAEC"
                    ),
                    annotations=Annotations(audience=["user"]),
                ),
            ]
        )

    @server.tool()
    async def wait(seconds: Annotated[float, "how long"]) -> str:
        """Wait."""
        await asyncio.sleep(seconds)
        return "waited"

    @server.tool()
    async def learn(context: Context) -> str:
        """Get one more tool."""
        server.add_tool(lambda: "brand new", name="brand_new", description="Is new.")
        await context.notify_tools_changed()
        return "learnt"

    return server


if __name__ == "__main__":
    build().run()
