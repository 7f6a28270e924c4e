"""From a design to a bitstream for Lattice's ECP5, by open tools."""
