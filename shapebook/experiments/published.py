"""Numbers that other people published, as a table to lay beside ours; never mixed with it."""

from pathlib import Path

import pandas as pd


def published() -> pd.DataFrame:
    """Per-layer values of GPT-2 and BERT (base, layers 0 to 12) by Ethayarajh (2019).

    From ``gpt2/embedding_space_stats.json`` and ``bert/embedding_space_stats.json`` of the public
    repository kawine/contextual, commit 84d2f97, rounded to three digits there. Columns: ``source``
    (a key of the book's bibliography), ``model``, ``role``, ``layer``, ``depth``, ``metric``,
    ``value``.

    Metric ``average_cosine`` is the mean cosine of 1000 random pairs of words, not centered.
    ``first_direction_share`` is scikit-learn's ``TruncatedSVD(…).explained_variance_ratio_[0]``:
    the variance along the first direction of the *uncentered* matrix as a share of the *centered*
    variance. It is neither of our two shares, and nearer to the centered one.
    """
    table = pd.read_csv(Path(__file__).with_name("published.csv"))
    table["depth"] = table["layer"] / table.groupby("model")["layer"].transform("max")
    return table


def published_dimension() -> pd.DataFrame:
    """Dimension over the layers of three OPT models by Cheng, Vaidya and Antonello (2026).

    From ``llm_audio_ids.json`` of the public repository chengemily1/brain-id-abstract, commit
    b457e73, to two digits. Columns: ``source`` (a key of the book's bibliography), ``model``,
    ``role``, ``layer`` (from 1: no embedding), ``depth``, ``value``, ``std`` (over draws).

    GRIDE at a scale that was chosen on its plateau, of the last tokens of sequences of the Pile,
    means over five draws of 10 000 points: another estimator, other tokens and other text than
    ours, so only shapes are to be laid side by side. Whether the last layer is after the final norm
    is not said there.
    """
    table = pd.read_csv(Path(__file__).with_name("published_dimension.csv"))
    table["depth"] = table["layer"] / table.groupby("model")["layer"].transform("max")
    return table


def published_d90() -> pd.DataFrame:
    """The fine-tuning dimensions that Aghajanyan et al. (2021) report for MRPC and QQP.

    Columns: ``source`` (a key of the book's bibliography), ``model``, ``parameters`` (rounded, as
    the models' own papers have them), ``task``, ``method`` (SAID or DID), ``d90``. Reported
    figures, cited at second hand: the table itself was not at hand to check.
    """
    return pd.read_csv(Path(__file__).with_name("published_d90.csv"))


def published_adapters() -> pd.DataFrame:
    """What adapters with few trained numbers reach on MetaMathQA, by the comparison of PEFT.

    From ``method_comparison/MetaMathQA/results`` of the public repository huggingface/peft, commit
    5d602fd, and of Uni-LoRA with 131 072 numbers commit db7d68a. Columns: ``source`` (a key of the
    book's bibliography), ``model``, ``method``, ``trained`` (numbers that are trained, partly
    rounded), ``accuracy`` (on the test texts of GSM8K, one seed). A row is of full fine-tuning.
    """
    return pd.read_csv(Path(__file__).with_name("published_adapters.csv"))


def published_training() -> pd.DataFrame:
    """The representation dimension of Pythia-6.9B (deduped) along its training, as and from where
    `published_dimension` has it.

    Columns: ``source`` (a key of the book's bibliography), ``model``, ``role``, ``step``,
    ``tokens_seen`` (2 097 152 a step), ``part`` (the mean over 32 layers, the highest of them, the
    last), ``value``.
    """
    table = pd.read_csv(Path(__file__).with_name("published_training.csv"))
    table["tokens_seen"] = table["step"] * 2_097_152
    return table
