"""An example of a package with a tool for the chat gateway."""
