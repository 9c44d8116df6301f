"""Who sends a request to the pages, how they signed in, and how long that holds."""
