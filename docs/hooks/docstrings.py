"""Translate the reStructuredText in docstrings (roles and math) to Markdown for the API reference."""

import re
from typing import Any

import griffe

MATH = re.compile(r"^( *)\.\. math:: ?(.*(?:\n(?:\1 +.*|\s*(?=\n\1 )))*)", re.MULTILINE)
INLINE_MATH = re.compile(r":math:`([^`]+)`")
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`(~?)\.?([^`]+)`")


class MarkdownDocstrings(griffe.Extension):
    """Rewrite every docstring that is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value, module=obj.module.path)


def to_markdown(text: str, *, module: str) -> str:
    """Return ``text`` with math between dollars and roles as links to the API pages that exist."""
    text = MATH.sub(lambda found: f"{found[1]}$$\n{found[1]}{' '.join(found[2].split())}\n{found[1]}$$", text)
    text = INLINE_MATH.sub(lambda found: f"${found[1]}$", text)
    return ROLE.sub(lambda found: _link(found[2], short=bool(found[1]), module=module), text)


def _link(target: str, *, short: bool, module: str) -> str:
    path = target if target.startswith(("pcseg.", "torch.")) else f"{module}.{target}"
    shown = target.rpartition(".")[2] if short else target
    return f'<autoref identifier="{path}" optional><code>{shown}</code></autoref>'
