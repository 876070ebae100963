"""Malformed files of named data sets: RecBole's atomic files, and MovieLens as GroupLens has it."""

from malformed.case import Case, all_of, written
from malformed.foreign import FOREIGN, GOOD, ITEMS
from malformed.texts import reading


def source(kind: str, name: str, said: str = "", path: str = "", **files: bytes) -> Case:
    """Files of a named data set; `__` in a file's name stands for a dot."""
    write = all_of(*(written(file.replace("__", "."), content) for file, content in files.items()))
    return Case(f"{kind}: {name}", write, reading(path, source=kind), said)


INTER = b"user_id:token\titem_id:token\ttimestamp:float\n"
ATOMIC = [
    source("recbole", "no files", "holds 0 .inter files"),
    source("recbole", "two files", "holds 2 .inter files", a__inter=INTER, b__inter=INTER),
    source("recbole", "empty", "the file is empty", a__inter=b""),
    source("recbole", "a header alone", "no rows", a__inter=INTER),
    source(
        "recbole", "two columns of one name", "two columns are called", a__inter=b"user_id:token\tuser_id:token\n1\t1\n"
    ),
    source("recbole", "no types and no names", "no column", a__inter=b":token\t:float\n1\t1\n"),
    source("recbole", "commas", "no column", a__inter=INTER.replace(b"\t", b",") + b"1,1,1\n"),
    source("recbole", "too many values", "4 values for 3 columns", a__inter=INTER + b"1\t1\t1\t1\n"),
    source("recbole", "no time", "timestamp", a__inter=INTER + b"1\t1\t\n"),
    source("recbole", "a word as a time", "is neither", a__inter=INTER + b"1\t1\tx\n"),
    source("recbole", "a NUL as a time", "is neither", a__inter=INTER + b"1\t1\t\0\n"),
    source("recbole", "no text", "not UTF-8", a__inter=INTER + b"\xff\t1\t1\n"),
    source(
        "recbole", "items that are a picture", "a picture", a__inter=INTER + b"1\t1\t1\n", a__item=FOREIGN["a picture"]
    ),
    source(
        "recbole",
        "items without ids",
        "item_id",
        a__inter=INTER + b"1\t1\t1\n",
        a__item=b"item_id:token\ttitle:token\n\tA\n",
    ),
    source("recbole", "items of no column", "no column", a__inter=INTER + b"1\t1\t1\n", a__item=b"x:token\n1\n"),
]
RATINGS = b"1::1::5::1\n"
MOVIELENS = [
    source("ml-1m", "no files", "ratings.dat: no such file"),
    source("ml-1m", "no movies", "movies.dat: no such file", ratings__dat=RATINGS),
    source("ml-1m", "too few values", "3 values for 4 columns", ratings__dat=b"1::1::5\n", movies__dat=b"1::A::B\n"),
    source(
        "ml-1m", "too many values", "5 values for 4 columns", ratings__dat=b"1::1::5::1::1\n", movies__dat=b"1::A::B\n"
    ),
    source("ml-1m", "a word as a time", "is neither", ratings__dat=b"1::1::5::x\n", movies__dat=b"1::A::B\n"),
    source("ml-1m", "one colon", "1 values for 4 columns", ratings__dat=b"1:1:5:1\n", movies__dat=b"1::A::B\n"),
    source(
        "ml-1m", "movies with too few values", "2 values for 3 columns", ratings__dat=RATINGS, movies__dat=b"1::A\n"
    ),
    source("ml-1m", "movies without ids", "item_id", ratings__dat=RATINGS, movies__dat=b"::A::B\n"),
    source("ml-1m", "movies are a zip", "a zip archive", ratings__dat=RATINGS, movies__dat=FOREIGN["a zip archive"]),
    source("ml-latest", "no files", "ratings.csv: no such file"),
    source("ml-latest", "no such columns", "no column", ratings__csv=GOOD, movies__csv=ITEMS),
    source("ml-latest", "a web page", "a web page", ratings__csv=FOREIGN["a web page"], movies__csv=ITEMS),
    source("ml-100k", "no files", "u.data: no such file"),
    source("ml-100k", "too few values", "2 values for 4 columns", u__data=b"1\t1\n", u__item=b"|" * 23 + b"\n"),
    source("ml-100k", "no titles' columns", "2 values for 24 columns", u__data=b"1\t1\t1\t1\n", u__item=b"1|A\n"),
]
CASES = [*ATOMIC, *MOVIELENS]
