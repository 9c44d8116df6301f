"""Attacks on the real program, over loopback, with what they cost those beside the attacker: ``make attack``."""
