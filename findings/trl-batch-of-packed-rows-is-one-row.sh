#!/usr/bin/env bash
# TRL's SFTTrainer with packing=True and SDPA, the same eight rows of 1,024 tokens in a step: one by one, or as a batch.
#
# Expected: per_device_train_batch_size=8 reads eight rows of max_length tokens side by side, so that attention costs what
#           it does with a batch of 1 and gradient_accumulation_steps=8. The loss is the same.
# Seen:     with trl 1.16.0 and transformers 5.24.0 on a CPU the loss is the same, and the step takes more than twice the CPU
#           time (three to four times on our machine) and several times the memory. The rows of a batch are put end to
#           end, (1, 8192), and SDPA runs over all of them with one mask: attention grows with the square of batch size
#           times max_length.
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
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

torch.set_num_threads(1)
batch, rows, words = int(sys.argv[1]), 8, 512
known = Tokenizer(models.WordLevel({str(word): word for word in range(words)}, "0"))
torch.manual_seed(0)
shape = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
documents = torch.randint(1, words, (8 * rows, 128), generator=torch.Generator().manual_seed(0)).tolist()
trainer = SFTTrainer(
    model=LlamaForCausalLM(LlamaConfig(vocab_size=words, num_key_value_heads=4, **shape)),
    args=SFTConfig(
        output_dir="out",
        packing=True,
        max_length=1024,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=rows // batch,
        max_steps=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
    ),
    train_dataset=Dataset.from_dict({"input_ids": documents, "labels": documents}),
    processing_class=PreTrainedTokenizerFast(tokenizer_object=known, pad_token="0", eos_token="0"),
)
held, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
loss = trainer.train().training_loss
found = {
    "batch": batch,
    "attention": trainer.model.config._attn_implementation,
    "cpu_seconds": round(time.process_time() - began, 2),
    "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) // 1024,
    "loss": loss,
    "read": list(next(iter(trainer.get_train_dataloader()))["input_ids"].shape),
}
print("\n" + json.dumps(found))
PY
for batch in 1 8; do
  HF_HOME="$work/hf" OMP_NUM_THREADS=1 "$work/venv/bin/python" measure.py $batch 2>/dev/null | tail -n 1 | tee -a lines
done
"$work/venv/bin/python" - <<'PY'
import json

one, eight = map(json.loads, open("lines"))
assert one["attention"] == eight["attention"] == "sdpa"
assert abs(one["loss"] - eight["loss"]) < 1e-4
assert (one["read"], eight["read"]) == ([1, 1024], [1, 8192])
assert eight["cpu_seconds"] > 2 * one["cpu_seconds"]
assert eight["mib"] > 3 * one["mib"]
PY
