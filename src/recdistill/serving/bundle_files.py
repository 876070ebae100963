"""What a bundle holds, and whether it is whole: read without torch.

bundle.json          what is in the others, with size and sha256 of each; written last
catalog.json         ids, titles and training interactions of the items
model.onnx           the distilled student (recdistill.serving.onnx_graph), its item vectors in item_vectors.npy
student.onnx         the plain student, where the run has it, with student_vectors.npy
model.int8.onnx      the distilled student in 8 bits, where it was asked for
title_map.*          what `add-items` needs to take in new items, where the student knows titles
title_tuning.*       the same, where the title encoder was trained on the histories (teacher.title_tuning)
README.md            the model card
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from recdistill.errors import UserError
from recdistill.storage.checksums import CHECKSUM, DamagedError, sealed
from recdistill.storage.files import read_errors, read_json, sha256_of
from recdistill.storage.names import is_own_name

BUNDLE_FILE = "bundle.json"
CATALOG_FILE = "catalog.json"
CARD_FILE = "README.md"
FORM = 1
"""Of the folder; a bundle of another form is refused."""


@dataclass(frozen=True)
class HeldFile:
    """A file's size in bytes and its sha256."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class BundledModel:
    """A model in a bundle.

    Attributes:
        file: its graph.
        vectors: its item vectors, float32 (N + 1, D).
        max_length: latest items of a history that it looks at.
        embedding_dim: D, their width.
        fingerprint: of the run's step that trained it; empty where there is none.
        int8_file: its graph in 8 bits; empty without.
    """

    file: str
    vectors: str
    max_length: int
    embedding_dim: int
    fingerprint: str
    int8_file: str = ""


@dataclass(frozen=True)
class Int8Quality:
    """What 8 bits cost, over the users' validation targets.

    Attributes:
        targets: how many.
        ndcg_10: NDCG@10 of the model as it is.
        int8_ndcg_10: in 8 bits.
        same_lists: share of the lists of ten that hold the same items in the same order.
    """

    targets: int
    ndcg_10: float
    int8_ndcg_10: float
    same_lists: float


@dataclass(frozen=True)
class Bundle:
    """What `bundle.json` says.

    Attributes:
        name: what its maker called it.
        fingerprint: sha256 over the other files' sha256, so that two bundles of one name are told apart.
        form: of the folder, see :data:`FORM`.
        version: of recdistill, which wrote it.
        made: when, in ISO 8601.
        ids: `whole numbers` or `text`: what the items' external ids are. All are text in JSON.
        num_items: items N.
        exclude_seen: whether answers leave the items of the history out, as the run's ranking did.
        inputs: fingerprints of data and split.
        models: name → model.
        files: name → size and sha256, of every file but `bundle.json`.
        int8: what 8 bits cost; None without.
        notes: what is not as it was at training, a sentence each.
        checksum: of all of the above; empty in bundles from before there were any.
    """

    name: str
    fingerprint: str
    form: int
    version: str
    made: str
    ids: str
    num_items: int
    exclude_seen: bool
    inputs: dict[str, str]
    models: dict[str, BundledModel]
    files: dict[str, HeldFile]
    int8: Int8Quality | None = None
    notes: tuple[str, ...] = ()
    checksum: str = ""


@dataclass(frozen=True)
class BundledCatalog:
    """`catalog.json`: external ids, titles and training interactions, N + 1 each; index 0 is the padding's."""

    item_ids: list[str]
    titles: list[str]
    counts: list[int]


