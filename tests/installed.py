"""What installations are tried with: the project as it is committed, and somebody who may only read them."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Root may write everywhere, unless it gives that right up.
ROOTS = "-dac_override,-dac_read_search"
IS_ROOT = hasattr(os, "getuid") and os.getuid() == 0
READER = ["setpriv", f"--bounding-set={ROOTS}", f"--inh-caps={ROOTS}"] if IS_ROOT else []


def copied(place):
    """Copy what is committed into a folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0")[:-1]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)


def environment(home):
    """The environment variables of somebody whose home is `home`."""
    own = {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": str(ROOT / "tests" / "without")}
    return {name: os.environ[name] for name in os.environ.keys() - {"I2PEMD_CACHE", "I2PEMD_HOME"}} | own


def written(place):
    """When each file under a folder was written."""
    return {path: path.stat().st_mtime_ns for path in place.rglob("*")}
