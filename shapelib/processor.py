"""What the processor can do that torch does not say."""

from functools import cache


@cache
def bfloat16_units() -> bool:
    """Whether it multiplies bfloat16 and sums in float32, in hardware that torch uses by way of
    oneDNN (AMX, AVX-512)."""
    return path() != "float32"


@cache
def path() -> str:
    """By which of its units a product of bfloat16 numbers is made: ``AMX``, ``AVX-512 bf16``, or
    ``float32`` where it has none and numbers are widened first."""
    import torch
    from llvmlite import binding

    if torch.backends.mkldnn.is_available():
        features = binding.get_host_cpu_features()
        for name, units in (("amx-bf16", "AMX"), ("avx512bf16", "AVX-512 bf16")):
            if features.get(name):
                return units
    return "float32"