def read_bundle(folder: Path, whole: bool = True) -> Bundle:
    """What a folder's `bundle.json` says.

    Args:
        folder: the bundle.
        whole: also compare every file with its size and sha256, which reads them all.

    Raises:
        UserError: it is no bundle, of another form, or a file is missing or changed.
    """
    path = folder / BUNDLE_FILE
    said = read_json(path)
    form = said.get("form") if isinstance(said, dict) else None
    if form != FORM:
        raise UserError(f"{path}: a bundle of form {form}; this version reads form {FORM}; make it anew from its run")
    if CHECKSUM in said and sealed(said) != said:
        raise DamagedError(path, "its checksum is another")
    try:
        bundle = _bundle(said)
    except (TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{path}: not as `recdistill bundle` writes it ({error})") from error
    if whole:
        check_files(folder, bundle)
    return bundle


def _bundle(said: dict[str, Any]) -> Bundle:
    known = {field.name for field in fields(Bundle)}
    if strange := sorted(set(said) - known):
        raise KeyError(f"{strange[0]} is not known")
    made = Bundle(
        **said
        | {
            "models": {name: BundledModel(**one) for name, one in said["models"].items()},
            "files": {name: HeldFile(**one) for name, one in said["files"].items()},
            "int8": Int8Quality(**said["int8"]) if said.get("int8") else None,
            "notes": tuple(said.get("notes", ())),
        }
    )
    for name, one in made.models.items():
        if type(one.max_length) is not int or one.max_length < 1:
            raise TypeError(f"max_length of {name}: {one.max_length!r}")
    files = [name for one in made.models.values() for name in (one.file, one.vectors, one.int8_file)]
    texts = (made.name, made.fingerprint, made.version, *files)
    if not all(isinstance(text, str) for text in texts) or type(made.exclude_seen) is not bool:
        raise TypeError("a name is no text, or exclude_seen neither true nor false")
    return made


def check_files(folder: Path, bundle: Bundle) -> None:
    """Compare a bundle's files with what `bundle.json` says of them.

    Raises:
        UserError: a name leads out of the folder, or a file is missing or changed; it is named.
    """
    named = [one for model in bundle.models.values() for one in (model.file, model.vectors, model.int8_file) if one]
    for name in (*named, CATALOG_FILE, *bundle.files):
        if name not in bundle.files or not is_own_name(name):
            raise UserError(f"{folder / BUNDLE_FILE}: {name!r} is not one of the bundle's own files")
    for name, held in bundle.files.items():
        path = folder / name
        if path.is_symlink():
            raise UserError(f"{path}: a link, where the bundle's own file was expected")
        with read_errors(path):
            if path.stat().st_size != held.bytes or sha256_of(path) != held.sha256:
                raise UserError(f"{path}: is not the file that was bundled; copy or make the bundle again")
    if bundle.fingerprint != fingerprint_of(bundle.files):
        raise UserError(f"{folder / BUNDLE_FILE}: its fingerprint is not that of its files; copy or make it again")


def read_catalog(folder: Path) -> BundledCatalog:
    """A bundle's items.

    Raises:
        UserError: the file is not as `recdistill bundle` writes it.
    """
    path = folder / CATALOG_FILE
    said = read_json(path)
    try:
        catalog = BundledCatalog(**said)
    except TypeError as error:
        raise UserError(f"{path}: not as `recdistill bundle` writes it") from error
    lists = (catalog.item_ids, str), (catalog.titles, str), (catalog.counts, int)
    if not all(isinstance(values, list) and all(type(one) is kind for one in values) for values, kind in lists):
        raise UserError(f"{path}: not as `recdistill bundle` writes it (ids and titles are text, counts whole numbers)")
    if not len(catalog.item_ids) == len(catalog.titles) == len(catalog.counts):
        raise UserError(f"{path}: ids, titles and counts are not of the same number")
    return catalog


def bundle_json(bundle: Bundle) -> str:
    """The text of `bundle.json`, with its checksum."""
    return json.dumps(sealed(asdict(bundle)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def held_files(folder: Path, names: Iterable[str]) -> dict[str, HeldFile]:
    """Size and sha256 of files in a folder, by name."""
    paths = {name: folder / name for name in sorted(names)}
    return {name: HeldFile(path.stat().st_size, sha256_of(path)) for name, path in paths.items()}


def fingerprint_of(files: Mapping[str, HeldFile]) -> str:
    """One fingerprint, of 16 hexadecimal digits, for all files."""
    digest = hashlib.sha256()
    for name, held in sorted(files.items()):
        digest.update(f"{name}\0{held.sha256}\n".encode())
    return digest.hexdigest()[:16]
