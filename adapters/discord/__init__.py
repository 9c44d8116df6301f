"""Discord: everything that the gateway knows of it is in this folder; ``adapter.py`` connects it."""
