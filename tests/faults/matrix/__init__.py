"""Every fault at every step of a turn, on every platform and database; ``python -m tests.faults.matrix``."""
