"""Entry point of ``python -m gateway``."""

from gateway.cli.main import main

main()
