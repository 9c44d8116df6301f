"""What a JSON API is made of, whichever adapter brings it: reading, waiting, showing, refusing, describing."""
