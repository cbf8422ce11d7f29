"""What the processor can do that torch does not say."""

from functools import cache


@cache
def bfloat16_units() -> bool:
    """Whether it multiplies bfloat16 and sums in float32, in hardware that torch uses by way of
    oneDNN (AMX, AVX-512)."""
    import torch
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    has_units = bool(features.get("avx512bf16") or features.get("amx-bf16"))
    return has_units and torch.backends.mkldnn.is_available()
