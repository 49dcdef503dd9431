"""Tables that pandas writes are read as pandas reads them, whatever the dialect, the quotes and the encoding.

``SQUEEZE_TABLE_EXAMPLES=10000`` tries more of them than the suite has time for.
"""

import csv
import io
import os
from typing import Any, BinaryIO

import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.intake.datasets.content import Content, find_encoding
from app.intake.datasets.rows import Place
from tests.app.datasets.preparing import read

EXAMPLES = int(os.environ.get("SQUEEZE_TABLE_EXAMPLES", "15"))
PLAIN = "ab 1,;|'\\"
WESTERN = "éüß«»"
ANY = "€日本α"

CSV_ENDINGS = {
    ",": ["t.csv", "t.txt"],
    ";": ["t.csv"],
    "|": ["t.csv"],
    "\t": ["t.tsv", "t.csv", "t.txt", "t.tab"],
}
ORIENTS = ("records", "columns", "index", "split", "table", "lines")


@st.composite
def tables(draw: st.DrawFn, *, alphabet: str, max_rows: int = 6) -> pd.DataFrame:
    texts = st.text(alphabet, max_size=8) | st.sampled_from(
        ['"', '""', '"a"', '"a, b"', 'a "b" c', ' "a"', "a\\", "\\"]
    )
    rows = draw(st.lists(texts, min_size=2, max_size=max_rows))
    labels = draw(st.lists(st.sampled_from(["a", "b", "a b"]), min_size=len(rows), max_size=len(rows)))
    assume(any(text.strip() and label == "a" for text, label in zip(rows, labels, strict=True)))
    assume(any(text.strip() and label == "b" for text, label in zip(rows, labels, strict=True)))
    return pd.DataFrame({"id": range(len(rows)), "text": rows, "label": labels}, dtype=object)


def rows_of(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Those that have a text."""
    kept = table[[isinstance(text, str) and text.strip() != "" for text in table["text"]]]
    return {"text": kept["text"].tolist(), "label": kept["label"].tolist()}


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.data(),
    st.sampled_from(list(CSV_ENDINGS)),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_delimited_text(data, delimiter, quoting, encoding, line_end, escapes, with_index):
    alphabet = PLAIN + '"\t\n' + WESTERN + ("" if encoding == "cp1252" else ANY)
    table = data.draw(tables(alphabet=alphabet))
    name = data.draw(st.sampled_from(CSV_ENDINGS[delimiter]))
    # Escaped quotes are no dialect of their own where there are none, and a backslash then is a backslash.
    escapes = escapes and any('"' in text for text in table["text"]) and delimiter != "\t"
    dialect = {"sep": delimiter, "quoting": quoting, "encoding": encoding}
    dialect |= {"doublequote": False, "escapechar": "\\"} if escapes else {}
    buffer = io.BytesIO()
    table.to_csv(buffer, index=with_index, lineterminator=line_end, **dialect)
    as_pandas_reads = pd.read_csv(
        io.BytesIO(buffer.getvalue()), dtype=str, keep_default_na=False, lineterminator=None, **dialect
    )
    if encoding == "cp1252" and find_encoding(content_of(buffer)).name != encoding:
        return  # so many accents are of no language
    assert read((name, buffer.getvalue())).rows == rows_of(as_pandas_reads)


def content_of(file: BinaryIO) -> Content:
    return Content(file, is_gzip=False, place=Place("train", "line"), max_bytes=10**6)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    tables(alphabet=PLAIN + '"\t\n' + WESTERN + ANY), st.sampled_from(ORIENTS), st.booleans(), st.booleans()
)
def test_json(table, orient, ascii_only, indent):
    options = {"orient": "records", "lines": True} if orient == "lines" else {"orient": orient}
    text = table.to_json(
        force_ascii=ascii_only, indent=2 if indent and orient != "lines" else None, **options
    )
    blank = table["text"].str.strip() == ""
    if blank.any():  # which JSON tells from null, and this service from a text
        text = table[~blank].to_json(force_ascii=ascii_only, **options)
    found = read(("t.json", text.encode()))
    assert found.rows == rows_of(table)


@settings(max_examples=EXAMPLES, deadline=None)
@given(tables(alphabet=PLAIN + ANY), st.sampled_from(["str", "category", "Int64", "int"]), st.data())
def test_parquet(table, type_, data):
    table = table[table["text"].str.strip() != ""].reset_index(drop=True)
    if type_ in ("Int64", "int"):
        table["label"] = table["label"].map({"a": 0, "b": 1, "a b": 2})
    table["label"] = table["label"].astype(type_ if type_ != "int" else "int64")
    if type_ in ("Int64", "category", "str") and data.draw(st.booleans()):
        table = pd.concat([table, table.tail(1)], ignore_index=True)
        table.loc[len(table) - 1, "label"] = None
    content = table.to_parquet()
    found = read(("t.parquet", content))
    kept = table[table["label"].notna()]
    assert found.rows == {"text": kept["text"].tolist(), "label": kept["label"].astype(str).tolist()}
