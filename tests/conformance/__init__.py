"""The real program beside a Slack that this project did not write: ``make conformance``."""
