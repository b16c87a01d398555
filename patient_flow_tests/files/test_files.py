"""Every format that a hospital exports gives the same rows, and a file that cannot be read says why in one sentence."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from patient_flow.errors import OperatorError
from patient_flow.files import FileRefused, FilesRefused, bodies, examine, examine_all, locate

CSV = "patient_id;department;age\np1;Médecine;42\np2;ICU;\n"
HL7 = ["MSH|^~\\&|A|B", "EVN|A01", "PID|1"]


def written(folder: Path, content: bytes | str, name: str = "export") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **options: str) -> list[object]:
    found = list(bodies(examine(path, **options)))
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    return [json.loads(body) for _, body in found]


ROWS = [
    {"patient_id": "p1", "department": "Médecine", "age": "42"},
    {"patient_id": "p2", "department": "ICU", "age": ""},
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "windows-1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_csv_row_is_an_object_of_its_header_and_texts(tmp_path: Path, encoding: str, separator: str) -> None:
    content = CSV.replace(";", separator).encode(encoding)
    path = written(tmp_path, content)
    assert read(path) == ROWS
    source = examine(path)
    assert (source.separator, source.rows, source.header) == (separator, 2, ("patient_id", "department", "age"))
    assert any("separator guessed" in note for note in source.notes)
    guessed = encoding in ("windows-1252", "utf-16-le")
    assert any(encoding in note for note in source.notes) == guessed


def test_quotes_blank_lines_and_trailing_separators_are_read_as_spreadsheets_write_them(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b,\r\n"x, ""y""\nz",1,\r\n\r\n2,3,\r\n')
    assert read(path) == [{"a": 'x, "y"\nz', "b": "1"}, {"a": "2", "b": "3"}]


def test_a_row_with_another_number_of_columns_is_kept_as_what_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n1,2\n3\n4,5\n")
    assert read(path) == [{"a": "1", "b": "2"}, ["3"], {"a": "4", "b": "5"}]
    assert any("1 row has another" in note and "row 2" in note for note in examine(path).notes)


def test_json_comes_as_lines_as_a_list_and_as_one_object(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(row) for row in ROWS)
    assert read(written(tmp_path, lines)) == ROWS
    assert read(written(tmp_path, "\ufeff" + lines.replace("\n", "\r\n\r\n"))) == ROWS
    assert read(written(tmp_path, json.dumps(ROWS, indent=2))) == ROWS
    assert read(written(tmp_path, json.dumps(ROWS))) == ROWS
    assert read(written(tmp_path, json.dumps(ROWS[0], indent=2))) == ROWS[:1]
    assert read(written(tmp_path, json.dumps(ROWS, ensure_ascii=False).encode("windows-1252"))) == ROWS
    assert read(written(tmp_path, lines.encode("utf-16"))) == ROWS


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_the_messages_of_hl7_batches_come_without_envelopes_and_frames(tmp_path: Path, end: bytes) -> None:
    message = end.join(line.encode() for line in HL7) + end
    batch = b"FHS|^~\\&" + end + b"BHS|^~\\&" + end + message * 2 + b"BTS|2" + end + b"FTS|1" + end
    framed = b"".join(b"\x0b" + message + b"\x1c\r" for _ in range(2))
    for content in (batch, framed, message * 2, message + end + message):
        found = [body for _, body in bodies(examine(written(tmp_path, content)))]
        assert found == ["".join(f"{line}\r" for line in HL7).encode()] * 2


def test_parquet_rows_keep_types_and_instants(tmp_path: Path) -> None:
    at = datetime(2026, 3, 20, 10, tzinfo=UTC)
    frame = pl.DataFrame({"patient_id": ["p1", None], "age": [42, None], "at": [at, at], "day": [at.date()] * 2})
    path = tmp_path / "export.parquet"
    frame.write_parquet(path, row_group_size=1)
    at_text = "2026-03-20T10:00:00.000000+00:00"
    assert read(path) == [
        {"patient_id": "p1", "age": 42, "at": at_text, "day": "2026-03-20"},
        {"patient_id": None, "age": None, "at": at_text, "day": "2026-03-20"},
    ]


@pytest.mark.parametrize("content", [CSV, "\n".join(json.dumps(row) for row in ROWS), "\r".join(HL7 * 3)])
def test_reading_goes_on_after_any_row_also_of_a_compressed_file(tmp_path: Path, content: str) -> None:
    half = len(content.encode()) // 2
    members = gzip.compress(content.encode()[:half]) + gzip.compress(content.encode()[half:])
    for path in (written(tmp_path, content, "plain"), written(tmp_path, members, "packed.gz")):
        source = examine(path)
        everything = list(bodies(source))
        assert source.rows == len(everything) > 1
        for after in range(len(everything) + 1):
            assert list(bodies(source, after)) == everything[after:]


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (b"", {}, "the file is empty"),
        (b" \n\n", {}, "the file is empty"),
        (b"PK\x03\x04rest", {}, "save the sheet as CSV"),
        (b"%PDF-1.7", {}, "export the data as CSV"),
        (b"\xd0\xcf\x11\xe0...", {}, "old Excel"),
        (b"Obj\x01...", {}, "--capture"),
        (b"<?xml version='1.0'?>", {}, "XML"),
        (gzip.compress(CSV.encode(), mtime=0)[:-9], {}, "damaged or cut off"),
        (b"PAR1 and nothing more", {}, "Parquet file cannot be read"),
        (b"a;b\n", {}, "no row below"),
        (b"hello world\nhello again\n", {}, "one column only"),
        (b"a;b\n1;2\n", {"separator": ","}, "one column only"),
        (b"a;b\n1;2\n", {"separator": "::"}, "must be one character"),
        (b"p1;2026-03-20;42\np2;2026-03-21;43\n", {}, "put a header above it"),
        (b"a;;c\n1;2;3\n", {}, "column 2 of the header has no name"),
        (b"a;a;c\n1;2;3\n", {}, "names a twice"),
        (b"a;b\n1;2;3\n4;5;6\n", {}, "no row has as many"),
        (CSV.encode("windows-1252"), {"encoding": "utf-8"}, "name the right one with --encoding"),
        (CSV.encode(), {"encoding": "utf-88"}, "there is no encoding 'utf-88'"),
        (CSV.encode(), {"encoding": "base64"}, "there is no encoding 'base64'"),
        (b'{"a": 1}\n{"a": 2}\n{"a"', {}, "the last line (3) is no JSON"),
        (b'[{"a": 1}, {"a": 2', {}, "lack a bracket"),
        (b"[]", {}, "the JSON list is empty"),
        (b"BHS|^~\\&\rMSH|^~\\&|\rPID|1\r", {}, "has no BTS"),
        (b"BHS|^~\\&\rMSH|^~\\&|\rBTS|5\r", {}, "state 5 messages and hold 1"),
        (b"BHS|^~\\&\rBTS|0\r", {}, "no message"),
        (b"a,b\x00\x01\n", {}, "zero bytes"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(
    tmp_path: Path, content: bytes, options: dict[str, str], expected: str
) -> None:
    with pytest.raises(FileRefused) as refused:
        list(bodies(examine(written(tmp_path, content, "export.dat"), **options)))
    assert str(refused.value).startswith("export.dat: ")
    assert expected in str(refused.value)


def test_the_faults_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, content, name) for name, content in (("a.csv", b""), ("b.csv", CSV), ("c.csv", b"a;b\n"))
    ]
    with pytest.raises(FilesRefused) as refused:
        examine_all([*paths, tmp_path / "gone.csv"])
    assert str(refused.value) == (
        "3 of 4 files cannot be read, and none is imported: a.csv: the file is empty; "
        "c.csv: there is a header and no row below it; gone.csv: there is no such file"
    )
    assert [source.rows for source in examine_all(paths[1:2])] == [2]


def test_an_open_quote_that_swallows_the_file_is_named(tmp_path: Path) -> None:
    content = 'a,b\n1,"2\n' + "3,4\n" * 300_000
    with pytest.raises(FileRefused, match="a quote may lack"):
        examine(written(tmp_path, content))


def test_files_are_found_in_folders_and_by_patterns_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.csv", "b/10.csv", "a/1.csv", ".hidden/x.csv", "_SUCCESS"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert [path.name for path in locate(str(tmp_path))] == ["1.csv", "10.csv", "2.csv"]
    assert [path.name for path in locate(str(tmp_path / "*" / "1*.csv"))] == ["1.csv", "10.csv"]
    assert locate(str(tmp_path / "a" / "1.csv")) == [tmp_path / "a" / "1.csv"]
    with pytest.raises(OperatorError, match="no such file"):
        locate(str(tmp_path / "*.parquet"))
