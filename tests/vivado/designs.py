"""Stand-ins for the commands of block designs."""
import json
from fnmatch import fnmatchcase
from pathlib import Path

from .arguments import VivadoError, arguments

__all__ = ["Designs"]


class Cell:
    def __init__(self, vlnv, ip):
        self.vlnv, self.ip, self.values, self.connected = vlnv, ip, {}, False

    def built(self):
        """Pins and interfaces by name, as the parameters are."""
        defaults = {name: allowed[0] for name, allowed in self.ip.parameters.items() if allowed}
        return self.ip.build(defaults | self.values)


class Designs:
    """Commands of a block design, and its rules."""

    def set_cell(self, name, key, value):
        cell, key = self.cells[name], key.removeprefix("CONFIG.")
        if key not in cell.ip.parameters:
            raise VivadoError(f"{cell.vlnv} has no parameter {key}")
        allowed = cell.ip.parameters[key]
        if value not in allowed if allowed else float(value) <= 0:
            raise VivadoError(f"{key} of {cell.vlnv} cannot be {value}")
        if cell.connected:
            before = cell.built()
        cell.values[key] = value
        if cell.connected and not set(before[1]) <= set(cell.built()[1]):
            raise VivadoError(f"{key} takes a connected interface away")

    def do_get_board_parts(self, *args):
        _, (pattern,) = arguments(args, "quiet", "", 1, 1)
        return tuple(name for name in self.boards if fnmatchcase(name, pattern))

    def do_update_ip_catalog(self, *args):
        arguments(args)
        root = Path(self.opened().properties["ip_repo_paths"])
        if root not in self.packaged:
            raise VivadoError(f"no IP in {root}")
        vlnv, ip = self.packaged[root]
        self.catalogue[vlnv] = ip

    def do_create_bd_design(self, *args):
        _, (name,) = arguments(args, "", "", 1, 1)
        if "board_part" not in self.opened().properties:
            raise VivadoError("no board")
        self.cells, self.nets, self.joined, self.external = {}, {}, {}, set()
        self.bd, self.assigned, self.validated = name, False, False

    def do_create_bd_cell(self, *args):
        options, (name,) = arguments(args, "", "type vlnv", 1, 1)
        found = [vlnv for vlnv in self.catalogue if f"{vlnv}:".startswith(f"{options['vlnv']}:")]
        if options["type"] != "ip" or len(found) != 1 or name in self.cells:
            raise VivadoError(f"no IP {options['vlnv']}, or a cell {name} before")
        self.cells[name] = Cell(found[0], self.catalogue[found[0]])
        return f"cell:{name}"

    def do_apply_bd_automation(self, *args):
        options, (handle,) = arguments(args, "", "rule config", 1, 1)
        cell, config = self.cells[handle.removeprefix("cell:")], dict(self.pairs(options["config"]))
        if options["rule"] != f"xilinx.com:bd_rule:{cell.vlnv.split(':')[2]}" or config.pop("apply_board_preset") != "1":
            raise VivadoError(f"no rule {options['rule']} for {cell.vlnv}")
        if cell.values:
            raise VivadoError("a preset after other parameters would change them")
        made = config.pop("make_external", "")
        self.external |= {(handle.removeprefix("cell:"), name) for name in made.split(", ") if name}
        if config not in ({}, {"Master": "Disable", "Slave": "Disable"}):
            raise VivadoError(f"no options {config}")

    def find(self, args, number):
        _, (path,) = arguments(args, "", "", 1, 1)
        name, _, end = path.partition("/")
        if name not in self.cells or end not in self.cells[name].built()[number]:
            raise VivadoError(f"no {('pin', 'interface')[number]} {path}")
        return path

    def do_get_bd_pins(self, *args):
        return self.find(args, 0)

    def do_get_bd_intf_pins(self, *args):
        return self.find(args, 1)

    def end(self, path, number):
        name, _, end = path.partition("/")
        self.cells[name].connected = True
        return self.cells[name].built()[number][end]

    def do_connect_bd_net(self, *args):
        _, (source, target) = arguments(args, "", "", 2, 2)
        if self.end(source, 0).flow != "out" or self.end(target, 0).flow != "in" or target in self.nets:
            raise VivadoError(f"{source} cannot drive {target}")
        self.nets[target] = source

    def do_connect_bd_intf_net(self, *args):
        _, (source, target) = arguments(args, "", "", 2, 2)
        ends = self.end(source, 1), self.end(target, 1)
        taken = {*self.joined, *self.joined.values()} & {source, target}
        if [end.mode for end in ends] != ["master", "slave"] or ends[0].kind != ends[1].kind or taken:
            raise VivadoError(f"{source} cannot be connected with {target}")
        self.joined[source] = target

    def do_assign_bd_address(self, *args):
        arguments(args)
        self.assigned = True
        self.joined_when_assigned = dict(self.joined)

    def do_validate_bd_design(self, *args):
        arguments(args)
        for name, cell in self.cells.items():
            pins, faces = cell.built()
            for pin, what in pins.items():
                source = self.nets.get(f"{name}/{pin}")
                if what.flow == "in" and what.required and source is None:
                    raise VivadoError(f"{name}/{pin} is not connected")
                if source and self.end(source, 0).kind != what.kind:
                    raise VivadoError(f"{name}/{pin} is not for {source}")
            for face, what in faces.items():
                if what.kind == "external" and (name, face) not in self.external:
                    raise VivadoError(f"{name}/{face} does not leave the device")
                if what.kind != "external" and f"{name}/{face}" not in {*self.joined, *self.joined.values()}:
                    raise VivadoError(f"{name}/{face} is not connected")
        for source, target in self.joined.items():
            self.check_joint(source, target)
        if not self.assigned or self.joined_when_assigned != self.joined:
            raise VivadoError("slaves without an address")
        self.validated = True

    def check_joint(self, source, target):
        ends = self.end(source, 1), self.end(target, 1)
        clocks = {self.nets[f"{path.partition('/')[0]}/{end.clock}"] for path, end in zip((source, target), ends)}
        if len(clocks) != 1:
            raise VivadoError(f"{source} and {target} have clocks of their own")
        bits = {end.bits for end in ends if end.bits}
        if ends[0].kind == "stream" and len(bits) != 1:
            raise VivadoError(f"TDATA of {source} and {target}: {bits}")

    def do_save_bd_design(self, *args):
        arguments(args)
        if not self.validated:
            raise VivadoError("not validated")
        self.opened().files.append((self.project.folder / f"{self.bd}.bd").resolve())

    def do_make_wrapper(self, *args):
        options, _ = arguments(args, "top", "files")
        if self.split(options["files"]) != [f"file:{self.project.folder.resolve()}/{self.bd}.bd"]:
            raise VivadoError(f"no design {options['files']}")
        wrapper = self.project.folder / f"{self.bd}_wrapper.v"
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        wrapper.write_text(f"module {self.bd}_wrapper();\nendmodule\n")
        return wrapper

    def do_generate_target(self, *args):
        _, (what, design) = arguments(args, "", "", 2, 2)
        if what != "all" or not self.split(design)[0].endswith(f"/{self.bd}.bd"):
            raise VivadoError(f"no target {what} of {design}")
        place = self.project.folder / f"{self.project.name}.gen/sources_1/bd/{self.bd}/hw_handoff"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{self.bd}.hwh").write_text(json.dumps({
            name: [cell.vlnv, cell.values] for name, cell in self.cells.items()}))
