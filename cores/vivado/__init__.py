"""Projects for Vivado."""
