"""A language model that is there at once: a randomly initialised three-block Llama with a byte-level tokenizer."""

from pathlib import Path


def write_tiny_llm(folder: Path, **shape: int) -> Path:
    """Write it to a folder, as transformers reads it; the same weights each time.

    Args:
        folder: where to.
        shape: settings of `LlamaConfig` in place of those below.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0} | {character: index + 1 for index, character in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<pad>").save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
    }
    tokens = {"pad_token_id": 0, "eos_token_id": 0, "bos_token_id": None}
    config = LlamaConfig(vocab_size=len(vocabulary), initializer_range=0.1, **tokens, **(sizes | shape))
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
