"""Records messages that arrive together."""
