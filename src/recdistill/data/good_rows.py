"""Columns of a table without its bad rows, which are told in one go: as an error, or as what was left out."""

from collections.abc import Mapping, Sequence

import polars as pl

from recdistill.data.values import bad_values
from recdistill.tables.bad_rows import BadRows
from recdistill.tables.tables import Table


def read_columns(table: Table, names: Sequence[str]) -> tuple[dict[str, pl.Series], BadRows]:
    """Columns of a table by name, and the rows that could not even be read.

    Raises:
        UserError: a column is missing, or the file cannot be read.
    """
    bad = BadRows(str(table.path))
    frame = table.read(names, bad)
    return {name: frame[name] for name in names}, bad


def without_bad_rows(
    table: Table,
    columns: Mapping[str, pl.Series],
    roles: Mapping[str, str],
    bad: BadRows,
    skipped: dict[str, int] | None,
) -> dict[str, pl.Series]:
    """The rows of a table without bad ones.

    Args:
        table: where they come from.
        columns: name → values, of one length.
        roles: name → what the column must hold, see :func:`recdistill.data.values.bad_values`.
        bad: rows that could not even be read, and are not in `columns`.
        skipped: takes how many rows of the file were left out; None: bad rows are an error.

    Raises:
        UserError: bad rows are an error, or there are no others.
    """
    wrong, values = bad_values(columns, roles, table)
    found = bad.with_others(values)
    if found.count and (skipped is None or wrong.all()):
        raise found.error()
    if skipped is not None and found.count:
        found.warn()
        skipped[str(table.path)] = found.count
    return {name: column.filter(pl.Series(~wrong)) for name, column in columns.items()}
