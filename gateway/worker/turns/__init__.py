"""One turn of a conversation: from its claim to its end."""
