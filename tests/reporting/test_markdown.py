import pytest

from recdistill.reporting.document import Bullets, Code, Document, Figure, Heading, Paragraph, Remark, table
from recdistill.reporting.markdown import escape, to_markdown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b*c`d", r"a\_b\*c\`d"),
        ("<img src=x>", r"\<img src=x\>"),
        ("a | b", r"a \| b"),
        ("[x](y)", r"\[x\](y)"),
        ("# no", r"\# no"),
        ("- no", r"\- no"),
        ("1. no", r"\1. no"),
        ("-0.5", "-0.5"),
        ("a\n\nb", "a b"),
        ("&lt;", "&amp;lt;"),
        ("$x$", r"\$x\$"),
        ("back\\slash", r"back\\slash"),
    ],
)
def test_text_is_nothing_but_text(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_a_document() -> None:
    blocks = (
        Heading("Results"),
        Paragraph("One."),
        Remark("None."),
        Bullets(("a", "b")),
        table(["model", "value"], [["x|y", "1"], ["z", "2"]], "Caption.", strong=[(1, 1)]),
        Figure("plot", "<svg/>", "A plot"),
        Code("a: ```b```", "yaml", title="Settings"),
    )
    assert (
        to_markdown(Document("My *run*", "en", blocks, ""))
        == r"""# My \*run\*

## Results

One.

> None.

- a
- b

| model | value |
| --- | ---: |
| x\|y | 1 |
| z | **2** |

Caption.

![A plot](figures/plot.svg)

A plot

Settings:

````yaml
a: ```b```
````
"""
    )
