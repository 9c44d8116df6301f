"""The interfaces between the core, its plug-ins and the store: protocols and the plain data they exchange."""
