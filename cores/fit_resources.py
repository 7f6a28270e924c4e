"""Fit the resource model: synthesise random stages with Yosys, and solve for its coefficients."""
import json
import sys
from pathlib import Path

from cores import cli
from cores.emit import ROM_MODULE, FilePlatform, verilog
from cores.random_stages import KINDS, random_part, random_stage
from cores.stages import Engine, component
from cores.synth import FAMILIES, Cells, synthesise

EXAMPLE = "python -m cores.fit_resources --samples 60 --cache build/resources.jsonl"


def measure(kind, seed):
    """Synthesise one random stage; even seeds for 7-series, odd ones for UltraScale+."""
    family = list(FAMILIES)[seed % len(FAMILIES)]
    platform = FilePlatform()
    text = ROM_MODULE + verilog(made(kind, seed), name="stage", platform=platform)
    cells = synthesise(text, top="stage", family=family, files=platform.files)
    return {"kind": kind, "seed": seed, "family": family, "cells": cells.by_type}


def made(kind, seed):
    """The component of a sample."""
    if kind not in KINDS:
        return random_part(kind, seed)[0]
    network, folding = random_stage(kind, seed)
    family = list(FAMILIES)[seed % len(FAMILIES)]
    return component(network, network.nodes[0], folding, Engine(family=FAMILIES[family]))
