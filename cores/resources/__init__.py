"""What a design takes of an FPGA, predicted before synthesis: see docs/resources.md."""
