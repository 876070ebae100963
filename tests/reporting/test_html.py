from recdistill.reporting.document import Bullets, Code, Document, Figure, Heading, Paragraph, Remark, table
from recdistill.reporting.html import to_html

BAD = "<script>alert('x')</script> & \"q\""
ESCAPED = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;q&quot;"


def test_every_text_is_escaped():
    blocks = (
        Heading(BAD), Paragraph(BAD), Remark(BAD), Bullets((BAD,)), table([BAD], [[BAD]], BAD),
        Figure("plot", "<svg ></svg>", BAD), Code(BAD, "yaml", title=BAD), Code(BAD, "sh"),
    )  # fmt: skip
    page = to_html(Document(BAD, "en", blocks))
    assert "<script" not in page
    # Title, heading and its link, paragraph, remark, bullet, table, figure's label and caption, code and its title.
    assert page.count(ESCAPED) == 2 + 2 + 1 + 1 + 1 + 3 + 2 + 3


def test_links_lead_to_the_headings():
    page = to_html(Document("t", "ja", (Heading("一"), Paragraph("x"), Heading("二"))))
    assert '<html lang="ja">' in page
    assert '<a href="#section-2">二</a>' in page
    assert '<h2 id="section-2">二</h2>' in page


def test_tables_scroll_and_numbers_stand_right():
    page = to_html(Document("t", "en", (table(["m", "v"], [["a", "1"]], strong=[(0, 1)]),)))
    assert '<div class="scroll"><table>' in page
    assert '<td class="word">a</td><td><strong>1</strong></td>' in page
