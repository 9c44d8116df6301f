"""MCP: tools of other servers, by the official SDK, which is imported only when such a server is configured."""
