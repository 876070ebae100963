"""Which of transformers' decoders are right here, and which are refused: writes docs/decoders.md.

    python benchmarks/decoders.py                    # all kinds, some minutes; compiled: a few kinds
    python benchmarks/decoders.py llama jamba --print

Each kind is a tiny randomly initialised model (`tiny_decoders.py`). A cell loads it as a teacher would, puts experts on
two of its layers, and runs the checks that a run makes at load; *right* is said where all states are within rounding of
those of each prompt alone, *refused* where the run would end with one line. Anything else is *wrong*, exit status 1.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from recdistill.config import AdapterConfig, GateConfig, StudentConfig, TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.backbone import load_backbone
from recdistill.plan.llm_kinds import shapes_from_config
from recdistill.students.make import make_student
from recdistill.teacher.experts import linear_layer_names
from recdistill.teacher.load_checks import LoadChecks, difference
from recdistill.teacher.ranker import Ranker
from tiny_decoders import NotTinyError, tiny_model

PAGE = Path(__file__).parents[1] / "docs" / "decoders.md"
RIGHT, REFUSED, NOT_RUN, WRONG = "right", "refused", "not run", "wrong"
COLUMNS = ("item", "text", "gate", "packed", "cache", "nf4", "compile", "plan")
NO_GATE = GateConfig(kind="none")
SETTINGS: dict[str, dict[str, Any]] = {
    "item": {},
    "text": {"prompt": "text"},
    "gate": {"gate": GateConfig(kind="causal")},
    "packed": {"prompt": "text", "padding": "packed"},
    "cache": {"prompt": "text"},
    "nf4": {"quantization": "nf4"},
    "compile": {"compile": True},
}
"""Settings of the teacher by column; the rest is as by default, without a gate."""
COMPILED = ("llama", "qwen2", "qwen3", "gemma2", "gpt2", "gpt_neox", "opt", "phi", "mixtral", "jamba", "falcon")
"""Kinds that are compiled; it takes a quarter of a minute each."""
WRAPPERS = ("gemma3", "llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "mistral3", "idefics3", "internvl")
OTHERS = ("bert", "t5", "bart", "whisper", "roberta", "xlnet")
"""Kinds that are no decoders of text, a few of them, and must be refused."""
LAYERS = (("q_proj", "v_proj"), ("c_attn",), ("query_key_value",), ("qkv_proj",), ("Wqkv",), ("q_b_proj", "kv_b_proj"))
ITEMS, LONGEST = 30, 60
TIMEOUT = 300


def kinds() -> list[str]:
    """The kinds that transformers knows as causal language models, without those that its own page counts as others."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    return sorted({*CAUSAL, *WRAPPERS, *OTHERS})


def row(kind: str, folder: Path, columns: Sequence[str] = COLUMNS) -> dict[str, tuple[str, str]]:
    """Each column's verdict and reason for one kind; empty where no tiny model can be made."""
    try:
        llm = tiny_model(kind, folder / kind)
    except NotTinyError:
        return {}
    return {column: _cell(kind, llm, column, folder) for column in columns}


def _cell(kind: str, llm: Path, column: str, folder: Path) -> tuple[str, str]:
    if column == "compile" and (kind not in COMPILED or shutil.which("g++") is None):
        return NOT_RUN, ""
    if column == "nf4" and importlib.util.find_spec("bitsandbytes") is None:
        return NOT_RUN, ""
    try:
        if column == "plan":
            return (RIGHT, "") if _is_planned(llm) else (WRONG, "counts differ")
        apart = _run(llm, column, folder)
    except UserError as error:
        return REFUSED, str(error).replace(str(folder) + os.sep, "")
    except Exception as error:  # noqa: BLE001 (whatever ends in a traceback is what this table is for)
        return WRONG, f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return (RIGHT, "") if apart < 1e-3 else (WRONG, f"states differ by {apart:.2g}")


def _run(llm: Path, column: str, folder: Path) -> float:
    """The largest difference of a state that the checks found."""
    ranker = _ranker(llm, column, folder)
    found = LoadChecks(ranker, llm.name, column == "cache", LONGEST).run()["apart"]
    if column == "compile":
        found["compile"] = _compiled_apart(ranker)
    return max(found.values())


def _ranker(llm: Path, column: str, folder: Path) -> Ranker:
    config = replace(TeacherConfig(llm=str(llm), gate=NO_GATE, layers=2), **SETTINGS[column])
    backbone = load_backbone(config, folder / "cache", "cpu", config.layers)
    names = linear_layer_names(backbone.decoder)
    layers = next((group for group in LAYERS if set(group) <= names), tuple(sorted(names))[:2])
    config = replace(config, adapter=AdapterConfig(layers=layers))
    if column == "text":
        backbone.tokenizer("A title")
    student = make_student(StudentConfig(embedding_dim=16, num_layers=1, num_heads=2, max_length=10), ITEMS)
    return Ranker(config, backbone, student, torch.randn(ITEMS + 1, 8))


