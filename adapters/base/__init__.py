"""What adapters of chat platforms share; see README.md."""
