"""What is wrong with a text that is no TOML, in the words of somebody who writes their first mapping file."""

from __future__ import annotations

import re
import tomllib

from patient_flow.dialects.lines import unfinished_line

_LINE = re.compile(r"line (\d+)")
_BARE_KEY = re.compile(r"[A-Za-z0-9_.-]+")
_TABLE = re.compile(r"\s*\[\[?\s*(?P<name>[^\]]*?)\s*\]")
_STATEMENT = re.compile(r"""\s*(?P<key>[^="'\[{#]+?)\s*=\s*(?P<value>.*?)\s*$""")
_PLAIN_VALUE = re.compile(r"(true|false|[-+]?[\d.:T_ -]+|[\"'\[{].*)")


def explain(text: str, error: tomllib.TOMLDecodeError) -> tuple[int, str]:
    """(line, problem with its remedy)."""
    stated = _LINE.search(str(error))
    lines = text.split("\n")
    begun = unfinished_line(text) if stated is None or "Unclosed" in str(error) else None
    number = begun or (int(stated[1]) if stated else text.rstrip("\n").count("\n") + 1)
    line = lines[number - 1] if number <= len(lines) else ""
    return number, f"this is not TOML: {_remedy(line, str(error))}"


def _remedy(line: str, problem: str) -> str:
    for remedy in (_of_key, _of_value, _of_structure):
        found = remedy(line, problem)
        if found:
            return found
    return problem


def _of_key(line: str, problem: str) -> str | None:
    table = _TABLE.match(line)
    if table and not _BARE_KEY.fullmatch(table["name"]) and '"' not in line and "'" not in line:
        return f'a name with blanks or other signs needs quotes: write it as in [mapping."{table["name"]}"]'
    statement = _STATEMENT.match(line)
    if statement and not _BARE_KEY.fullmatch(statement["key"]):
        return f'a name with blanks or other signs needs quotes: write "{statement["key"]}" = ...'
    if statement is None and ":" in line and "=" not in line and "Expected '='" in problem:
        return "a value follows its name after =, not after a colon"
    return None


def _of_value(line: str, problem: str) -> str | None:
    statement = _STATEMENT.match(line)
    if statement is None:
        return None
    value = statement["value"]
    if not value or value.startswith("#"):
        return f"{statement['key']} has no value: write one after ="
    if "\\" in value and '"' in value and ("escape" in problem.lower() or "Unescaped" in problem or "hex" in problem):
        return "a backslash in double quotes has a meaning of its own: put the text in single quotes, as in '\\d+'"
    if value[0] in "“”„‘’":
        return "typographic quotes are no quotes: use \" or '"
    if "Invalid value" in problem and re.search(r"[\s=,\[](True|False)\b", f"={value}"):
        return "write true or false in small letters"
    if not _PLAIN_VALUE.match(value):
        return f'a text needs quotes: write {statement["key"]} = "{value}"'
    return None


def _of_structure(line: str, problem: str) -> str | None:
    if "Cannot declare" in problem or "Cannot mutate" in problem:
        name = line.strip() or "this table"
        return f"{name} stands twice in one mapping: join both, or begin the next mapping with a line [[mapping]]"
    if "Cannot overwrite" in problem:
        return f"{line.strip().split('=')[0].strip() or 'this name'} stands twice: keep one of both"
    if "Unterminated" in problem or "Illegal character '\\n'" in problem:
        return "a text is not closed: put the same quote at its end"
    if "Unclosed" in problem:
        return "a list or table is not closed: put ] or } at its end"
    return None
