"""How many lanes, PEs and ways each stage gets, and which channel goes where."""
