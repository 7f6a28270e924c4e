"""What sim.bench measured, as rows of a table."""
from dataclasses import dataclass
from math import inf

from rich.table import Table

from cores.fit import number

__all__ = ["Measured", "markdown", "shown"]

COLUMNS = ("network", "engine", "DSPs", "multipliers", "cycles per frame", "MAC per DSP and cycle",
           "share of the non-zero limit", "LUTs", "LUT per multiplier", "MAC per 1,000 LUTs and cycle", "BRAM36", "GOP/s per DSP", "frames/s")
NOTE = ("*s* simulated: counted in the emitted Verilog by Verilator, every output compared. *m* modelled by what "
        "chooses the folding. *y* synthesised by Yosys; *p* predicted from fits to Yosys.")


@dataclass
class Measured:
    """A network with one engine; cycles and LUTs as modelled and predicted, or None where not measured.

    A multiply-accumulate is two operations; MACs count padding taps, as the literature does.
    """
    network: str
    engine: str
    budget: int
    dsp: int
    multipliers: int
    macs: int
    nonzero: float
    clock_mhz: float
    modelled: float
    predicted_lut: int
    bram36: float
    simulated: float | None = None
    lut: int | None = None

    @property
    def key(self):
        return self.network, self.engine, self.budget

    @property
    def cycles(self):
        return self.modelled if self.simulated is None else self.simulated

    @property
    def luts(self):
        return self.predicted_lut if self.lut is None else self.lut

    @property
    def mac_per_dsp_cycle(self):
        return self.macs / self.dsp / self.cycles if self.dsp else inf

    @property
    def lut_per_multiplier(self):
        return self.luts / self.multipliers

    def cells(self):
        """The row, each figure marked with where it comes from."""
        cycles, luts = "m" if self.simulated is None else "s", "p" if self.lut is None else "y"
        return (
            self.network, self.engine, str(self.dsp), number(self.multipliers), f"{self.cycles:,.0f} {cycles}",
            f"{self.mac_per_dsp_cycle:.2f} {cycles}",
            f"{self.nonzero / self.multipliers / self.cycles:.2f} {cycles}", f"{self.luts:,} {luts}",
            f"{self.lut_per_multiplier:.0f} {luts}", f"{1000 * self.macs / self.luts / self.cycles:.1f} {cycles}{luts}",
            f"{self.bram36:g} {luts}",
            f"{2 * self.mac_per_dsp_cycle * self.clock_mhz / 1000:.2f} {cycles}",
            f"{self.clock_mhz * 1e6 / self.cycles:,.0f} {cycles}")


def markdown(rows):
    """A table in Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row.cells() for row in rows)]
    clocks = ", ".join(sorted({f"{row.clock_mhz:g}" for row in rows}))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines) + f"\nAt {clocks} MHz. {NOTE}\n"


def shown(rows):
    """The same for the terminal."""
    result = Table(caption=NOTE.replace("*", ""))
    for n, column in enumerate(COLUMNS):
        result.add_column(column, justify="left" if n < 2 else "right")
    for before, row in zip([None, *rows], rows):
        if before is not None and before.network != row.network:
            result.add_section()
        result.add_row(*row.cells())
    return result
