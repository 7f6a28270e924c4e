"""Thresholds under which activations become zero: found on pictures, reported, free in hardware."""
