"""What goes into a request besides messages, whatever API it is for."""
