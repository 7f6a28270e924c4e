"""An output folder that is never half-written."""
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from cores.errors import UserError

__all__ = ["OutputFolder"]

MANIFEST = "build.json"


class OutputFolder:
    """Files are written beside the folder first, and moved into it when all are complete.

    Files that an earlier build listed in its manifest are removed, no others.

    Parameters
    ----------
    path : Path
        Made if missing.

    Raises
    ------
    UserError
        If it cannot be written.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.written = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not self.path.is_dir():
                raise UserError(f"Output {str(self.path)!r} is a file; name a folder with --out")
            probe = self.path if self.path.exists() else self.path.parent
            with tempfile.TemporaryFile(dir=probe):
                pass
        except OSError as error:
            raise UserError(f"Output folder {str(self.path)!r} cannot be written "
                            f"({error.strerror}); name another with --out") from error

    def add(self, name, content):
        """Keep ``content`` (str or bytes) for the file ``name``."""
        self.written[name] = content.encode() if isinstance(content, str) else content

    def save(self):
        """Write everything."""
        try:
            with contextlib.ExitStack() as stack:
                folder = Path(tempfile.mkdtemp(prefix=".skipstone-", dir=self.path.parent))
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                for name, content in self.written.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(content)
                self._remove_old()
                for name in sorted(self.written, key=lambda name: name == MANIFEST):
                    (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(folder / name, self.path / name)
        except OSError as error:
            raise UserError(f"Output folder {str(self.path)!r} cannot be written "
                            f"({error.strerror}); name another with --out") from error

    def _remove_old(self):
        manifest = self.path / MANIFEST
        try:
            files = json.loads(manifest.read_text())["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        manifest.unlink()
        for name in files:
            path = (self.path / name).resolve()
            if path.is_relative_to(self.path.resolve()):
                path.unlink(missing_ok=True)
