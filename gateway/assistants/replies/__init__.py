"""A reply while it is read: what of it is text for people, and what is not."""
