"""Tables in the dialects and forms that programs write, and what the answer says of them."""

import gzip
import json

import pytest

from tests.app.datasets.preparing import read, refused
from tests.app.datasets.uploads import jsonl

ROWS = [{"text": "x, y", "label": "a"}, {"text": "z", "label": "b"}]
EXPECTED = {"text": ["x, y", "z"], "label": ["a", "b"]}
TAGGING = {"task": "token_classification"}


class TestDialects:
    @pytest.mark.parametrize(
        ("name", "content", "options"),
        [
            ("t.csv", 'text,label\n"x, y",a\nz,b\n', {"delimiter": "comma"}),
            ("t.csv", "text;label\nx, y;a\nz;b\n", {"delimiter": "semicolon"}),
            ("t.csv", "text|label\nx, y|a\nz|b\n", {"delimiter": "pipe"}),
            ("t.csv", "text\tlabel\nx, y\ta\nz\tb\n", {"delimiter": "tab", "quotes": "none"}),
            ("t.tsv", 'text,label\n"x, y",a\nz,b\n', {"delimiter": "comma"}),
            ("t.txt", "text\tlabel\nx, y\ta\nz\tb\n", {"delimiter": "tab"}),
            ("t.csv", "sep=;\r\ntext;label\r\nx, y;a\r\nz;b\r\n", {"delimiter": "semicolon"}),
            ("t.csv", '"text","label"\n"x, y","a"\n"z","b"\n', {"quotes": "doubled"}),
            ("t.csv", 'text, label\n"x, y", "a"\nz, b\n', {"spaces after the delimiter": "skipped"}),
            ("t.csv", ' text ,label\r"x, y",a\rz,b\r', {"delimiter": "comma"}),
            ("t.csv", '\n\ntext,label\n\n"x, y",a\n\nz,b', {"delimiter": "comma"}),
            ("t.csv", ',text,label\n0,"x, y",a\n1,z,b\n', {"delimiter": "comma"}),
        ],
    )
    def test_delimiters_quotes_and_spaces(self, name, content, options):
        found = read((name, content.encode()))
        assert found.rows == EXPECTED
        assert options.items() <= found.train.options.items()
        assert found.reading.warnings == []

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (r'"a ""b"", c",a', 'a "b", c'),
            (r'"a \"b\", c",a', 'a "b", c'),
            (r'"C:\dir \"b\"",a', r'C:\dir "b"'),
            (r'"C:\dir",a', r"C:\dir"),
            (r'"C:\\dir \"b\"",a', r'C:\dir "b"'),
            (r'5" wide,a', '5" wide'),
        ],
    )
    def test_quotes_within_cells(self, content, text):
        found = read(("t.csv", f"text,label\n{content}\nz,b\n".encode()))
        assert found.rows["text"] == [text, "z"]

    @pytest.mark.parametrize(
        ("rows", "text", "warns"),
        [
            ('"he said ""x"""\ta\nz\tb', 'he said "x"', False),
            ('"tab\there"\ta\nz\tb', "tab\there", False),
            ('"two\nlines"\ta\nz\tb', "two\nlines", False),
            ('"half a quote\ta\nz\tb', '"half a quote', False),
            ('"so" he said\ta\nz\tb', '"so" he said', False),
            ('"all of it"\ta\nz\tb', '"all of it"', True),
            ('"all of it"\ta\n"z"\tb', "all of it", True),
            ('"a, b"\ta\nz\tb', "a, b", True),
            ('"a, b"\ta\nz, or\tb', '"a, b"', True),
            ('"all"\ta\n5" wide\tb', '"all"', True),
        ],
    )
    def test_what_quotes_mean_in_tsv_is_told_from_all_of_it(self, rows, text, warns):
        found = read(("t.tsv", f"text\tlabel\n{rows}\n".encode()))
        assert found.rows["text"][0] == text
        assert any("quote" in warning for warning in found.reading.warnings) == warns

    def test_the_row_and_the_columns_of_a_fault(self):
        fault = refused(("t.csv", b"text;label\nx;a\n" + b"y\n" * 12))
        assert fault.message.startswith(
            "train, line 3: 1 cells where the header has 2. Quote cells that contain a semi"
        )
        assert fault.details["bad_row_count"] == 24


