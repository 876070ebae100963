"""The files that every step of a run leaves: `manifest.json`, `timings.json`, `memory.json`.

A key that may be missing was not written by every version whose runs are read.
"""

from typing import NotRequired, TypedDict

from recdistill.storage.checksums import Files
from recdistill.storage.typed import JsonValue

Inputs = dict[str, str | int | bool | dict[str, str]]
"""What a step reads, by name: fingerprints, settings of other sections, and each model's digests by file."""


class Code(TypedDict):
    """The version of the package that made a step, and the count of the step's results."""

    version: NotRequired[str]
    results: NotRequired[int]


class Cpu(TypedDict):
    """A processor, with the threads in use."""

    model: str
    cores: int | None
    threads: int


class Gpu(TypedDict):
    """The first CUDA device."""

    name: str
    count: NotRequired[int]
    memory_gib: float
    driver: str | None
    cuda: str | None


class Git(TypedDict):
    """The commit of the package's files, and whether they differ from it."""

    commit: str
    dirty: bool


class Environment(TypedDict, total=False):
    """The machine and the software that a step ran on."""

    device: str
    time: str
    system: str
    cpu: Cpu
    memory_gib: float
    gpu: Gpu | None
    python: str
    packages: dict[str, str | None]
    git: Git | None


class Manifest(TypedDict):
    """What ran, with which settings, on what, when. `seconds` are those of all tries.

    `chosen` are settings of the step that were `auto`, and what was taken for it. `files` are the others of the folder,
    with size and checksum; `checksum` is the manifest's own.
    """

    step: NotRequired[str]
    status: NotRequired[str]
    fingerprint: str
    inputs: Inputs
    config: dict[str, JsonValue]
    chosen: NotRequired[dict[str, JsonValue]]
    code: NotRequired[Code]
    environment: NotRequired[Environment]
    started: NotRequired[str]
    attempts: NotRequired[int]
    finished: NotRequired[str]
    seconds: NotRequired[float]
    files: NotRequired[Files]
    checksum: NotRequired[str]


class Timings(TypedDict):
    """Seconds by phase; core-seconds are what all threads of the process computed."""

    phases: dict[str, float]
    core_seconds: NotRequired[dict[str, float]]


class PhaseMemory(TypedDict):
    """Peaks of one phase in GiB: of the process, and of a CUDA device, where there is one."""

    peak_rss_gib: float
    peak_allocated_gib: NotRequired[float | None]
    peak_reserved_gib: NotRequired[float | None]
    peak_device_gib: NotRequired[float | None]


class Memory(TypedDict):
    """Peaks by phase."""

    phases: dict[str, PhaseMemory]
