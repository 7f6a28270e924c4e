"""The description of the registers, and what is made of it for software."""
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from cores.folding.allocate import Design, fold
from cores.stages import Engine
from cores.wrapper.register_files import c_header, markdown, python_module, register_table
from cores.wrapper.register_map import register_map
from test_board import FOLDINGS, network

PAGE = Path(__file__).resolve().parents[1] / "docs" / "registers.md"


def described(**parameters):
    graph, _ = network()
    return register_map(graph, fold(graph, Design(3, FOLDINGS, 0.0), Engine()), **{
        "beat_bits": 64, "build": 0x12345678, **parameters})


def test_addresses():
    registers = described()
    assert [register.name for register in registers.registers[:8]] == [
        "ID", "VERSION", "BUILD", "LAYOUT", "CONTROL", "COMMAND", "STATUS", "FRAMES"]
    assert [register.address for register in registers.registers[:8]] == [4 * n for n in range(8)]
    assert registers.counters_address > registers.registers[-1].address
    assert registers.counters_address % (8 * len(registers.counters)) == 0 or registers.counters_address == 0x200
    assert registers.address_bits == 12
    assert registers.products == {"conv0": 3, "conv3": 3, "depthwise2": 1, "fc6": Fraction(6)}
    assert {counter.unit for counter in registers.counters} == {
        "design", "s_axis", "m_axis_0", "m_axis_1", *FOLDINGS}


def test_python_module():
    """It says what the description says."""
    registers, module = described(), {}
    exec(python_module(registers, "net"), module)
    assert module["BUILD"] == 0x12345678 and module["BEAT_BYTES"] == 8
    for register in registers.registers:
        assert module["REGISTERS"][register.name] == register.address
        for field in register.fields:
            assert module["FIELDS"][register.name][field.name] == (field.low, field.bits)
    assert module["COUNTERS"]["design", "cycles"] == registers.address_of(
        next(counter for counter in registers.counters if counter.kind == "cycles"))
    assert module["PRODUCTS"]["fc6"] == (6, 1)
    assert module["INPUT"]["channels"] == 3 and [output["port"] for output in module["OUTPUTS"]] == [
        "m_axis_0", "m_axis_1"]


def test_c_header(tmp_path):
    """A compiler takes it, twice, and agrees on a few numbers."""
    (tmp_path / "skipstone.h").write_text(c_header(described()))
    (tmp_path / "test.c").write_text("""
#include "skipstone.h"
#include "skipstone.h"
_Static_assert(SKIPSTONE_BUILD == 8 && SKIPSTONE_BUILD_HASH_VALUE == 0x12345678u, "");
_Static_assert(SKIPSTONE_STATUS_COUNTING_MASK == 1u << SKIPSTONE_STATUS_COUNTING_SHIFT, "");
_Static_assert(SKIPSTONE_COUNTER_M_AXIS_1_BLOCKED == SKIPSTONE_COUNTER_M_AXIS_1_STARVED + 8, "");
""")
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", "-fsyntax-only", "test.c"], cwd=tmp_path, check=True)


def test_no_counters():
    registers, module = described(counters=False), {}
    exec(python_module(registers, "net"), module)
    assert not registers.counters and module["COUNTERS"] == {} and "SKIPSTONE_COUNTER_" not in c_header(registers)
    assert "## Counters" not in markdown(registers, "net")


def test_page():
    """docs/registers.md has every row of the table, but for what is a design's own."""
    common = [register for register in described().registers if register.address < 0x40]
    table = re.sub(r" \(here 0x[0-9a-f]+\)", "", register_table(common))
    assert table in PAGE.read_text(encoding="utf-8"), f"put into docs/registers.md:\n{table}"
    assert register_table(common) in markdown(described(), "net")


@pytest.mark.parametrize("bits", [32, 128])
def test_widths(bits):
    assert described(beat_bits=bits).beat_bytes == bits // 8
