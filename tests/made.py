"""Tiny models of many classes, as folders: random weights, a tokenizer of the tests."""

from pathlib import Path
from typing import Any

USUAL = {
    "vocab_size": 320, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
# What classes have besides, or otherwise.
OPTIONS: dict[str, dict[str, Any]] = {
    "Longformer": {"attention_window": 8, "max_position_embeddings": 130},
    "Roberta": {"max_position_embeddings": 130},
    "MPNet": {"max_position_embeddings": 130},
    "ConvBert": {"embedding_size": 24},
    "BigBird": {"block_size": 4, "num_random_blocks": 1, "max_position_embeddings": 256},
    "Llama": {"num_key_value_heads": 2},
    "Mixtral": {"num_key_value_heads": 2, "num_local_experts": 4},
    "GPT2": {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "T5": {"d_model": 24, "d_kv": 6, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3,
           "num_heads": 4, "decoder_start_token_id": 0},
    "Bart": {"d_model": 24, "encoder_layers": 2, "decoder_layers": 3, "encoder_ffn_dim": 48,
             "decoder_ffn_dim": 48, "encoder_attention_heads": 4, "decoder_attention_heads": 4},
    "XLNet": {"d_model": 24, "d_inner": 48, "n_layer": 2, "n_head": 4, "d_head": 6},
}  # fmt: skip


def config_of(stem: str, **options: Any) -> Any:
    import transformers

    usual = {**USUAL, **OPTIONS.get(stem, {}), **options}
    if stem in ("T5", "Bart", "XLNet"):
        for name in (
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
        ):
            del usual[name]
    if stem == "XLNet":
        del usual["max_position_embeddings"]
    return getattr(transformers, f"{stem}Config")(**usual)


def network_of(stem: str, head: str = "Model", **options: Any) -> Any:
    """A network in eval mode whose weights follow a fixed seed, large enough to matter."""
    import torch
    import transformers

    torch.manual_seed(0)
    return getattr(transformers, f"{stem}{head}")(config_of(stem, **options)).eval()


def model_folder(
    folder: Path, tokenizer: Any, stem: str, head: str = "Model", **options: Any
) -> Path:
    """A saved model."""
    network_of(stem, head, **options).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
