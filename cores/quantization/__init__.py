"""Quantization of float networks, and how well the result agrees with them."""
