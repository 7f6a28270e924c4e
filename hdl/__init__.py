"""Sparse streaming elaboratables: usable alone, knowing no files, no networks and no boards."""
