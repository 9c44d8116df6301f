"""Reads the Markdown of assistants, alike for all platforms, and cuts it into what they accept."""
