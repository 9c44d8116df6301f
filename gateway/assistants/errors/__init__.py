"""What servers refuse and how they break, as the errors of the domain."""
