"""What the worker knows of the conversations that it works on, and tells others of them."""
