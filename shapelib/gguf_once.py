"""Let transformers parse a GGUF file once, and not for each thing that it wants of it."""

import contextlib
import functools
from collections.abc import Iterator


@contextlib.contextmanager
def parsed_once() -> Iterator[None]:
    """Within it, a GGUF file is parsed once, and the table of its tensors' names is made once.

    transformers does the first for the config, the weights and the tokenizer each, and the second
    for every part of the network; together that takes longer than all the rest.
    """
    import gguf

    reader, names = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader, gguf.get_tensor_name_map = functools.cache(reader), functools.cache(names)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = reader, names
