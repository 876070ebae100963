"""Which of a language model's layers reads titles best, and how its tokens are pooled; JSON lines.

    recdistill prepare --config my.yaml
    python benchmarks/title_layers.py runs/mine --users 6000

One pass over the titles of a prepared run, as `teacher.title_encoder: llm` reads them (behind the word "Title:"), keeps
the hidden states of several layers: 0 are the token embeddings, the last one is what the language model's final norm
gives. Each is pooled as the mean over a title's own tokens and as its last token, and whitened to `--dims` dimensions.
What a reading is worth is asked without any training: validation NDCG@10 of title similarity alone, an interaction of
age a weighing .9^a (as `titles@similarity` of benchmarks/titles.py).
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from new_items import Likeness
from recdistill.config import EvaluateConfig, TeacherConfig
from recdistill.config.teacher import Weights
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData, Targets
from recdistill.evaluation.protocol import validation_metrics
from recdistill.language_models.backbone import load_backbone
from recdistill.language_models.decoder_titles import BATCH_TOKENS, DecoderReader, by_tokens
from recdistill.teacher.whitening import whiten

POOLINGS = ("mean", "last")
HISTORY = 50


def layers_of(count: int, step: int) -> list[int]:
    """Every `step`-th layer of `count`, the first (0) and the last among them."""
    return sorted({0, count, *range(step, count, step)})


@torch.inference_mode()
def readings(config: TeacherConfig, texts: list[str], step: int) -> dict[tuple[int, str], Tensor]:
    """Embeddings of all texts by layer and pooling: fp32 (N + 1, H), zero where there is no text."""
    backbone = load_backbone(config, cache_folder(), "cpu", layers=None)
    reader = DecoderReader(backbone)
    layers = layers_of(backbone.decoder.config.num_hidden_layers, step)  # type: ignore[union-attr, arg-type]
    distinct = sorted({text for text in texts if text})
    found = {
        (layer, pooling): torch.zeros(len(distinct) + 1, backbone.hidden_dim)
        for layer in layers
        for pooling in POOLINGS
    }
    for rows, states, starts, ends in passes(reader, distinct):
        for layer in layers:
            for place, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
                found[layer, "mean"][row + 1] = states[layer][place, start:end].mean(dim=0)
                found[layer, "last"][row + 1] = states[layer][place, end - 1]
    row_of = {"": 0} | {text: row + 1 for row, text in enumerate(distinct)}
    order = [row_of[text] for text in texts]
    return {key: rows[order] for key, rows in found.items()}


def passes(
    reader: DecoderReader, texts: list[str]
) -> Iterator[tuple[list[int], tuple[Tensor, ...], list[int], list[int]]]:
    """Batches of texts of like lengths: their rows, the states (B, T, H) of all layers, and where each text stands."""
    tokens, start = reader.tokens(texts), len(reader.prefix)
    order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
    for rows in by_tokens(order, [start + len(ids) for ids in tokens], BATCH_TOKENS):
        ends = [start + len(tokens[row]) for row in rows]
        inputs = torch.zeros(len(rows), max(ends), dtype=torch.int64)
        inputs[:, :start] = torch.from_numpy(reader.prefix).long()
        for place, (row, end) in enumerate(zip(rows, ends, strict=True)):
            inputs[place, start:end] = torch.from_numpy(tokens[row]).long()
        # Padding stands to the right of causal attention.
        states = reader.model(input_ids=inputs, output_hidden_states=True).hidden_states
        yield rows, tuple(one.float() for one in states), [start] * len(rows), ends


def main(argv: list[str] | None = None) -> None:
    """Print a line for each reading."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run that was prepared")
    parser.add_argument("--llm", default=TeacherConfig().llm, help="as teacher.llm")
    parser.add_argument("--weights", default="pretrained", choices=["pretrained", "shuffled", "random"])
    parser.add_argument("--step", type=int, default=4, help="layers between two that are asked")
    parser.add_argument("--dims", type=int, nargs="+", default=[TeacherConfig().title_dim])
    parser.add_argument("--users", type=int, help="the first so many validation targets; all by default")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    data = PreparedData.load(arguments.run / "prepare")
    targets = data.targets("validation")
    asked = Targets(targets.users[: arguments.users], targets.positions[: arguments.users])
    weights: Weights = arguments.weights
    config, began = TeacherConfig(title_encoder="llm", llm=arguments.llm, llm_weights=weights), time.process_time()
    found = readings(config, data.texts, arguments.step)
    read = time.process_time() - began
    for (layer, pooling), embeddings in found.items():
        for dim in arguments.dims:
            similarity = Likeness(whiten(embeddings, dim), data, HISTORY)
            line = {
                "layer": layer,
                "pooling": pooling,
                "dims": dim,
                "weights": weights,
                "targets": len(asked),
                "ndcg@10": round(validation_metrics(similarity, data, EvaluateConfig(), asked)["ndcg@10"], 5),
                "reading_cpu_seconds": round(read, 1),
                "data": data.fingerprint,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
