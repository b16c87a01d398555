"""The style sheet of the levels of occupancy, from ``contracts.fullness``."""

from __future__ import annotations

from patient_flow.contracts.fullness import LEVELS


def style_sheet() -> str:
    """Class ``level-NAME`` per level, as background and filling; dark where the reader prefers it, light on paper."""
    light = "".join(f" --level-{level.name}: {level.light};" for level in LEVELS)
    dark = "".join(f" --level-{level.name}: {level.dark};" for level in LEVELS)
    classes = "\n".join(
        f".level-{level.name} {{ background: var(--level-{level.name}); fill: var(--level-{level.name}); }}"
        for level in LEVELS
    )
    return f":root {{{light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{{dark} }} }}\n{classes}\n"