@torch.no_grad()
def _compiled_apart(ranker: Ranker) -> float:
    """How far states through compiled blocks are from those through the blocks as they are."""
    prompts = LoadChecks(ranker, "", False, LONGEST).prompts
    compiled = prompts.alone(ranker, 1)
    with torch.compiler.set_stance("force_eager"):
        return difference(compiled, prompts.alone(ranker, 1))


def _is_planned(llm: Path) -> bool:
    """Whether the plan counts the parameters that the real model has; refused kinds raise."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(llm).get_text_config(decoder=True)
    shapes = shapes_from_config(config, llm.name)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    held: int = sum(one.numel() for one in model.parameters())
    return shapes.parameters() == held


def _in_a_process(kind: str, columns: Sequence[str]) -> dict[str, tuple[str, str]]:
    """One row, in a process of its own: a kind that takes the process with it takes its own row alone."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def work() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        with tempfile.TemporaryDirectory() as folder:
            theirs.send(row(kind, Path(folder), columns))

    process = context.Process(target=work)
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(TIMEOUT) else dict.fromkeys(columns, (WRONG, f"longer than {TIMEOUT} s"))
    except EOFError:
        return dict.fromkeys(columns, (WRONG, "the process died"))
    finally:
        process.kill()
        process.join()


def page(rows: dict[str, dict[str, tuple[str, str]]]) -> str:
    """The document."""
    names = ("torch", "transformers", "peft", "bitsandbytes")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    made = {kind: cells for kind, cells in rows.items() if cells}
    missing = ", ".join(f"`{kind}`" for kind, cells in rows.items() if not cells)
    counts = " · ".join(f"{column} {sum(cells[column][0] == RIGHT for cells in made.values())}" for column in COLUMNS)
    lines = [
        "# Decoders",
        "",
        f"Generated by `benchmarks/decoders.py` with {versions}, on a CPU. Not run on a GPU, and so not with",
        "flash_attention_2 or flex_attention.",
        "",
        f"{len(made)} kinds (`model_type`), each as a tiny randomly initialised model of transformers' own",
        "configuration class, cut to two blocks (`teacher.layers: 2`), windows shorter than prompts. *right*: every",
        "state is within rounding of the prompt's alone, and every adapter gets a gradient. *refused*: the run ends",
        f"with one line that says what works instead. Right: {counts}.",
        "",
        "- item, text: `teacher.prompt`; gate: `teacher.gate.kind: causal` (the other columns run without a gate);",
        "  packed: `teacher.padding: packed` with `attention: auto`; cache: `export.use_cache` with text; nf4:",
        "  `teacher.quantization`; compile: `teacher.compile`, tried with some kinds; plan: `recdistill plan`, right",
        "  where it counts as many parameters as the real model has.",
        "- What refuses a kind is a check that runs it ([the teacher](teacher.md#checks-at-load-load_checkspy)), so",
        "  another version of transformers may give another table: run the script again.",
        "",
        f"| kind | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    lines += [f"| {kind} | {' | '.join(cells[name][0] for name in COLUMNS)} |" for kind, cells in made.items()]
    lines += ["", f"No tiny model could be made of: {missing}."]
    left = ", ".join(f"`{kind}`" for kind in kinds() if kind not in rows)
    lines += ["", f"Not tried this time: {left}."] if left else []
    lines += ["", "## Why", ""]
    reasons: dict[str, list[str]] = {}
    for kind, cells in made.items():
        for reason in dict.fromkeys(reason for _, reason in cells.values() if reason):
            reasons.setdefault(reason.replace(kind, "…"), []).append(kind)
    lines += [f"- {', '.join(of)}: {reason}" for reason, of in sorted(reasons.items(), key=lambda one: -len(one[1]))]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the kinds that were named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="kinds (model_type); none: all")
    parser.add_argument("--print", action="store_true", help="print rows, write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for kind in arguments.kinds or kinds():
        rows[kind] = _in_a_process(kind, COLUMNS)
        sys.stdout.write(json.dumps({"kind": kind} | {name: list(cell) for name, cell in rows[kind].items()}) + "\n")
        sys.stdout.flush()
    if not arguments.print:
        PAGE.write_text(page(rows), encoding="utf-8")
    return int(any(cell[0] == WRONG for cells in rows.values() for cell in cells.values()))


if __name__ == "__main__":
    sys.exit(main())
