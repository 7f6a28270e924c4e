"""The cycle model: a whole pipeline, beat by beat and pass by pass, without simulating a clock."""
