"""What a file is that should hold a table, by its first bytes, and the way out where it is none."""

import codecs
import zipfile
from pathlib import Path

from recdistill.errors import UserError
from recdistill.tables.contents import first_bytes, open_file

PARQUET = b"PAR1"

FOREIGN = {
    PARQUET: "a Parquet file; set data.source parquet",
    b"%PDF": "a PDF document; export its table as CSV",
    b"SQLite format 3\x00": "an SQLite database; export the table as CSV (`sqlite3 -header -csv FILE 'select …'`)",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel or Office file; save the sheet as CSV UTF-8",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"ARROW1": "an Arrow (Feather) file; write it as Parquet",
    b"ORC": "an ORC file; write it as Parquet",
    b"Obj\x01": "an Avro file; write it as Parquet",
    b"\x89HDF": "an HDF5 file; write its table as CSV or Parquet",
    b"\x93NUMPY": "a NumPy array; write it as CSV or Parquet",
    b"RDX3": "an R data file; write its table with write.csv",
    b"RDX2": "an R data file; write its table with write.csv",
    b"X\n\x00\x00\x00": "an R data file; write its table with write.csv",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x80\x04\x95": "a Python pickle; write its table as CSV or Parquet",
    b"\x80\x05\x95": "a Python pickle; write its table as CSV or Parquet",
}
"""First bytes of files that are no text, what they are, and the way out."""

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks of other encodings than UTF-8; the longer ones first, since one begins with another."""


def require_text(path: Path, encoding: str) -> None:
    """Check that a file is text as far as its first bytes tell.

    Args:
        path: the file, packed or not.
        encoding: what its text is said to be in.

    Raises:
        UserError: it is missing, empty, or something else; the message says what, and the way out.
    """
    first = first_bytes(path)
    if not first:
        raise UserError(f"{path}: the file is empty")
    found = _foreign(path, first) or _other_encoding(first, encoding) or _markup(first)
    if found:
        raise UserError(f"{path}: {found}")


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, whatever it is called.

    Raises:
        UserError: it is missing, a folder, or may not be read.
    """
    with open_file(path) as file:
        return file.read(len(PARQUET)) == PARQUET


def what_it_is(path: Path) -> str:
    """What a file that should have been Parquet holds, and the way out."""
    first = first_bytes(path)
    is_text = not (_foreign(path, first) or b"\x00" in first)
    return _foreign(path, first) or ("text; set data.source csv" if is_text else "")


def _foreign(path: Path, first: bytes) -> str:
    """What a file is that is not text, and the way out; empty if it may be text."""
    if first.startswith(b"PK\x03\x04"):
        return _zip(path)
    if first[257:262] == b"ustar":
        return "a tar archive; unpack it"
    return next((what for magic, what in FOREIGN.items() if first.startswith(magic)), "")


def _zip(path: Path) -> str:
    """What a zip archive is: many programs' files are one."""
    try:
        names = set(zipfile.ZipFile(path).namelist())
    except (zipfile.BadZipFile, OSError):
        names = set()
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook (.xlsx); save the sheet as CSV UTF-8"
    if "mimetype" in names and "content.xml" in names:
        return "a LibreOffice document (.ods); save the sheet as CSV in UTF-8"
    return "a zip archive; unpack it"


def _other_encoding(first: bytes, encoding: str) -> str:
    """Which encoding a file is in that is read as UTF-8 or another one without NUL bytes; empty if it seems right."""
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        return ""
    named = next((name for mark, name in MARKS.items() if first.startswith(mark)), "")
    if not named and len(first) >= 4:
        # ASCII letters in UTF-16 have a NUL byte in every second place.
        even, odd = first[0::2].count(0), first[1::2].count(0)
        named = "utf-16-le" if odd > len(first) / 8 > even else "utf-16-be" if even > len(first) / 8 > odd else ""
    return f"text in {named.upper()}; set data.encoding {named}, or save it as UTF-8" if named else ""


def _markup(first: bytes) -> str:
    start = first.removeprefix(codecs.BOM_UTF8).lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page (HTML), not a table; was a page saved in place of the file?"
    if start.startswith(b"<?xml"):
        return "an XML document; export its table as CSV"
    if start.startswith((b'{"', b"[{", b"[[")) or start in (b"{", b"["):
        return "JSON; write its table as CSV or Parquet"
    return ""
