"""The kit: what chat platforms have in common. A platform's own folder holds only what is particular to it."""
