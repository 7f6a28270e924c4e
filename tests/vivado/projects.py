"""Stand-ins for the commands of projects, files and properties."""
from pathlib import Path

from .arguments import VivadoError, arguments

__all__ = ["Projects"]


class Project:
    def __init__(self, part, folder, name):
        self.part, self.folder, self.name = part, folder, name
        self.files, self.types, self.top, self.severities, self.properties = [], {}, None, {}, {}
        self.implemented = False


class Projects:
    """Commands of a project and its files."""

    def do_create_project(self, *args):
        options, rest = arguments(args, "force in_memory", "part", 0, 2)
        if self.project:
            raise VivadoError("a project is open")
        self.project = Project(options["part"], Path(rest[1]) if rest else None, rest[0] if rest else None)

    def do_close_project(self, *args):
        arguments(args)
        self.opened().closed = True
        self.project = None

    def do_current_project(self, *args):
        arguments(args)
        self.opened()
        return "project:current"

    def opened(self):
        if self.project is None:
            raise VivadoError("no open project")
        return self.project

    def do_current_fileset(self, *args):
        arguments(args)
        return "fileset:sources_1"

    def do_add_files(self, *args):
        _, (files,) = arguments(args, "norecurse", "fileset", 1, 1)
        for file in self.split(files):
            if not Path(file).is_file():
                raise VivadoError(f"no file {file}")
            self.opened().files.append(Path(file).resolve())

    def do_get_files(self, *args):
        _, (patterns,) = arguments(args, "quiet", "", 1, 1)
        found = [f"file:{file}" for pattern in self.split(patterns) for file in self.opened().files
                 if pattern in (str(file), file.name)]
        if len(found) != len(self.split(patterns)):
            raise VivadoError(f"not all of {patterns} are in the project")
        return tuple(found)

    def do_update_compile_order(self, *args):
        arguments(args, "", "fileset")

    def do_set_msg_config(self, *args):
        options, _ = arguments(args, "", "id new_severity")
        if options["new_severity"] not in {"ERROR", "CRITICAL WARNING", "WARNING", "INFO", "STATUS"}:
            raise VivadoError("severity")
        self.opened().severities[options["id"]] = options["new_severity"]

    def do_set_property(self, *args):
        if args[0] == "-dict":
            _, (values, objects) = arguments(args[1:], "", "", 2, 2)
            values = self.pairs(values)
        else:
            _, (name, value, objects) = arguments(args, "", "", 3, 3)
            values = [(name, value)]
        if not self.split(objects):
            raise VivadoError("no objects")
        for handle in self.split(objects):
            kind, _, name = handle.partition(":")
            for key, value in values:
                getattr(self, f"set_{kind}")(name, key, value)

    def set_project(self, _, key, value):
        project = self.opened()
        if key == "board_part":
            if value not in self.boards:
                raise VivadoError(f"no board {value}")
        elif key != "ip_repo_paths":
            raise VivadoError(f"no property {key}")
        project.properties[key] = value

    def set_fileset(self, _, key, value):
        if key != "top":
            raise VivadoError(f"no property {key}")
        self.opened().top = value

    def set_file(self, name, key, value):
        if (key, value) != ("file_type", "Memory File"):
            raise VivadoError(f"no property {key} {value}")
        self.opened().types[Path(name)] = value
