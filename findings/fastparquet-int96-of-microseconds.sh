#!/usr/bin/env bash
# Times of pandas 3 that fastparquet writes for Spark (INT96).
#
# Expected: times="int96" writes the times that the frame holds.
# Seen:     fastparquet 2026.9.0 takes the microseconds of pandas 3.1.1 (its default unit since 3.0) for nanoseconds:
#           1 January 2020 becomes 19 January 1970, for every reader, without a word. In nanoseconds, the default of
#           pandas 2, the times are right; so are they without int96.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check fastparquet==2026.9.0 numpy==2.4.6 pandas==3.1.1 pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import fastparquet
import pandas as pd
import pyarrow.parquet as pq

times = pd.to_datetime(["2020-01-01", "2020-01-02"])
assert str(times.dtype) == "datetime64[us]"


def through(column: pd.DatetimeIndex, **options: str) -> list[str]:
    fastparquet.write("times.parquet", pd.DataFrame({"time": column}), **options)
    return [str(one)[:10] for one in pq.read_table("times.parquet")["time"].to_pandas()]


print("int96, microseconds:", through(times, times="int96"))
print("int96, nanoseconds: ", through(times.as_unit("ns"), times="int96"))
assert through(times, times="int96") == ["1970-01-19", "1970-01-19"]
assert through(times.as_unit("ns"), times="int96") == ["2020-01-01", "2020-01-02"]
assert through(times) == ["2020-01-01", "2020-01-02"]
PY
