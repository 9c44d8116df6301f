"""The writes of lease holders."""
