"""Shows a reply as it grows, and delivers it."""
