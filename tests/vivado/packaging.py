"""Stand-ins for the packager of IPs."""
from dataclasses import replace
from pathlib import Path

from .arguments import VivadoError, arguments
from .verilog import check_sources, packaged

__all__ = ["Packaging"]


class Packaging:
    """Commands of the packager: the interfaces are those that the Verilog's ports make."""

    def set_core(self, _, key, value):
        if key not in {"name", "version", "display_name", "description", "ipi_drc"}:
            raise VivadoError(f"no property {key}")
        self.core[key] = value

    def set_block(self, _, key, value):
        if key != "range":
            raise VivadoError(f"no property {key}")
        self.core["range"] = int(value)

    def set_bus(self, name, key, value):
        if key != "slave_memory_map_ref":
            raise VivadoError(f"no property {key}")
        self.core["map_ref"] = name, value

    def do_ipx_package_project(self, *args):
        options, _ = arguments(args, "import_files force", "root_dir vendor library taxonomy")
        project = self.opened()
        text = check_sources(project.files, project.types, project.top)
        self.core = {**options, "name": project.top}
        self.core["ip"], self.core["ports"] = packaged(text, project.top)
        self.clocks, self.resets = {}, {}
        if self.infers_map:
            self.core |= {"map": "s_axi", "map_ref": ("s_axi", "s_axi"), "block": "reg0"}

    def do_ipx_current_core(self, *args):
        arguments(args)
        return "core:current"

    def of_core(self, args, most=1):
        options, rest = arguments(args, "", "of_objects", 0, most)
        if options.get("of_objects") not in {"core:current", "map:s_axi"}:
            raise VivadoError("no core")
        return rest

    def do_ipx_get_bus_interfaces(self, *args):
        (name,) = self.of_core(args)
        pins, faces = self.core["ip"].build({})
        return f"bus:{name}" if name in faces or (name in pins and pins[name].kind != "plain") else ""

    def do_ipx_associate_bus_interfaces(self, *args):
        options, (core,) = arguments(args, "", "busif clock reset", 1, 1)
        pins, faces = self.core["ip"].build({})
        if core != "core:current" or pins[options["clock"]].kind != "clock":
            raise VivadoError("no such core or clock")
        if "busif" in options:
            if options["busif"] not in faces:
                raise VivadoError(f"no interface {options['busif']}")
            self.clocks[options["busif"]] = options["clock"]
        elif pins[options["reset"]].kind == "reset":
            self.resets[options["clock"]] = options["reset"]

    def do_ipx_get_memory_maps(self, *args):
        (name,) = self.of_core(args)
        return "" if self.core.get("map") is None else f"map:{name}"

    def do_ipx_add_memory_map(self, *args):
        _, (name, _) = arguments(args, "", "", 2, 2)
        self.core["map"] = name
        return f"map:{name}"

    def do_ipx_get_address_blocks(self, *args):
        self.of_core(args, 0)
        return f"block:{self.core['block']}" if "block" in self.core else ""

    def do_ipx_add_address_block(self, *args):
        _, (name, parent) = arguments(args, "", "", 2, 2)
        if parent != f"map:{self.core['map']}":
            raise VivadoError(f"no map {parent}")
        self.core["block"] = name
        return f"block:{name}"

    def finish(self, args):
        _, (core,) = arguments(args, "", "", 1, 1)
        if core != "core:current":
            raise VivadoError("no core")

    def do_ipx_create_xgui_files(self, *args):
        self.finish(args)

    def do_ipx_update_checksums(self, *args):
        self.finish(args)

    def do_ipx_check_integrity(self, *args):
        self.finish(args)
        _, faces = self.core["ip"].build({})
        if set(self.clocks) != set(faces) or self.resets != {"aclk": "aresetn"}:
            raise VivadoError("an interface without a clock, or a clock without a reset")
        if self.core.get("map_ref") != ("s_axi", self.core["map"]):
            raise VivadoError("s_axi has no memory map")
        if self.core["range"] < 1 << self.core["ports"]["s_axi_awaddr"][1]:
            raise VivadoError("the range of s_axi is smaller than its addresses")

    def do_ipx_save_core(self, *args):
        self.finish(args)
        pins, faces = self.core["ip"].build({})
        faces = {name: replace(face, clock=self.clocks[name], bytes=self.core["range"] if face.kind == "axi" else None)
                 for name, face in faces.items()}
        vlnv = ":".join(self.core[key] for key in ("vendor", "library", "name", "version"))
        root = Path(self.core["root_dir"])
        root.mkdir(parents=True, exist_ok=True)
        (root / "component.xml").write_text(vlnv)
        self.packaged[root] = vlnv, replace(self.core["ip"], build=lambda p: (pins, faces))
