"""Your own data in three calls: make a configuration, run it, ask for recommendations. Takes some seconds on a CPU.

    python examples/own_data.py

The data is made up: readers of a small library, each going through a series volume by volume, from wherever they found
it. The run stops after the small model; leave `until` out, and a language model is trained and distilled as well.
"""

import csv
import random
import sys
import tempfile
from pathlib import Path

from recdistill import Recommender, RunConfig, run
from recdistill.config import ColumnsConfig, DataConfig, StudentConfig, TrainConfig
from recdistill.progress import set_up_logging

SERIES = ("Harbour Mystery", "Dragon Winter", "Garden Year", "Night Train", "Little Kitchen", "Star Pilots")
VOLUMES = 12
READERS = 300


def write_library(folder: Path, generator: random.Random) -> None:
    """Write `loans.csv` (reader, book, borrowed) and `books.csv` (book, name)."""
    names = {
        f"b{100 * row + volume}": f"{name}, Volume {volume}"
        for row, name in enumerate(SERIES)
        for volume in range(1, VOLUMES + 1)
    }
    with (folder / "books.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("book", "name"), *names.items()])
    with (folder / "loans.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("reader", "book", "borrowed"))
        for reader in range(READERS):
            own, volume = generator.randrange(len(SERIES)), generator.randint(1, VOLUMES)
            for day in range(1, VOLUMES):
                book = f"b{100 * own + volume}"
                volume = volume % VOLUMES + 1
                # Now and then a book from somewhere else comes between.
                if generator.random() < 0.1:
                    book = f"b{100 * generator.randrange(len(SERIES)) + generator.randint(1, VOLUMES)}"
                writer.writerow((f"reader {reader}", book, f"2024-03-{day:02d}"))


def main() -> None:
    """Make the data, train, recommend."""
    set_up_logging(quiet=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_library(folder, random.Random(7))
        columns = ColumnsConfig(user="reader", item="book", timestamp="borrowed", title="name")
        config = RunConfig(
            run=str(folder / "run"),
            threads=1,  # a model this small gains nothing from more
            data=DataConfig(
                source="csv", path=str(folder / "loans.csv"), items_path=str(folder / "books.csv"), columns=columns
            ),
            student=StudentConfig(embedding_dim=32, train=TrainConfig(max_epochs=15)),
        )
        run(config, until="student")
        recommender = Recommender.load(Path(config.run), model="student")
        # Titles need not be whole; ids of your own (`b303`) will do as well.
        for item in recommender.recommend(["night train, volume 1", "night train, volume 2", "b303"], top_k=3):
            sys.stdout.write(f"{item.score:6.2f}  {item.title}  [{item.item_id}]\n")


if __name__ == "__main__":
    main()
