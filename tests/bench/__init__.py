"""What the gateway costs, measured beside the SDK alone and beside a plain Flask program: ``make bench``."""
