"""The tool that looks up orders."""

from __future__ import annotations

STATUS = {"A-1234": "sent on Monday"}


def order_status(order_number: str) -> str:
    """Tell the status of an order.

    Args:
        order_number: The number on the invoice, such as "A-1234".
    """
    return STATUS.get(order_number, "There is no such order.")
