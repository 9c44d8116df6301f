"""Gets the reply to a turn: from an assistant, from those in its place, or from the gateway itself."""
