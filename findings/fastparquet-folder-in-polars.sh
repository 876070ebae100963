#!/usr/bin/env bash
# A partitioned folder that fastparquet wrote, in polars.
#
# Expected: pl.read_parquet(folder) reads it, as pandas does; fastparquet's hive scheme is a common one.
# Seen:     polars 2.1.0 refuses it, since fastparquet 2026.9.0 leaves _metadata and _common_metadata (Parquet footers)
#           beside the partitions. The glob that the error advises reads the rows, without the partition's column:
#           the interactions have lost their users, without a word.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check fastparquet==2026.9.0 numpy==2.4.6 pandas==3.1.1 polars==2.1.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
from pathlib import Path

import fastparquet
import pandas as pd
import polars as pl

rows = pd.DataFrame({"user": ["ann", "ben"], "item": ["a", "b"]})
fastparquet.write("shop", rows, file_scheme="hive", partition_on=["user"])
assert (Path("shop") / "_common_metadata").is_file()
try:
    pl.read_parquet("shop")
except pl.exceptions.InvalidOperationError as error:
    print("polars:", str(error).split(":")[0])
    assert "different file extensions" in str(error) and "glob" in str(error)
else:
    raise SystemExit("polars reads it now")
print("by the glob:", pl.read_parquet("shop/**/*.parquet").columns)
assert pl.read_parquet("shop/**/*.parquet").columns == ["item"]
assert pl.read_parquet("shop/**/*.parquet", hive_partitioning=True).columns == ["item", "user"]
PY
