"""Records what adapters hand over, and does what is asked of recorded turns."""
