"""The model that a process holds from one cell of a grid to the next, and where it lies."""

from shapelib.errors import ShapelibError
from shapelib.models import loading, placement
from shapelib.store.held import Held
from shapelib.store.workers import client, gpus


def weights(source: loading.Source, dtype: str, where: str) -> int:
    """Bytes that a model's weights take when they are loaded; 0 where that cannot be told."""
    import torch

    if source.known:
        numbers = source.known.parameters
    elif source.folder.is_dir():
        try:
            numbers = placement.count(source.folder, source.name)
        except ShapelibError:  # it fails in its own turn
            numbers = 0
    else:
        # A GGUF file takes about half a byte for each.
        numbers = 2 * source.folder.stat().st_size
    whole = placement.choose_dtype(dtype, numbers, torch.device(where)) == "float32"
    return numbers * (4 if whole else 2)


_MODEL: Held[loading.Model] = Held()


def loaded(
    source: loading.Source, device: str, dtype: str, part: str | None = None
) -> loading.Model:
    """A model, kept for the next cell, and never two at once."""
    return _MODEL.of(
        (source, device, dtype, part),
        lambda: loading.load(source, device=device, dtype=dtype, part=part),
    )


def release() -> None:
    """Let go of the model that `loaded` keeps."""
    _MODEL.release()


def check_device(device: str, where: str) -> None:
    """Raise `ShapelibError` where `device` is another one on this machine than was planned."""
    mine = str(loading.pick_device(device))
    if mine != where:
        raise ShapelibError(
            f"this worker would measure on {mine}, the sweep was planned for {where}: name a "
            "device that all workers have"
        )


def device_there(device: str, dask: str | None) -> str:
    """The device that `device` is on the machine that measures: this one, or a cluster's worker.

    On a cluster ``auto`` means CUDA where its workers offer GPUs.

    Raises `ShapelibError` where no cluster answers, and where it has no worker to tell.
    """
    if dask is None:
        return str(loading.pick_device(device))
    if device not in ("auto", "spread"):
        return device
    with client(dask) as cluster:
        offered = gpus(cluster)
    if offered is None:
        raise ShapelibError(
            f"the Dask cluster at {dask} has no worker yet, so that device 'auto' cannot be "
            "decided: give cpu or cuda"
        )
    return "cuda" if offered else "cpu"