class TestEncodings:
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"]
    )
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_of_text(self, encoding, pack):
        content = "text;label\nschöne Grüße, «Zürich»;a\nun café à l'été;b\n".encode(encoding)
        found = read(("t.csv.gz" if pack is gzip.compress else "t.csv", pack(content)))
        assert found.rows["text"] == ["schöne Grüße, «Zürich»", "un café à l'été"]
        is_guess = encoding in ("cp1252", "latin-1")
        assert (found.train.options["encoding"] == "cp1252") == is_guess
        assert any("Windows-1252" in warning for warning in found.reading.warnings) == is_guess

    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            ("привет, мир", "cp1251"),
            ("miło łatwo, źle żółw", "cp1250"),
            ("καλημέρα κόσμε", "cp1253"),
            ("你好世界", "gbk"),
            ("こんにちは", "shift-jis"),
        ],
    )
    def test_that_would_be_garbled(self, text, encoding):
        content = f"text\tlabel\n{text}\ta\nfine\tb\n".encode(encoding)
        assert refused(("t.tsv", content)).code == "invalid_utf8"

    def test_of_which_one_line_is_damaged(self):
        content = "text\tlabel\nschön und grün\ta\nsüß".encode() + b"\xff\tb\n"
        fault = refused(("t.tsv", content))
        assert fault.message.startswith("train, line 3: byte 6 is not UTF-8 (0xff)")

    def test_of_json(self):
        content = '{"text": "süß", "label": "a"}\n{"text": "z", "label": "b"}\n'
        assert read(("t.jsonl", content.encode("utf-16"))).rows["text"] == ["süß", "z"]
        assert refused(("t.jsonl", content.encode("latin-1"))).code == "invalid_utf8"


def test_what_is_packed_without_saying_so():
    assert read(("t.csv", gzip.compress(b'text,label\n"x, y",a\nz,b\n'))).rows == EXPECTED


class TestJson:
    @pytest.mark.parametrize(
        ("value", "form"),
        [
            (ROWS, "list of objects"),
            ({"data": ROWS, "version": 1}, "list under 'data'"),
            ({"rows": [{"row_idx": i, "row": row} for i, row in enumerate(ROWS)]}, "list under 'rows'"),
            ({"train": ROWS, "validation": ROWS}, "list under 'train'"),
            ({name: [row[name] for row in ROWS] for name in ROWS[0]}, "lists of columns"),
            (
                {name: {str(i): row[name] for i, row in enumerate(ROWS)} for name in ROWS[0]},
                "pandas, columns",
            ),
            ({str(i): row for i, row in enumerate(ROWS)}, "pandas, index"),
            (
                {"columns": ["text", "label"], "index": [0, 1], "data": [list(row.values()) for row in ROWS]},
                "pandas, split",
            ),
            ({"schema": {"fields": []}, "data": ROWS}, "pandas, table"),
        ],
    )
    @pytest.mark.parametrize("indent", [None, 1])
    def test_forms_of_a_table(self, value, form, indent):
        found = read(("t.json", json.dumps(value, indent=indent).encode()))
        assert found.rows == EXPECTED
        assert found.train.options["form"] == form

    @pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.ndjson"])
    def test_what_is_told_by_the_content(self, name):
        lines, whole = jsonl(ROWS), json.dumps(ROWS).encode()
        objects = b"".join(json.dumps(row, indent=2).encode() for row in ROWS)
        for content in (lines, whole, whole.replace(b"},", b"},\n\n"), b"\xef\xbb\xbf" + whole, objects):
            assert read((name, content)).rows == EXPECTED

    def test_rows_over_many_parts_of_a_file(self):
        rows = [{"text": f"{i} " + "x" * (i % 997), "label": "ab"[i % 2]} for i in range(3000)]
        found = read(("t.json", json.dumps(rows).encode()))
        assert found.rows["text"] == [row["text"] for row in rows]

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b'[{"text": "x", "label": "a"}', "row 2: not valid JSON"),
            (b'[{"text": "x", "label": "a"} {"text"', "a comma is missing"),
            (b'[{"text": "x", "label": "a"}] []', "something follows the list"),
            (b'[{"text": "x", "label": "a"}, {"text": }]', "row 2: not valid JSON"),
            (b'{"train": [{}], "other": [{}], "third": [{}]}', "no column 'text'"),
            (b'{"a": [{}], "b": [{}]}', "several lists of rows: 'a', 'b'"),
            (b'{"text": ["x", "y"], "label": ["a"]}', "'text' has 2, 'label' has 1"),
            (b'[{"text": "' + b"x" * 2**21 + b'", "label": "a"}]', "longer than 1,048,576 characters"),
            (b"[" * 100_000, "not valid JSON"),
        ],
    )
    def test_what_is_no_table(self, content, says):
        assert says in refused(("t.json", content)).message


