"""Dividers of the ECP5's PLL."""
from cores.errors import UserError

__all__ = ["pll_dividers"]

VCO_MHZ = 400, 800          # FPGA-DS-02012
PHASE_MHZ = 3.125, 400      # of the phase detector
TOLERANCE = 1e-3


def pll_dividers(source, wanted):
    """(CLKI_DIV, CLKFB_DIV, CLKOP_DIV) that make ``wanted`` MHz of ``source`` MHz, fed back from CLKOP.

    Raises
    ------
    UserError
        If none come within 0.1 %.
    """
    choices = []
    for refer in range(1, 129):
        if not PHASE_MHZ[0] <= source / refer <= PHASE_MHZ[1]:
            continue
        feedback = round(wanted * refer / source)
        made = source * feedback / refer if 1 <= feedback <= 80 else 0
        for out in range(1, 129):
            if VCO_MHZ[0] <= made * out <= VCO_MHZ[1] and abs(made / wanted - 1) <= TOLERANCE:
                # The fastest phase detector, then the middle of the oscillator's range.
                choices.append((refer, abs(made * out - sum(VCO_MHZ) / 2), (refer, feedback, out)))
    if not choices:
        raise UserError(f"No PLL setting makes {wanted:g} MHz of the board's {source:g} MHz; give another --clock")
    return min(choices)[-1]
