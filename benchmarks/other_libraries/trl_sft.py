"""PEFT's LoRA with TRL's packing, trained turn by turn for `trl_packing.py`, which writes what it needs.

A folder has `settings.json` and `documents.json`: texts (`text`), or a prompt with what completes it (`prompt`,
`completion`). TRL's own preparation makes tokens, labels and packed rows of them; the rows are written to `packed.npz`,
the language model's last hidden states of the tokens in `probe` to `hidden.npy`. Then each number of steps that is read
from stdin is trained, and one line of JSON says how long that took. It runs in the environment of TRL
(`requirements-trl.txt`) and needs nothing of recdistill.

The trainer is TRL's `SFTTrainer`, or transformers' own `Trainer` on the rows that TRL packed. They differ in the
vocabulary head: TRL's makes log-probabilities in tiles and makes them again on the way back, transformers' keeps all.

What is chosen in TRL's favour: rows alone in a batch, since TRL puts the rows of a batch end to end and SDPA runs over
all of them with a mask; no gradient checkpointing, which is TRL's default, and takes time; fp32, as the CPU computes
fast; nothing is logged or saved.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
NEVER = 10**9
"""More steps than are asked for."""
GOLDEN = (5**0.5 - 1) / 2


def make_trainer(folder: Path, settings: dict[str, Any]) -> Any:
    """The trainer with its packed rows; a step is a row, in the order of :func:`evenly`."""
    config = AutoConfig.from_pretrained(settings["model"])
    config.num_hidden_layers = settings["layers"] or config.num_hidden_layers
    model = AutoModelForCausalLM.from_pretrained(
        settings["model"], config=config, dtype=torch.float32, attn_implementation="sdpa"
    )
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules=settings["modules"],
    )
    options = SFTConfig(
        output_dir=str(folder / "trainer"),
        packing=True,
        max_length=settings["tokens"],
        per_device_train_batch_size=1,
        shuffle_dataset=True,
        train_sampling_strategy="sequential",
        max_steps=NEVER,
        learning_rate=settings["learning_rate"],
        max_grad_norm=settings["max_grad_norm"],
        seed=settings["seed"],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=settings["trainer"] == "sft",
    )
    documents = json.loads((folder / "documents.json").read_text(encoding="utf-8"))
    sft = SFTTrainer(
        model=model,
        args=options,
        train_dataset=Dataset.from_list(documents),
        processing_class=AutoTokenizer.from_pretrained(settings["model"]),
        peft_config=lora,
    )
    sft.train_dataset = sft.train_dataset.select(evenly([len(lengths) for lengths in sft.train_dataset["seq_lengths"]]))
    if settings["trainer"] == "sft":
        return sft
    return Trainer(
        model=sft.model,
        args=options,
        train_dataset=sft.train_dataset,
        data_collator=sft.data_collator,
        processing_class=sft.processing_class,
    )


def evenly(documents: list[int]) -> list[int]:
    """Rows in an order of which any few neighbours have many and few documents as all rows do."""
    ordered = np.argsort(documents, kind="stable")
    places = np.argsort(np.argsort(np.arange(len(ordered)) * GOLDEN % 1))
    order: list[int] = ordered[places].tolist()
    return order


def write_rows(folder: Path, trainer: Any) -> None:
    """The packed rows in the order of the steps: tokens, labels, lengths of documents, documents of each row."""
    rows = trainer.train_dataset
    np.savez(
        folder / "packed.npz",
        ids=np.concatenate(rows["input_ids"]).astype(np.int64),
        labels=np.concatenate(rows["labels"]).astype(np.int64),
        lengths=np.concatenate(rows["seq_lengths"]).astype(np.int64),
        documents=np.array([len(lengths) for lengths in rows["seq_lengths"]], dtype=np.int64),
    )


@torch.no_grad()
def hidden_states(trainer: Any, tokens: list[int]) -> np.ndarray:
    """The last hidden states of the language model alone, (T, H)."""
    model = trainer.model.eval()
    with model.disable_adapter():
        found: torch.Tensor = model.get_base_model().model(torch.tensor([tokens])).last_hidden_state[0]
    return found.numpy()


@torch.no_grad()
def packed_apart(trainer: Any) -> float:
    """How far the loss of the first packed row is from that of its documents, each read alone, as a share of it."""
    model, row, collate = trainer.model.eval(), trainer.train_dataset[0], trainer.data_collator

    def summed(parts: dict[str, Any]) -> tuple[float, int]:
        batch = collate([parts])
        count = int((batch["labels"] != -100).sum())
        return float(trainer.compute_loss(model, batch)) * count, count

    singles, start = [], 0
    for length in row["seq_lengths"]:
        part = {name: row[name][start : start + length] for name in ("input_ids", "labels")}
        singles.append(summed(part | {"seq_lengths": [length]}))
        start += length
    loss, count = summed({name: row[name] for name in ("input_ids", "labels", "seq_lengths")})
    if count != sum(one for _, one in singles):
        raise SystemExit("TRL learns other tokens of a packed row than of its documents alone")
    return abs(loss / sum(one for one, _ in singles) - 1)


class Turns(TrainerCallback):  # type: ignore[misc]
    """Waits for a number of steps between two of them, and answers when they are done; the end of stdin is the end."""

    def __init__(self, answers: TextIO) -> None:
        self.answers, self.until, self.done = answers, 0, 0

    def wait(self, control: Any) -> None:
        """Read how many steps come next, and start the clocks."""
        line = sys.stdin.readline()
        control.should_training_stop = not line
        self.until = self.done + int(line or 0)
        self.began = time.perf_counter(), time.process_time()

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Before the first step."""
        self.wait(control)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Answer behind the last step of a turn."""
        self.done += 1
        if self.done == self.until:
            took = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
            print(json.dumps({"seconds": took[0], "cpu_seconds": took[1]}), file=self.answers, flush=True)
            self.wait(control)


def main() -> None:
    """Prepare, tell what was made, train turn by turn."""
    # What the libraries print goes to stderr; stdout is for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    trainer = make_trainer(folder, settings)
    write_rows(folder, trainer)
    np.save(folder / "hidden.npy", hidden_states(trainer, settings["probe"]))
    ready = {
        "packed_apart": packed_apart(trainer),
        "adapter_parameters": sum(one.numel() for one in trainer.model.parameters() if one.requires_grad),
        "attention": trainer.model.config._attn_implementation,
        "end": trainer.processing_class.eos_token_id,
        "versions": {name: version(name) for name in PACKAGES},
    }
    print(json.dumps(ready), file=answers, flush=True)
    trainer.add_callback(Turns(answers))
    trainer.train()


if __name__ == "__main__":
    main()
