"""Which of a language model's layers reads titles best, and how its tokens are pooled; JSON lines.

    recdistill prepare --config my.yaml
    python benchmarks/title_layers.py runs/mine --users 6000

One pass over the titles of a prepared run, as `teacher.title_encoder: llm` reads them (behind the word "Title:"), keeps
the hidden states of several layers: 0 are the token embeddings, the last one is what the language model's final norm
gives. Each is pooled as the mean over a title's own tokens and as its last token, and whitened to `--dims` dimensions.
With `--after` words follow the title, and one more pooling is asked for: the last token of these words (`word`, as in
PromptEOL, Jiang et al. 2023), or, with `--echo`, the mean over a second copy of the title behind them, where each token
has seen the whole title (`echo`, Springer et al. 2024).

    python benchmarks/title_layers.py runs/mine --after ' This product in one word: "'
    python benchmarks/title_layers.py runs/mine --after ' Once more:' --echo

What a reading is worth is asked without any training: validation NDCG@10 of title similarity alone, an interaction of
age a weighing .9^a (as `titles@similarity` of benchmarks/titles.py).
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Asked:
    """What follows a title, and where its reading is taken from.

    Attributes:
        after: words behind the title; empty: none, and no third pooling.
        echo: the title once more behind them.
    """

    after: str = ""
    echo: bool = False

    @property
    def poolings(self) -> tuple[str, ...]:
        """Names of the poolings."""
        return (*POOLINGS, "echo" if self.echo else "word") if self.after else POOLINGS


def layers_of(count: int, step: int) -> list[int]:
    """Every `step`-th layer of `count`, the first (0) and the last among them."""
    return sorted({0, count, *range(step, count, step)})


@torch.inference_mode()
def readings(
    config: TeacherConfig, texts: list[str], step: int, asked: Asked | None = None
) -> dict[tuple[int, str], Tensor]:
    """Embeddings of all texts by layer and pooling: fp32 (N + 1, H), zero where there is no text."""
    asked = asked or Asked()
    backbone = load_backbone(config, cache_folder(), "cpu", layers=None)
    reader = DecoderReader(backbone)
    layers = layers_of(backbone.decoder.config.num_hidden_layers, step)  # type: ignore[union-attr, arg-type]
    distinct = sorted({text for text in texts if text})
    found = {
        (layer, pooling): torch.zeros(len(distinct) + 1, backbone.hidden_dim)
        for layer in layers
        for pooling in asked.poolings
    }
    for rows, states, lengths in passes(reader, distinct, asked):
        for layer in layers:
            for place, (row, whole) in enumerate(zip(rows, lengths, strict=True)):
                for pooling, tokens in spans(reader, whole, asked).items():
                    found[layer, pooling][row + 1] = states[layer][place, tokens].mean(dim=0)
    row_of = {"": 0} | {text: row + 1 for row, text in enumerate(distinct)}
    order = [row_of[text] for text in texts]
    return {key: rows[order] for key, rows in found.items()}


def spans(reader: DecoderReader, own: int, asked: Asked) -> dict[str, slice]:
    """The tokens that each pooling averages, for a title of `own` tokens."""
    start = len(reader.prefix)
    end, behind = start + own, start + own + len(words_after(reader, asked))
    found = {"mean": slice(start, end), "last": slice(end - 1, end)}
    third = {"echo": slice(behind, behind + own)} if asked.echo else {"word": slice(behind - 1, behind)}
    return found | third if asked.after else found


def words_after(reader: DecoderReader, asked: Asked) -> list[int]:
    """Tokens of the words behind a title."""
    if not asked.after:
        return []
    found: list[int] = reader.backbone.tokenizer(asked.after, add_special_tokens=False)["input_ids"]
    return found


def passes(
    reader: DecoderReader, texts: list[str], asked: Asked
) -> Iterator[tuple[list[int], tuple[Tensor, ...], list[int]]]:
    """Batches of texts of like lengths: their rows, the states (B, T, H) of all layers, and each text's own tokens."""
    own, after = reader.tokens(texts), words_after(reader, asked)
    tokens = [[*reader.prefix.tolist(), *ids.tolist(), *after, *(ids.tolist() if asked.echo else ())] for ids in own]
    order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
    for rows in by_tokens(order, [len(ids) for ids in tokens], BATCH_TOKENS):
        inputs = torch.zeros(len(rows), max(len(tokens[row]) for row in rows), dtype=torch.int64)
        for place, row in enumerate(rows):
            inputs[place, : len(tokens[row])] = torch.tensor(tokens[row])
        # Padding stands to the right of causal attention.
        states = reader.model(input_ids=inputs, output_hidden_states=True).hidden_states
        yield rows, tuple(one.float() for one in states), [len(own[row]) for row in rows]


def main(argv: list[str] | None = None) -> None:
    """Print a line for each reading."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run that was prepared")
    parser.add_argument("--llm", default=TeacherConfig().llm, help="as teacher.llm")
    parser.add_argument("--weights", default="pretrained", choices=["pretrained", "shuffled", "random"])
    parser.add_argument("--step", type=int, default=4, help="layers between two that are asked")
    parser.add_argument("--dims", type=int, nargs="+", default=[TeacherConfig().title_dim])
    parser.add_argument("--after", default="", help="words behind each title")
    parser.add_argument("--echo", action="store_true", help="the title once more behind them")
    parser.add_argument("--users", type=int, help="the first so many validation targets; all by default")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    if arguments.echo and not arguments.after:
        parser.error("--echo needs --after: words between the two copies of a title")
    torch.set_num_threads(arguments.threads)
    data = PreparedData.load(arguments.run / "prepare")
    targets = data.targets("validation")
    asked = Targets(targets.users[: arguments.users], targets.positions[: arguments.users])
    weights: Weights = arguments.weights
    config, began = TeacherConfig(title_encoder="llm", llm=arguments.llm, llm_weights=weights), time.process_time()
    found = readings(config, data.texts, arguments.step, Asked(arguments.after, arguments.echo))
    read = time.process_time() - began
    for (layer, pooling), embeddings in found.items():
        for dim in arguments.dims:
            similarity = Likeness(whiten(embeddings, dim), data, HISTORY)
            line = {
                "layer": layer,
                "pooling": pooling,
                "dims": dim,
                "weights": weights,
                "after": arguments.after,
                "targets": len(asked),
                "ndcg@10": round(validation_metrics(similarity, data, EvaluateConfig(), asked)["ndcg@10"], 5),
                "reading_cpu_seconds": round(read, 1),
                "data": data.fingerprint,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
