#!/usr/bin/env bash
# DuckDB writes whole numbers to Parquet: do they come back as what they were?
#
# Expected: yes. HUGEINT is an exact type of 128 bits, and Parquet has exact decimals of 38 digits; a type that it could
#           not hold would be an error.
# Seen:     duckdb 2.0.1 writes HUGEINT and UHUGEINT as DOUBLE without a word, which is exact up to 2^53 alone. Of four
#           ids behind 2^53 three are left when they are read again. It also hits ids that nobody declared so: `sum` of
#           BIGINT is HUGEINT. UBIGINT and DECIMAL(38, 0) come back whole.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check duckdb==2.0.1
cd "$work"
cat >look.py <<'PY'
import duckdb

columns = {
    "HUGEINT": "number::HUGEINT",
    "UHUGEINT": "number::UHUGEINT",
    "sum of BIGINT": "sum(number)",
    "UBIGINT": "number::UBIGINT",
    "DECIMAL(38, 0)": "number::DECIMAL(38, 0)",
}
seen = {}
for name, column in columns.items():
    numbers = "SELECT 9007199254740992 + row AS number FROM range(4) AS rows(row)"
    duckdb.sql(f"COPY (SELECT {column} AS id FROM ({numbers}) GROUP BY number) TO 'ids.parquet'")
    (kind, count), = duckdb.sql("SELECT min(typeof(id)), count(DISTINCT id) FROM 'ids.parquet'").fetchall()
    seen[name] = kind, count
    print(f"{name}: {count} of 4 ids, read as {kind}")
lost = ("DOUBLE", 3)
raise SystemExit(list(seen.values()) != [lost, lost, lost, ("UBIGINT", 4), ("DECIMAL(38,0)", 4)])
PY
"$work/venv/bin/python" look.py
