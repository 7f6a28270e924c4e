"""Stand-ins for synthesis, placement and routing, in a project and without."""
import re
from pathlib import Path

from .arguments import VivadoError, arguments
from .verilog import check_sources, ports_of

__all__ = ["Implementation"]


class Implementation:
    """Commands of runs, and of the flow without a project."""

    def do_get_property(self, *args):
        _, (key, handle) = arguments(args, "", "", 2, 2)
        if handle != "run:impl_1":
            raise VivadoError(f"no object {handle}")
        return {"PROGRESS": "100%" if self.project.implemented else "0%", "STATUS": "route_design ERROR",
                "STATS.WNS": self.slack, "STATS.WHS": 0.01}[key]

    def do_launch_runs(self, *args):
        options, (run,) = arguments(args, "", "to_step jobs", 1, 1)
        if run != "impl_1" or options["to_step"] != "write_bitstream" or int(options["jobs"]) < 1:
            raise VivadoError("no such run")
        if self.project.top != f"{self.bd}_wrapper" or self.project.severities.get("Synth 8-4445") != "ERROR":
            raise VivadoError("another top, or memories may be empty")
        place = self.project.folder / f"{self.project.name}.runs/impl_1"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{self.bd}_wrapper.bit").write_text("bitstream")

    def do_wait_on_run(self, *args):
        _, (run,) = arguments(args, "", "", 1, 1)
        self.project.implemented = run == "impl_1"

    def do_get_runs(self, *args):
        _, (run,) = arguments(args, "", "", 1, 1)
        return f"run:{run}"

    def do_open_run(self, *args):
        _, (run,) = arguments(args, "", "", 1, 1)
        if not self.project.implemented or run != "impl_1":
            raise VivadoError("not implemented")

    def do_report_timing_summary(self, *args):
        options, _ = arguments(args, "", "file")
        Path(options["file"]).touch()

    def do_report_utilization(self, *args):
        options, _ = arguments(args, "hierarchical", "file")
        Path(options["file"]).touch()

    def do_write_hw_platform(self, *args):
        options, _ = arguments(args, "fixed include_bit force", "file")
        if {"fixed", "include_bit", "force"} - set(options):
            raise VivadoError("a platform without its bitstream")
        Path(options["file"]).touch()

    def do_read_xdc(self, *args):
        _, (file,) = arguments(args, "", "", 1, 1)
        self.constraints = Path(file).read_text()

    def do_synth_design(self, *args):
        options, _ = arguments(args, "", "top part mode")
        project = self.opened()
        text = check_sources(project.files, project.types, options["top"])
        if options["part"] != project.part or options["mode"] != "out_of_context":
            raise VivadoError("another part, or pads")
        ports = ports_of(text, options["top"])
        for period, port in re.findall(r"create_clock -name \w+ -period (\S+) \[get_ports (\w+)\]", self.constraints):
            if ports.get(port) != ("input", 1):
                raise VivadoError(f"no clock {port}")
            self.period = float(period)
        self.done = ["synth_design"]

    def step(self, args, name, after):
        arguments(args)
        if self.done[-1] != after:
            raise VivadoError(f"{name} after {self.done[-1]}")
        self.done.append(name)

    def do_opt_design(self, *args):
        self.step(args, "opt_design", "synth_design")

    def do_place_design(self, *args):
        self.step(args, "place_design", "opt_design")

    def do_phys_opt_design(self, *args):
        self.step(args, "phys_opt_design", "place_design")

    def do_route_design(self, *args):
        self.step(args, "route_design", "phys_opt_design")

    def do_write_checkpoint(self, *args):
        _, (file,) = arguments(args, "force", "", 1, 1)
        self.step((), "write_checkpoint", "route_design")
        Path(file).touch()
