"""Malformed tensors: students, title maps, adapters, checkpoints."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import nn

from malformed.case import Case, Content, Write, all_of, written
from malformed.jsons import SHAPE
from recdistill.config import StudentConfig
from recdistill.storage.files import write_json
from recdistill.students.make import load_student, make_student, save_student
from recdistill.students.title_map import load_title_map
from recdistill.training.checkpoint import Counts, copy_weights, load_checkpoint, save_checkpoint

Header = dict[str, Any]


def tensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def one(dtype: str = "F32", shape: str = "[2]", ends: str = "[0, 8]", name: str = "a") -> bytes:
    text = f'{{"{name}": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {ends}}}}}'
    return tensors(text.encode(), b"\0" * 8)


SAFETENSORS: dict[str, Content] = {
    "empty": b"",
    "three bytes": b"abc",
    "text": "weights\n" * 10,
    "a pickle": b"\x80\x04\x95" + b"\0" * 80,
    "an archive of torch": b"PK\x03\x04" + b"\0" * 80,
    "a header longer than the file": tensors(b"{}", length=10**6),
    "a header of all that there is": tensors(b"{}", length=2**63),
    "a header of 2⁶⁴ bytes": tensors(b"{}", length=2**64 - 1),
    "a header that is no JSON": tensors(b"{nothing"),
    "a header that is a list": tensors(b"[]"),
    "a header that is no text": tensors(b"\xff\xfe\xff"),
    "no tensors": tensors(b"{}"),
    "a type that is not there": one(dtype="F33"),
    "fewer bytes than the shape": one(shape="[3]"),
    "more bytes than the shape": one(shape="[1]"),
    "bytes beyond the file": one(ends="[0, 80]"),
    "bytes that go backwards": one(ends="[8, 0]"),
    "a shape beyond all memory": one(shape=f"[{2**40}, {2**40}]"),
    "a shape below nothing": one(shape="[-1]"),
    "bytes that nobody names": tensors(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"\0" * 8),
    "another tensor": one(name="nobody"),
}


def student(**changes: Any) -> Write:
    """A tiny student's folder; its tensors or its shape are changed."""

    def write(folder: Path) -> None:
        shape = SHAPE | {key: value for key, value in changes.items() if key in SHAPE}
        config: dict[str, Any] = {key: value for key, value in SHAPE.items() if key != "num_items"}
        save_student(make_student(StudentConfig(**config), 3), folder)
        if other := {key.replace("__", "."): value for key, value in changes.items() if key not in SHAPE}:
            held = {name: value.numpy() for name, value in load_student(folder).state_dict().items()}
            held = {name: value for name, value in (held | other).items() if value is not None}
            (folder / "student.safetensors").write_bytes(save(held))
        (folder / "student.json").write_text(json.dumps(shape))

    return write


def of_student(name: str, said: str = "weights do not fit", **changes: Any) -> Case:
    return Case(f"student: {name}", student(**changes), load_student, said)


def title_map(folder: Path) -> None:
    write_json(folder / "title_map.json", {"examples": [], "columns": {}, "teacher": {}})


STUDENTS = [
    *(
        Case(f"student: weights are {name}", all_of(student(), written("student.safetensors", content)), load_student)
        for name, content in SAFETENSORS.items()
    ),
    of_student("items of more than are there", num_items=10**12),
    of_student("as many items as memory", num_items=10**7),
    of_student("another width", embedding_dim=8),
    of_student("a width beyond all memory", embedding_dim=10**9),
    of_student("a million layers", num_layers=10**6),
    of_student("a layer more", num_layers=2),
    of_student("an inner width beyond all memory", ffn_multiplier=10**9),
    of_student("a longer history than its positions", max_length=6),
    of_student("a history beyond all memory", max_length=10**9),
    of_student("a tensor too many", nobody=np.zeros(1, dtype=np.float32)),
    of_student("no items", items__ids=None),
    of_student("vectors of NaN", "no finite number", items__ids=np.full((4, 4), np.nan, dtype=np.float32)),
    of_student("vectors of infinity", "no finite number", items__ids=np.full((4, 4), np.inf, dtype=np.float32)),
    of_student("vectors of whole numbers", "no finite number", items__ids=np.ones((4, 4), dtype=np.int64)),
]
MAPS = [
    Case(f"title map: {name}", all_of(title_map, written("title_map.safetensors", content)), load_title_map)
    for name, content in SAFETENSORS.items()
]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


@cache
def checkpoint() -> tuple[Small, torch.optim.AdamW]:
    module = Small()
    optimizer = torch.optim.AdamW(module.parameters())
    module.layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return module, optimizer


def whole_checkpoint(folder: Path) -> None:
    module, optimizer = checkpoint()
    save_checkpoint(folder, module, copy_weights(module), optimizer, {}, Counts(), "print")


