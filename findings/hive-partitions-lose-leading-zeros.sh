#!/usr/bin/env bash
# Leading zeros of hive partition keys.
#
# Expected: user_id=007/ holds the user '007', as duckdb 2.0.1, which wrote the folder, reads it back.
# Seen:     polars 2.1.0 and pandas 3.1.1 (pyarrow 26.0.1) make the number 7 of it, without a word. Where '7' is a user
#           too, polars makes one user of the two, and pandas ends with 'Categorical categories must be unique'. polars
#           keeps '007' only in folders that polars wrote: it repeats the column in the files.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check duckdb==2.0.1 numpy==2.4.6 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import duckdb
import pandas as pd
import polars as pl

alone = pd.DataFrame({"user_id": ["007"], "item_id": ["a"]})
pair = pd.DataFrame({"user_id": ["007", "7"], "item_id": ["a", "b"]})
duckdb.sql("copy (select * from alone) to 'alone' (format parquet, partition_by (user_id))")
duckdb.sql("copy (select * from pair) to 'pair' (format parquet, partition_by (user_id))")
by_duckdb = duckdb.sql("from read_parquet('pair/**/*.parquet', hive_partitioning = true)").df()
by_polars = pl.read_parquet("pair")
print("duckdb", by_duckdb["user_id"].tolist())
print("polars", by_polars["user_id"].to_list(), by_polars["user_id"].dtype)
print("pandas", pd.read_parquet("alone")["user_id"].tolist(), "where there is no other 7")
assert sorted(by_duckdb["user_id"]) == ["007", "7"]
assert by_polars["user_id"].to_list() == [7, 7] and by_polars["user_id"].dtype == pl.Int64
assert pd.read_parquet("alone")["user_id"].tolist() == [7]
try:
    pd.read_parquet("pair")
except ValueError as error:
    print("pandas:", error, "where there is")
    assert "must be unique" in str(error)
else:
    raise SystemExit("pandas reads both now")

pl.DataFrame({"user_id": ["007", "7"], "item_id": ["a", "b"]}).write_parquet("own", partition_by=["user_id"])
assert sorted(pl.read_parquet("own")["user_id"]) == ["007", "7"]
PY
