"""The ready configurations that come with the package: the repository's `configs/`, also in a wheel."""

import shutil
from pathlib import Path

from recdistill.errors import UserError
from recdistill.storage.files import disk_errors

CONFIGS = Path(__file__).parents[1] / "configs"


def copy_configs(out: Path) -> list[Path]:
    """Copy the ready configurations, studies, matrices and spaces to a new folder.

    Returns:
        The files written, in order of their names.

    Raises:
        UserError: `out` exists, or cannot be written.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; name another folder with --out")
    with disk_errors(out):
        shutil.copytree(CONFIGS, out)
    return sorted(path for path in out.rglob("*.yaml"))