CONLL = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\n"


class TestConll:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("t.conll", CONLL),
            ("t.txt", CONLL),
            ("t.conll", CONLL.replace("\n", "\r\n")),
            ("t.tsv", "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n\n\n"),
            ("t.csv", "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n"),
            ("t.csv", "EU,B-ORG\nrejects,O\n\nPeter,B-PER\n"),
            ("t.csv", "word,tag\nEU,B-ORG\nrejects,O\n\nPeter,B-PER\n"),
            ("t.bio", "# id = 1\n1\tEU\tB-ORG\n2\trejects\tO\n \n# id = 2\n1\tPeter\tB-PER"),
            ("t.conll", "# id 1 d=x\nEU _ _ B-ORG\nrejects _ _ O\n\n# id 2 d=y\nPeter _ _ B-PER\n"),
        ],
    )
    def test_sentences(self, name, content):
        found = read((name, content.encode()), **TAGGING)
        assert found.rows == {"tokens": [["EU", "rejects"], ["Peter"]], "tags": [["B-ORG", "O"], ["B-PER"]]}
        assert found.train.format == "conll"

    def test_documents_and_hash_signs(self):
        content = CONLL + "# X Y O\nPeter NNP B-NP B-PER\n\n"
        found = read(("t.conll", content.encode()), **TAGGING)
        assert found.rows["tokens"][-1] == ["Peter", "#", "Peter"]
        [boundaries] = found.train.left_out
        assert (boundaries.reason, boundaries.rows, boundaries.first) == (
            "-DOCSTART- separates documents",
            1,
            [1],
        )

    def test_columns_that_the_client_chooses(self):
        content = CONLL.replace("B-VP O", "O O")
        found = read(("t.conll", content.encode()), columns={"tags": "3"}, **TAGGING)
        assert found.rows["tags"] == [["B-NP", "O"], ["B-NP"]]
        assert found.train.columns == {"tokens": "1", "tags": "3"}

    def test_several_columns_of_tags(self):
        content = "1\tEU\tB-ORG\tO\n2\tin\tO\tB-X\n"
        found = read(("t.tsv", content.encode() + b"\n" + content.encode()), **TAGGING)
        assert found.rows["tags"] == [["O", "B-X"]] * 2
        assert "Columns that look like tags, too, are 3" in found.reading.warnings[0]

    def test_lines_that_lack_a_column(self):
        fault = refused(
            ("t.conll", b"EU B-ORG\nrejects\n\nPeter B-PER\n"), ("d.conll", CONLL.encode()), **TAGGING
        )
        assert fault.message == (
            "train, line 2: 1 columns where most lines have 2. Write a token and its tag in each line."
        )

    def test_unlabeled_sentences(self):
        for unlabeled in (("u.conll", b"EU\nrejects\n\nPeter\n"), ("u.txt", b"EU rejects\nPeter\n")):
            found = read(("t.conll", CONLL.encode()), unlabeled=unlabeled, **TAGGING)
            assert found.stored["unlabeled"] == {"tokens": [["EU", "rejects"], ["Peter"]]}

    def test_one_token_a_row(self):
        content = b"tokens,tags\n" + b"EU,B-ORG\nrejects,O\n" * 10
        assert refused(("t.csv", content), **TAGGING).code == "one_token_rows"


def test_plain_text_is_a_text_a_line():
    found = read(("t.txt", b"one\n\n two, three\n"), task="masked_language_modeling")
    assert found.rows == {"text": ["one", "two, three"]}
    assert refused(("t.txt", b"one\ntwo\n")).code == "unknown_format"


@pytest.mark.parametrize(
    ("name", "says"), [("t.xlsx", "CSV UTF-8"), ("t.spacy", "to_json"), ("t.pkl", "executed")]
)
def test_formats_that_need_a_conversion(name, says):
    assert says in refused((name, b"x")).message