def restore(folder: Path) -> None:
    random = torch.get_rng_state()
    try:
        load_checkpoint(folder, *checkpoint(), "print")
    finally:
        torch.set_rng_state(random)


def changed_checkpoint(change: Callable[[Mapping[str, Any], Header], dict[str, Any]]) -> Write:
    from safetensors.torch import load_file, safe_open, save_file

    def write(folder: Path) -> None:
        whole_checkpoint(folder)
        path = folder / "checkpoint.safetensors"
        with safe_open(path, "pt") as file:
            about = dict(file.metadata())
        del about["checksum"]  # as earlier versions wrote it
        held = change(load_file(path), about)
        save_file(held, path, about or None)

    return write


def of_checkpoint(name: str, change: Callable[[Any, Header], dict[str, Any]], said: str = "checkpoint") -> Case:
    return Case(f"checkpoint: {name}", changed_checkpoint(change), restore, said)


def without(name: str) -> Callable[[Any, Header], dict[str, Any]]:
    return lambda held, _: {key: value for key, value in held.items() if key != name}


def about(**values: str) -> Callable[[Any, Header], dict[str, Any]]:
    def change(held: Any, header: Header) -> dict[str, Any]:
        header.update(values)
        return dict(held)

    return change


def nothing_about(held: Any, header: Header) -> dict[str, Any]:
    header.clear()
    return dict(held)


CHECKPOINTS = [
    *(
        Case(f"checkpoint: {name}", written("checkpoint.safetensors", content), restore, "checkpoint.safetensors")
        for name, content in SAFETENSORS.items()
    ),
    of_checkpoint("says nothing of itself", nothing_about, "damaged"),
    of_checkpoint("of another run", about(fingerprint="x"), "other settings"),
    of_checkpoint("no counts", about(counts="")),
    of_checkpoint("counts in a list", about(counts="[]")),
    of_checkpoint("counts without a history", about(counts="{}")),
    of_checkpoint("counts of an unknown kind", about(counts='{"history": [], "nobody": 1}')),
    of_checkpoint("a history of numbers", about(counts='{"history": [1]}')),
    of_checkpoint("many levels", about(counts="[" * 100_000)),
    of_checkpoint("a scaler that is no JSON", about(scaler="scale")),
    of_checkpoint("no weights", without("model.layer.weight"), "does not fit this model"),
    of_checkpoint("no random state", without("random.cpu"), "random state"),
    of_checkpoint("another random state", lambda held, _: held | {"random.cpu": torch.zeros(3)}, "random state"),
    of_checkpoint(
        "another shape of its weights",
        lambda held, _: held | {"model.layer.weight": torch.zeros(3, 3)},
        "does not fit this model",
    ),
    of_checkpoint(
        "another shape of the optimiser",
        lambda held, _: held | {"optimizer.layer.weight.exp_avg": torch.zeros(3, 3)},
        "the optimiser's state",
    ),
    of_checkpoint("no optimiser's step", without("optimizer.layer.weight.step"), "the optimiser's state"),
    of_checkpoint(
        "NaN weights", lambda held, _: held | {"model.layer.weight": torch.full((2, 2), torch.nan)}, "no finite number"
    ),
]


@cache
def peft_model() -> Any:
    """A layer with an adapter, as PEFT makes it."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(nn.Sequential(nn.Linear(2, 2)), LoraConfig(r=1, target_modules=["0"]))


def load_adapter(folder: Path) -> None:
    from recdistill.teacher.experts import load_experts

    load_experts(peft_model(), folder)


def adapter(
    name: str,
    said: str = "adapter_model.safetensors",
    content: Content = b"",
    tensors: Mapping[str, NDArray[Any]] | None = None,
) -> Case:
    made = save(dict(tensors)) if tensors else content
    return Case(f"adapter: {name}", written("adapter_model.safetensors", made), load_adapter, said)


A, B = "base_model.model.0.lora_A.weight", "base_model.model.0.lora_B.weight"
WIDE, TALL = np.ones((1, 2), dtype=np.float32), np.ones((2, 1), dtype=np.float32)
ADAPTERS = [
    *(adapter(name, content=content) for name, content in SAFETENSORS.items()),
    adapter("half of it", "do not fit this teacher", tensors={A: WIDE}),
    adapter("of another shape", "do not fit this teacher", tensors={A: np.ones((3, 2), dtype=np.float32), B: TALL}),
    adapter("one tensor more", "do not fit this teacher", tensors={A: WIDE, B: TALL, "nobody": TALL}),
    adapter("whole numbers", "no finite number", tensors={A: WIDE.astype(np.int64), B: TALL}),
    adapter("NaN", "no finite number", tensors={A: WIDE * np.nan, B: TALL}),
]
CASES = [*ADAPTERS, *STUDENTS, *MAPS, *CHECKPOINTS]
