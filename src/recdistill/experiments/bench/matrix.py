"""The experiment as a YAML file: a base, cells that differ from it, sections that ask questions of cells.

    name: smoke                       the folder's name
    title: {en: …, ja: …}             or one text
    rows: 1000                        training targets of the one pass
    validation_users, test_rows, export_rows: 200, 300, 1000
    repeats: 3                        turns
    threads: 2
    cell_seconds: 600                 the longest a cell may run
    base: {teacher: {layers: 4}}      settings of all cells, as in any configuration file
    cells:                            name → what it sets, by dotted keys; `base` sets nothing
      base: {}
      base-again: {}
      bf16: {teacher.precision: bf16}
    sections:
      - name: precision
        title, question: as above
        cells: [base, bf16]
        against: base                 the default
        factorial: [teacher.quantization, teacher.gradient_checkpointing]   optional: the four cells as a 2×2

A cell may set `rows`, `validation_users`, `test_rows` and `export_rows` for itself; 0 leaves the phase out. Two cells
that ask for the same are an A/A pair: what differs between them is noise. There must be one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from recdistill.config import RunConfig
from recdistill.config.settings import flat
from recdistill.storage.run_folder import fingerprint

BASE = "base"


@dataclass(frozen=True)
class Sizes:
    """How much of everything a cell does. Samples are drawn by the seed, so they are the same for all cells."""

    rows: int = 1000
    """Training targets of the one pass. 0: no training and no validation."""
    validation_users: int = 200
    """Users whose validation targets are ranked, before and after the pass."""
    test_rows: int = 300
    """Test histories read for their time alone; nothing is computed from what the teacher says of them."""
    export_rows: int = 1000
    """Targets whose outputs are exported and written."""


@dataclass(frozen=True)
class BenchCell:
    """One cell: what it sets, and all that comes of it."""

    name: str
    settings: dict[str, object]
    sizes: Sizes
    config: RunConfig
    """The base's where the package refuses the cell's own."""
    refusal: str = ""
    """Why the package refuses these settings; only where the cell says `refusable: true`."""

    def fingerprint(self, threads: int) -> str:
        """Names what is measured: the same configuration, sizes and threads give the same name."""
        return fingerprint("bench", replace(self.config, run="bench"), self.sizes, threads, self.refusal)


@dataclass(frozen=True)
class Section:
    """A question and the cells that answer it."""

    name: str
    titles: dict[str, str]
    questions: dict[str, str]
    cells: tuple[str, ...]
    against: str
    factorial: tuple[str, str] | None


@dataclass(frozen=True)
class Matrix:
    """The whole experiment."""

    name: str
    titles: dict[str, str]
    repeats: int
    threads: int
    cell_seconds: float
    cells: dict[str, BenchCell]
    sections: tuple[Section, ...]
    text: str
    """The file as it was written."""

    def pairs(self) -> list[tuple[str, str]]:
        """The A/A pairs: names of cells that ask for the same."""
        first: dict[str, str] = {}
        found = []
        for name, cell in self.cells.items():
            if cell.refusal:
                continue
            earlier = first.setdefault(cell.fingerprint(self.threads), name)
            if earlier != name:
                found.append((earlier, name))
        return found


def four(section: Section, cells: Mapping[str, BenchCell]) -> tuple[str, str, str, str] | None:
    """The section's cells in the order neither, first factor, second factor, both; None where they are no 2×2.

    The cell that the section compares against is `neither`; a factor's other value is the one that a cell has.
    """
    if section.factorial is None:
        return None
    places = {name: flat(asdict(cells[name].config)) for name in dict.fromkeys((section.against, *section.cells))}
    values = {name: tuple(place.get(factor) for factor in section.factorial) for name, place in places.items()}
    low = values[section.against]
    quarters: dict[tuple[bool, bool], list[str]] = {}
    for name, (first, second) in values.items():
        quarters.setdefault((first != low[0], second != low[1]), []).append(name)
    order = ((False, False), (True, False), (False, True), (True, True))
    if any(len(quarters.get(place, [])) != 1 for place in order):
        return None
    return tuple(quarters[place][0] for place in order)  # type: ignore[return-value]
