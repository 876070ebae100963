#!/usr/bin/env bash
# A Parquet column of UUIDs, written by duckdb: what do duckdb, pyarrow, pandas and polars make of it?
#
# Expected: UUIDs or their text. The file says what the column is, by a logical type of Parquet.
# Seen:     duckdb 2.0.1 and pyarrow 26.0.1 read UUIDs, pandas 3.1.1 Python's uuid.UUID objects, which equal no text: a
#           join with the same ids from a CSV file has no row. polars 2.1.0 reads 16 raw bytes, without the word UUID in
#           its schema; written again by polars the column is BLOB to duckdb for good. pandas keeps it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  duckdb==2.0.1 numpy==2.4.6 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1
cd "$work"
cat >look.py <<'PY'
import duckdb
import pandas
import polars
import pyarrow.parquet

ids = "SELECT md5(row::VARCHAR)::UUID AS id FROM range(3) AS rows(row)"
duckdb.sql(f"COPY ({ids}) TO 'ids.parquet'")
duckdb.sql(f"COPY ({ids}) TO 'ids.csv'")


def kind(path):
    """The column's type to duckdb."""
    return str(duckdb.sql(f"SELECT id FROM '{path}'").types[0])


by_pandas, by_polars = pandas.read_parquet("ids.parquet"), polars.read_parquet("ids.parquet")
by_pandas.to_parquet("pandas.parquet")
by_polars.write_parquet("polars.parquet")
seen = {
    "duckdb": kind("ids.parquet"),
    "pyarrow": str(pyarrow.parquet.read_table("ids.parquet").schema.field("id").type),
    "pandas": type(by_pandas["id"][0]).__name__,
    "rows of pandas' join with the text of the same ids": len(by_pandas.merge(pandas.read_csv("ids.csv"), on="id")),
    "polars": f"{by_polars.schema['id']} of {len(by_polars['id'][0])}",
    "written again by pandas": kind("pandas.parquet"),
    "written again by polars": kind("polars.parquet"),
}
for name, found in seen.items():
    print(f"{name}: {found}")
raise SystemExit(list(seen.values()) != ["UUID", "extension<arrow.uuid>", "UUID", 0, "Binary of 16", "UUID", "BLOB"])
PY
"$work/venv/bin/python" look.py
