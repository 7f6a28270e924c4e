"""The cycle model of the whole pipeline: when every frame is done, and what each stage waits for."""
from sim.cycles.model import CycleReport, StageCycles, simulate, simulate_stage
from sim.cycles.trace import Trace

__all__ = ["CycleReport", "StageCycles", "Trace", "simulate", "simulate_stage"]
