"""The fault matrix: each fault at each step of a turn, on each platform and database; ``python -m
tests.faults.matrix``.
"""
