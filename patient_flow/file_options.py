"""Options that the commands ``import`` and ``reconcile`` share: how files are read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from patient_flow.importing import Options


@dataclass(frozen=True)
class FileOptions:
    """The options as an operator gave them."""

    as_of: str | None
    encoding: str | None
    separator: str | None
    accept_overlap: bool
    dry_run: bool

    def import_options(self, timezone: str) -> Options:
        """As ``importing`` takes them: a local time is one of ``timezone``.

        Raises ``OperatorError`` for a time that cannot be read.
        """
        from patient_flow.importing import Options, instant

        taken_at = instant(self.as_of, timezone)
        return Options(taken_at, self.encoding, self.separator, self.accept_overlap, self.dry_run)


def file_options(
    *, as_of: str, accept_overlap: str, dry_run: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options to a command, which gets them as ``given``; the arguments are the helps of those that differ."""
    options = (
        click.option("--as-of", metavar="TIME", help=as_of),
        click.option("--encoding", help="Encoding of text files  [default: guessed, and stated]"),
        click.option("--separator", help="Separator of CSV files; \\t for the tab  [default: guessed, and stated]"),
        click.option("--accept-overlap", is_flag=True, help=accept_overlap),
        click.option("--dry-run", is_flag=True, help=dry_run),
    )

    def added(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_given(**values: Any) -> None:
            given = FileOptions(**{name: values.pop(name) for name in FileOptions.__dataclass_fields__})
            command(given=given, **values)

        return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), with_given)

    return added
