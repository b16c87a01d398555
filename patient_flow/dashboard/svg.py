"""SVG and HTML elements as safe markup."""

from __future__ import annotations

from markupsafe import Markup, escape


def named(label: str, href: str) -> Markup:
    """A label, as a link where ``href`` is not empty."""
    text = tag("a", label, href=href) if href else escape(label)
    return tag("span", text, css="label", title=label)


def title(hint: str) -> Markup:
    """The text that appears over an element."""
    return tag("title", hint) if hint else Markup()


def percent(value: float) -> str:
    """A coordinate in percent of the drawing's width, at most three decimals."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def tag(name: str, *content: str, css: str = "", **attributes: object) -> Markup:
    """An element; ``content`` is escaped unless it is markup, underscores in attribute names become hyphens."""
    given = {"class": css, **attributes} if css else attributes
    written = "".join([f' {key.replace("_", "-")}="{escape(value)}"' for key, value in given.items()])
    inside = "".join([escape(part) for part in content])
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704 - every part has been escaped
