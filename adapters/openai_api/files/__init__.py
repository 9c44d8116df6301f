"""Files that programs upload: ``/files``."""
