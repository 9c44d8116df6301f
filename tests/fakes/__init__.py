"""Stand-ins for the outside world. They speak real HTTP on loopback and keep the rules of what they stand for."""
