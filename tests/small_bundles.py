"""Bundles of a few random items, made without a run."""

from pathlib import Path

from recdistill.config import StudentConfig
from recdistill.serving.bundle import FILES, finish_bundle, kind_of_ids, write_catalog
from recdistill.serving.bundle_files import FORM, Bundle, BundledModel
from recdistill.serving.onnx_graph import student_graph, write_graph
from recdistill.students.base import Student


def write_small_bundle(folder: Path, student: Student, ids: list[str], titles: list[str], counts: list[int]) -> None:
    """Write a bundle with `student` as its distilled model."""
    folder.mkdir(parents=True, exist_ok=True)
    file, vectors = FILES["distilled"]
    write_graph(student_graph(student), folder / file, folder / vectors)
    write_catalog(folder, ids, titles, counts)
    shape: StudentConfig = student.config
    held = BundledModel(file, vectors, shape.max_length, shape.embedding_dim, "")
    bundle = Bundle(
        name="small",
        fingerprint="",
        form=FORM,
        version="0",
        made="2026-01-01T00:00:00+00:00",
        ids=kind_of_ids(ids),
        num_items=len(ids) - 1,
        exclude_seen=True,
        inputs={},
        models={"distilled": held},
        files={},
    )
    finish_bundle(folder, bundle)
