"""The Assistants API, version 2: assistants, threads, messages, runs, run steps."""
