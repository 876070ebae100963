#!/usr/bin/env bash
# A missing partition key that pandas wrote.
#
# Expected: pandas reads back what it wrote: a frame, one of whose rows has no value in the partition's column.
# Seen:     pandas 3.1.1 (pyarrow 26.0.1) writes __HIVE_DEFAULT_PARTITION__ and then cannot read the folder:
#           ArrowInvalid, 'Cannot yet unify dictionaries with nulls'. polars 2.1.0 reads it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import pandas as pd
import polars as pl
import pyarrow as pa

pd.DataFrame({"country": ["nl", None], "item": ["a", "b"]}).to_parquet("shop", partition_cols=["country"])
try:
    pd.read_parquet("shop")
except pa.ArrowInvalid as error:
    print("pandas:", error)
    assert "unify dictionaries with nulls" in str(error)
else:
    raise SystemExit("pandas reads it now")
by_polars = dict(pl.read_parquet("shop").select("item", "country").iter_rows())
print("polars:", by_polars)
assert by_polars == {"a": "nl", "b": None}
PY
