"""Let transformers parse a GGUF file once, and not for each thing that it wants of it."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def parsed_once() -> Iterator[None]:
    """Within it, a GGUF file is parsed once, and the table of its tensors' names is made once.

    transformers does the first for the config, the weights and the tokenizer each, and the second
    for every part of the network; together that takes longer than all the rest.
    """
    import gguf

    found: Any = gguf
    reader, names = found.GGUFReader, gguf.get_tensor_name_map
    found.GGUFReader, found.get_tensor_name_map = functools.cache(reader), functools.cache(names)
    try:
        yield
    finally:
        found.GGUFReader, found.get_tensor_name_map = reader, names
