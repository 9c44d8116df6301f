"""The pages, one module for each; those that show something else than Flask makes work without it."""
