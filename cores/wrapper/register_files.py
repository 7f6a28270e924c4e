"""The register map as software wants it: a C header, a Python module, a table."""
import re
from dataclasses import asdict

from hdl.registers import ACCESSES

__all__ = ["c_header", "python_module", "markdown", "register_table"]

MADE = "Made by cores.build with the design it belongs to: do not edit."


def c_header(registers):
    """Text of skipstone.h.

    Parameters
    ----------
    registers : RegisterMap
    """
    lines = [f"/* Registers of skipstone_axi. {MADE} */", "#ifndef SKIPSTONE_H", "#define SKIPSTONE_H", ""]
    for register in registers.registers:
        lines.append(f"/* {register.doc} */")
        lines.append(f"#define SKIPSTONE_{register.name} 0x{register.address:02X}u")
        for field in register.fields:
            name = f"SKIPSTONE_{register.name}_{field.name.upper()}"
            lines.append(f"/*   {field.doc} ({ACCESSES[field.access]}) */")
            lines += [f"#define {name}_SHIFT {field.low}", f"#define {name}_MASK 0x{field.mask:08X}u"]
            if field.access == "constant":
                lines.append(f"#define {name}_VALUE 0x{field.value:X}u")
        lines.append("")
    if registers.counters:
        lines.append("/* Counters, as of the last snapshot: the low word, and the high one 4 bytes behind it */")
        for counter in registers.counters:
            name = re.sub(r"\W", "_", f"{counter.unit}_{counter.kind}").upper()
            lines.append(f"#define SKIPSTONE_COUNTER_{name} 0x{registers.address_of(counter):X}u")
        lines.append("")
    return "\n".join([*lines, "#endif", ""])


def python_module(registers, name):
    """Text of the driver's registers.py for the design ``name``."""
    def rows(entries):
        return "".join(f"    {key!r}: {value},\n" for key, value in entries)

    fields = ((r.name, {f.name: (f.low, f.bits) for f in r.fields}) for r in registers.registers)
    products = ((stage, (value.numerator, value.denominator)) for stage, value in registers.products.items())
    return f'''"""Registers of skipstone_axi. {MADE}"""

NAME = {name!r}
BUILD = {registers.build:#010x}
BEAT_BYTES = {registers.beat_bytes}

# Byte address of each register, and (lowest bit, bits) of each field.
REGISTERS = {{
{rows((r.name, f"{r.address:#04x}") for r in registers.registers)}}}
FIELDS = {{
{rows(fields)}}}

# What constant fields read as.
CONSTANTS = {{
{rows(((r.name, f.name), hex(f.value)) for r in registers.registers for f in r.fields if f.access == "constant")}}}

# Byte address of the low word of each counter, by unit and kind.
COUNTERS = {{
{rows(((c.unit, c.kind), hex(registers.address_of(c))) for c in _by_unit(registers.counters))}}}

# Products of a look-up over whole frames, as (numerator, denominator), by stage.
PRODUCTS = {{
{rows(products)}}}

# Frames on the streams; the samples of a picture's pixels 0 to 255 are spread from low to high.
INPUT = {asdict(registers.source)}
OUTPUTS = [
{"".join(f"    {asdict(target)},{chr(10)}" for target in registers.targets)}]
'''


def _by_unit(counters):
    """The hardware has look-ups first; people read unit by unit."""
    units = list(dict.fromkeys(counter.unit for counter in counters if counter.kind != "lookups"))
    return sorted(counters, key=lambda counter: units.index(counter.unit))


def register_table(registers):
    """The registers as a Markdown table: a row for each field."""
    lines = ["| address | register | bits | field | access | meaning |", "|---|---|---|---|---|---|"]
    for register in registers:
        for field in register.fields:
            last = field.low + field.bits - 1
            bits = str(field.low) if field.bits == 1 else f"{last}:{field.low}"
            value = f" (here {field.value:#x})" if field.access == "constant" else ""
            lines.append(f"| {register.address:#04x} | {register.name} | {bits} | {field.name} | "
                         f"{ACCESSES[field.access]} | {field.doc}{value} |")
    return "\n".join(lines) + "\n"


def markdown(registers, name):
    """Text of registers.md."""
    text = f"# Registers of {name}\n\n{MADE}\n\n{register_table(registers.registers)}"
    if not registers.counters:
        return text
    rows = "".join(f"| {registers.address_of(c):#x} | {c.unit} | {c.kind} | "
                   + (str(registers.products[c.unit]) if c.kind == "lookups" else "") + " |\n"
                   for c in _by_unit(registers.counters))
    return (f"{text}\n## Counters\n\n64 bits each, the low word first, as of the last snapshot.\n\n"
            f"| address | unit | counts | products of each |\n|---|---|---|---|\n{rows}")
