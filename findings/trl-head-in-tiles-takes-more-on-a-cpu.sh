#!/usr/bin/env bash
# The same packed rows, trained by TRL's SFTTrainer and by transformers' Trainer, a vocabulary of 49,152 words, on a CPU.
#
# Expected: SFTTrainer makes log-probabilities in tiles so that it never holds all logits, and so it needs less memory than
#           Trainer, whose loss keeps them. Of a row in which one token in a hundred has a label it scores that one.
# Seen:     trl 1.16.0 with transformers 5.24.0 takes at least 1.4 times Trainer's CPU time, and more memory (19.2 against
#           11.4 s, 1,404 against 882 MiB on our machine), for the same loss. A tile has 32,768 words, so that of rows of
#           1,024 tokens two tiles are all logits; without Triton several copies of each are made, twice. And all positions
#           are scored: with one label in a hundred a step takes as long (18.9 s).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  accelerate==1.15.0 datasets==5.2.0 numpy==2.4.6 torch==2.13.0 transformers==5.24.0 trl==1.16.0
cd "$work"
cat >measure.py <<'PY'
import json
import resource
import sys
import time

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer
from trl import SFTConfig, SFTTrainer

torch.set_num_threads(1)
name, labelled, words, rows = sys.argv[1], float(sys.argv[2]), 49_152, 4
known = Tokenizer(models.WordLevel({str(word): word for word in range(words)}, "0"))
torch.manual_seed(0)
shape = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
model = LlamaForCausalLM(LlamaConfig(vocab_size=words, num_key_value_heads=4, **shape))
draws = torch.Generator().manual_seed(0)
ids = torch.randint(1, words, (8 * rows, 128), generator=draws)
labels = torch.where(torch.rand(ids.shape, generator=draws) < labelled, ids, -100)
sft = SFTTrainer(
    model=model,
    args=SFTConfig(
        output_dir="out",
        packing=True,
        max_length=1024,
        per_device_train_batch_size=1,
        max_steps=rows,
        learning_rate=0.0,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        remove_unused_columns=name == "SFTTrainer",
    ),
    train_dataset=Dataset.from_dict({"input_ids": ids.tolist(), "labels": labels.tolist()}),
    processing_class=PreTrainedTokenizerFast(tokenizer_object=known, pad_token="0", eos_token="0"),
)
trainer = sft
if name == "Trainer":
    trainer = Trainer(model=model, args=sft.args, train_dataset=sft.train_dataset, data_collator=sft.data_collator)
held, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
loss = trainer.train().training_loss
found = {
    "trainer": name,
    "labelled": labelled,
    "cpu_seconds": round(time.process_time() - began, 2),
    "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) // 1024,
    "loss": loss,
}
print("\n" + json.dumps(found))
PY
for words in "Trainer 1" "SFTTrainer 1" "SFTTrainer 0.01"; do
  HF_HOME="$work/hf" OMP_NUM_THREADS=1 "$work/venv/bin/python" measure.py $words 2>/dev/null | tail -n 1 | tee -a lines
done
"$work/venv/bin/python" - <<'PY'
import json

plain, tiles, few = map(json.loads, open("lines"))
assert abs(plain["loss"] - tiles["loss"]) < 1e-4
assert tiles["cpu_seconds"] > 1.4 * plain["cpu_seconds"]
assert tiles["mib"] > plain["mib"]
assert few["cpu_seconds"] > 0.7 * tiles["cpu_seconds"]
PY
