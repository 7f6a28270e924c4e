"""The design behind registers: the module skipstone_axi, and what software needs to know of it."""
