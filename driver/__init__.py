"""Runs a design of Skipstone from software: python -m driver --help. Needs NumPy; Pillow for pictures; pynq on a board."""
