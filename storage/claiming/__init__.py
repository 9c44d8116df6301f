"""Gives conversations to processes, with their next turns."""
