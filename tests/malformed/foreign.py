"""Files of other kinds in the place of a table of text, and a table that is one."""

import io
import tarfile
import zipfile

HEAD = b"user_id,item_id,timestamp\n"
GOOD = HEAD + b"u,i,1\nu,j,2\n"
ITEMS = b"item_id,title\ni,A film\nj,Another\n"


def _zip(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/passwd"))
    return file.getvalue()


FOREIGN = {
    "a Parquet file": b"PAR1" + b"\0" * 40 + b"PAR1",
    "a PDF": b"%PDF-1.7\n1 0 obj",
    "a database": b"SQLite format 3\x00" + b"\0" * 80,
    "an old Office file": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 40,
    "a 7z archive": b"7z\xbc\xaf\x27\x1c" + b"\0" * 40,
    "an Arrow file": b"ARROW1\0\0" + b"\0" * 40,
    "an ORC file": b"ORC" + b"\0" * 40,
    "an Avro file": b"Obj\x01" + b"\0" * 40,
    "an HDF5 file": b"\x89HDF\r\n\x1a\n",
    "a NumPy array": b"\x93NUMPY\x01\0",
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
    "a pickle": b"\x80\x04\x95" + b"\0" * 40,
    "a workbook": _zip("xl/workbook.xml"),
    "a zip archive": _zip("../../outside.csv"),
    "a broken zip archive": b"PK\x03\x04" + b"\xff" * 60,
    "a tar archive": _tar(),
    "a web page": b"<!DOCTYPE html><html><script>alert(1)</script>",
    "XML": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
    "JSON": b'{"user_id": 1}',
    "a JSON list": b'[{"user_id": 1}]',
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 without a mark": GOOD.decode().encode("utf-16-be"),
    "UTF-32": GOOD.decode().encode("utf-32"),
}
"""Files that are no text with rows."""
