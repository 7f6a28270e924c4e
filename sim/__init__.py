"""What a design is checked against: NumPy reference, benches, Verilator runs."""
