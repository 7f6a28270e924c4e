"""An output folder that is never half-written."""
import contextlib
import json
import os
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cores.errors import UserError

__all__ = ["OutputFolder", "own_version"]

MANIFEST = "build.json"


class OutputFolder:
    """Files are written beside the folder first, and moved into it when all are complete.

    Files that an earlier run listed in its manifest are replaced or removed, no others.

    Parameters
    ----------
    path : Path
        Made when the files are saved, if missing.
    manifest : str
        Name of a JSON file to add, an object with "skipstone" and a list of "files".

    Raises
    ------
    UserError
        If it cannot be written, or holds a manifest or a file that is not of such a run.
    """

    def __init__(self, path, manifest=MANIFEST):
        self.path, self.manifest = Path(path), manifest
        self.written = {}
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"Output {str(self.path)!r} is a file; name a folder with --out")
        self._old = self._earlier_files()
        with self._errors(), tempfile.TemporaryFile(dir=self._existing()):
            pass

    def add(self, name, content):
        """Keep ``content`` (str or bytes) for the file ``name``."""
        self.written[name] = content.encode() if isinstance(content, str) else content

    def text(self, name):
        """What is kept for the file ``name``, as a str."""
        return self.written[name].decode()

    def save(self):
        """Write everything."""
        with self._errors(), contextlib.ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix=".skipstone-", dir=self._existing()))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            for name, content in self.written.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            others = sorted(name for name in set(self.written) - self._old if (self.path / name).is_file())
            if others:
                raise UserError(f"Output {str(self.path / others[0])!r} is there and not of an earlier run; name another folder with --out")
            blocked = [name for name in self.written if (self.path / name).is_dir()]
            if blocked:
                raise UserError(f"Output {str(self.path / blocked[0])!r} is a folder where a file must be "
                                "written; name another with --out")
            for name in self.written:
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            # The manifest goes last: with it the folder is complete.
            (self.path / self.manifest).unlink(missing_ok=True)
            for name in sorted(self.written, key=lambda name: name == self.manifest):
                os.replace(folder / name, self.path / name)
            for name in self._old - set(self.written):
                (self.path / name).unlink(missing_ok=True)

    def _existing(self):
        """The folder, or the nearest one above it that exists."""
        return next(path for path in (self.path, *self.path.absolute().parents) if path.is_dir())

    def _earlier_files(self):
        """Files of an earlier run."""
        manifest = self.path / self.manifest
        if not manifest.exists():
            return set()
        try:
            content = json.loads(manifest.read_text())
            files = set(content["files"])
            if "skipstone" in content and all(
                    isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts
                    for name in files):
                return files
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise UserError(f"Output folder {str(self.path)!r} holds a {self.manifest} that is not of a "
                        f"{Path(self.manifest).stem}; name another with --out")

    @contextlib.contextmanager
    def _errors(self):
        try:
            yield
        except OSError as error:
            raise UserError(f"Output folder {str(self.path)!r} cannot be written "
                            f"({error.strerror}); name another with --out") from error


def own_version():
    """Version of the installed package."""
    try:
        return version("skipstone")
    except PackageNotFoundError:
        return "source tree"
