#!/usr/bin/env bash
# A Delta Lake table of five rows: one row deleted, one changed. How many rows do readers of Parquet folders see?
#
# Expected: four, or an error: the folder has a log (`_delta_log`), and pandas, pyarrow, polars and duckdb can all read
#           such tables in another way.
# Seen:     pandas 3.1.1 and pyarrow 26.0.1 (given the folder), polars 2.1.0 and duckdb 2.0.1 (given a pattern) read nine
#           rows without a word: the deleted one, and all others of both files in their older form as well. Files that were
#           replaced stay in the folder until somebody cleans up. polars given the folder refuses, for the log's files are
#           no Parquet. deltalake 1.6.6 and polars' read_delta see four.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  deltalake==1.6.6 duckdb==2.0.1 numpy==2.4.6 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1
cd "$work"
cat >look.py <<'PY'
import duckdb
import pandas
import polars
import pyarrow.parquet
from deltalake import DeltaTable, write_deltalake

rows = polars.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": [10, 11, 10, 12, 13], "day": [1, 1, 2, 2, 2]})
write_deltalake("shop", rows, partition_by=["day"])
table = DeltaTable("shop")
table.delete("user_id = 3")
table.update(updates={"item_id": "99"}, predicate="user_id = 1 and item_id = 10")


def tried(read):
    """Rows, or the kind of error."""
    try:
        return read()
    except Exception as error:
        return type(error).__name__


seen = {
    "pandas.read_parquet, folder": tried(lambda: len(pandas.read_parquet("shop"))),
    "pyarrow.parquet.read_table, folder": tried(lambda: pyarrow.parquet.read_table("shop").num_rows),
    "polars.read_parquet, pattern": tried(lambda: polars.read_parquet("shop/**/*.parquet").height),
    "duckdb, pattern": tried(lambda: len(duckdb.sql("select * from 'shop/**/*.parquet'").fetchall())),
    "polars.read_parquet, folder": tried(lambda: polars.read_parquet("shop").height),
    "polars.read_delta": tried(lambda: polars.read_delta("shop").height),
    "deltalake": tried(lambda: table.to_pyarrow_table().num_rows),
}
for reader, found in seen.items():
    print(f"{reader}: {found}")
raise SystemExit(list(seen.values()) != [9, 9, 9, 9, "InvalidOperationError", 4, 4])
PY
"$work/venv/bin/python" look.py
