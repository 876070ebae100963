r"""A part of a shop as a catalog of its own: the items whose titles match a pattern, and what was done with them.

    python benchmarks/part_of_catalog.py --interactions games/interactions.parquet --items games/items.csv \
        --pattern '(?i)nintendo|wii|\bds\b|3ds|mario|zelda|pokemon' --out runs/parts/nintendo

Writes `interactions.parquet` and `items.csv`, with the columns of the files that were read. Users and items with too
few interactions are left in: `data.min_user_events` and `data.min_item_events` take them out.
"""

import argparse
from pathlib import Path

import polars as pl


def read(path: Path) -> pl.DataFrame:
    """A table of either kind."""
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)


def cut(interactions: pl.DataFrame, items: pl.DataFrame, pattern: str, item: str, title: str) -> list[pl.DataFrame]:
    """Interactions and items of the titles that match, in their order.

    Raises:
        SystemExit: none does, or a column is not there.
    """
    for option, column, table in (("--item", item, interactions), ("--item", item, items), ("--title", title, items)):
        if column not in table.columns:
            raise SystemExit(f"{option}: no column {column}; there are {', '.join(table.columns)}")
    chosen = items.filter(pl.col(title).str.contains(pattern))
    if chosen.is_empty():
        raise SystemExit(f"--pattern: no title matches {pattern}")
    return [interactions.join(chosen.select(item), on=item, how="semi", maintain_order="left"), chosen]


def main(argv: list[str] | None = None) -> None:
    """Read, cut, write, and say how much is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=Path, required=True, help="CSV or Parquet")
    parser.add_argument("--items", type=Path, required=True, help="CSV or Parquet")
    parser.add_argument("--pattern", required=True, help="regular expression that a title must match somewhere")
    parser.add_argument("--item", default="item_id", help="column of both files")
    parser.add_argument("--title", default="title", help="column of the items")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    arguments = parser.parse_args(argv)
    tables = read(arguments.interactions), read(arguments.items)
    interactions, items = cut(*tables, arguments.pattern, arguments.item, arguments.title)
    arguments.out.mkdir(parents=True, exist_ok=True)
    interactions.write_parquet(arguments.out / "interactions.parquet")
    items.write_csv(arguments.out / "items.csv")
    print(f"{len(items):,} of {len(tables[1]):,} items, {len(interactions):,} of {len(tables[0]):,} interactions")


if __name__ == "__main__":
    main()
