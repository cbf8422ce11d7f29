"""A CSV file is read as it is, or refused by its line."""

import csv
import io
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stress import often

from shapelib.errors import ShapelibError
from shapelib.finetuning import csv_file
from shapelib.finetuning.tasks import load_task

GOOD = "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(8))


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "moods.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,label\ngood, film,pos\nbad, film,neg\n",
            "line 2: 3 fields, more than the 2 of the h",
        ),
        (GOOD + "good, film,pos\n", "line 10: 3 fields, more than"),
        (GOOD + "alone\n", "line 10: 1 fields, fewer than the 2 of the header"),
        ('text,label\n"never ends,pos\n', "is not a CSV file in UTF-8: unexpected end"),
        ('text,label\n"so"good,pos\n', "is not a CSV file in UTF-8: ',' expected"),
        ("text,label,text\na,b,c\n", "two columns called 'text'"),
        ("text;label\na;b\n", "has no column 'text'; it has: text;label"),
        ("\n\n", "is empty"),
        (b"text,label\ncaf\xe9,a\n", "is not a CSV file in UTF-8"),
        (b"text,label\nca\x00fe,a\n", "line 2: a field holds a NUL"),
    ],
)
def test_what_does_not_fit_is_refused(content: str | bytes, message: str, tmp_path: Path):
    import re

    with pytest.raises(ShapelibError, match=re.escape(message)):
        load_task(written(tmp_path, content))


def test_labels_are_stripped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rows = [("good one", "pos"), ("good two", " pos"), ("bad one", "neg"), ("bad two", "neg "),
            ("bad three", "neg"), ("bad three", "neg"), ("", "neg"), ("two ways", "pos"),
            ("two ways", "neg"), ("none", "  ")]  # fmt: skip
    caplog.set_level("INFO", "shapelib")
    file = "\ufefftext,label\r\n" + "".join(f"{text},{label}\r\n" for text, label in rows) + "\r\n"
    task = load_task(written(tmp_path, file), test=0.3)
    assert task.labels == ("neg", "pos")
    assert len(task.train) + len(task.test) == 5
    for said in (
        "moods: 8 rows of 2 classes: 'neg' 5, 'pos' 3",
        "moods: 2 rows without a text or a label are left out",
        "moods: 1 texts have two labels and are left out",
        "moods: 3 copies and disputed rows are left out in all",
    ):
        assert said in caplog.text


def test_classes_that_may_be_one_or_none_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    labels = ["0", "0.0", "nan", "NaN", "None", "Yes", "yes", "up"]
    rows = "".join(f"text {n},{label}\n" for n, label in enumerate(labels * 3))
    task = load_task(written(tmp_path, "text,label\n" + rows))
    assert len(task.labels) == 8
    assert "'0' and '0.0' are different classes here" in caplog.text
    assert "'NaN' and 'None' and 'nan' are different classes here" in caplog.text
    assert "'Yes' and 'yes' are different classes here" in caplog.text
    assert "'nan' is a class of 3 rows here; if it means that the label is missing" in caplog.text
    # The rows of all classes are told at a lower level, where a test before has asked for it.
    warned = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert not any("'up'" in each for each in warned)


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@settings(
    max_examples=often(100, 10_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(FIELD, min_size=width, max_size=width), max_size=6)
    ),
    st.sampled_from(["excel", "unix"]),
)
def test_every_field_comes_back_as_it_was(tmp_path: Path, rows: list[list[str]], dialect: str):
    width = len(rows[0]) if rows else 2
    out = io.StringIO(newline="")
    writer = csv.writer(out, dialect=dialect, quoting=csv.QUOTE_ALL)
    writer.writerow([f"column {n}" for n in range(width)])
    writer.writerows(rows)
    found = csv_file.read(written(tmp_path, out.getvalue()))
    assert found.to_numpy().tolist() == rows
    assert [str(each) for each in found.dtypes] == ["str"] * width


@settings(
    max_examples=often(100, 10_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=60) | st.text('ab,"\n\r;', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes):
    path = written(tmp_path, content)
    try:
        found = csv_file.read(path)
    except ShapelibError as error:
        said = str(error)
    else:
        assert not found.isna().any().any()
        return
    assert "moods.csv" in said


def by_the_letter(text: str) -> list[list[str]] | None:
    """The rows of a CSV text as RFC 4180 has them, read a letter at a time; None where a quoted
    field has no end or goes on behind it. A quote within a plain field stands for itself."""
    rows, row, field, at = [], [], "", 0
    while at <= len(text):
        if text[at : at + 1] == '"' and not field:
            at += 1
            while True:
                end = text.find('"', at)
                if end < 0:
                    return None
                field, at = field + text[at:end], end + 1
                if text[at : at + 1] != '"':
                    break
                field, at = field + '"', at + 1
            if text[at : at + 1] not in ("", ",", "\r", "\n"):
                return None
            quoted = True
        else:
            quoted = False
            while text[at : at + 1] not in ("", ",", "\r", "\n"):
                field, at = field + text[at], at + 1
        row.append(field)
        ends, field = text[at : at + 1] != ",", ""
        if ends:
            if row != [""] or quoted:
                rows.append(row)
            row = []
            at += text[at : at + 2] == "\r\n"
            if at >= len(text):
                break
        at += 1
        if at == len(text) and ends:
            break
    return rows


DIALECTS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",,,;\t| "), "quotechar": st.sampled_from("\"\"\"'"),
        "quoting": st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC,
                                    csv.QUOTE_NONE]),
        "doublequote": st.booleans(), "escapechar": st.sampled_from(["\\", "!"]),
        "lineterminator": st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    }
)  # fmt: skip


@settings(
    max_examples=often(100, 10_000), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    st.lists(st.tuples(FIELD, st.sampled_from(["a", "b", " a", "", "nan"])), max_size=8), DIALECTS,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
)  # fmt: skip
def test_any_dialect_is_read_by_the_letter_or_refused(
    tmp_path: Path, rows: list[tuple[str, str]], dialect: dict[str, Any], encoding: str
):
    out = io.StringIO(newline="")
    writer = csv.writer(out, **dialect)
    writer.writerow(("text", "label"))
    writer.writerows(rows)
    content = out.getvalue().encode(encoding, "replace")
    path = written(tmp_path, content)
    try:
        found = csv_file.read(path)
    except ShapelibError as error:
        said = str(error)
        plain = (dialect["delimiter"], dialect["quotechar"]) == (",", '"')
        plain &= dialect["quoting"] == csv.QUOTE_ALL and dialect["doublequote"]
        refused = "moods.csv" in said and not (plain and encoding.startswith("utf-8"))
    else:
        expected = by_the_letter(content.decode("utf-8-sig"))
        assert expected is not None
        head = [each.strip() for each in expected[0]]
        assert [list(found.columns), *found.to_numpy().tolist()] == [head, *expected[1:]]
        refused = True
    assert refused, "a plain file was refused, or the file is not named"
    try:
        task = load_task(path)
    except ShapelibError as error:
        named = "moods" in str(error)
    else:
        named = True
        assert {*task.labels} <= {label.strip() for _, label in rows if label.strip()}
    assert named
