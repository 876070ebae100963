from recdistill.reporting.document import Bullets, Code, Document, Figure, Heading, Paragraph, Remark, table
from recdistill.reporting.html import to_html
from recdistill.reporting.markdown import to_markdown

BAD = "<script>alert('x')</script> & \"q\""
ESCAPED = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;q&quot;"


def test_every_text_is_escaped() -> None:
    blocks = (
        Heading(BAD),
        Paragraph(BAD),
        Remark(BAD),
        Bullets((BAD,)),
        table([BAD], [[BAD]], BAD),
        Figure("plot", "<svg ></svg>", BAD),
        Code(BAD, "yaml", title=BAD),
        Code(BAD, "sh"),
    )
    page = to_html(Document(BAD, "en", blocks, BAD))
    assert "<script" not in page
    # Title, heading and its link, paragraph, remark, bullet, table and its label, figure and its label, code and title.
    assert page.count(ESCAPED) == 2 + 2 + 1 + 1 + 1 + 4 + 2 + 3


def test_links_lead_to_the_headings() -> None:
    page = to_html(Document("t", "ja", (Heading("一"), Paragraph("x"), Heading("二")), ""))
    assert '<html lang="ja">' in page
    assert '<a href="#section-2">二</a>' in page
    assert '<h2 id="section-2">二</h2>' in page


def test_tables_scroll_and_numbers_stand_right() -> None:
    page = to_html(Document("t", "en", (table(["m", "v"], [["a", "1"]], strong=[(0, 1)]),), "It scrolls."))
    assert '<div class="scroll" role="region" tabindex="0" aria-label="m"><table>' in page
    assert "It scrolls." not in page, "two columns need no scrolling"
    assert '<td class="word">a</td><td><strong>1</strong></td>' in page


def test_a_last_column_that_tells_something_is_of_words_and_its_lines_wrap() -> None:
    told = table(["m", "p", "result"], [["a", "0.1", "inconclusive, since the interval excludes 0"]], told=True)
    page = to_html(Document("t", "en", (told,), ""))
    assert '<td>0.1</td><td class="word">inconclusive, since' in page
    assert "td.word:last-child { white-space: normal;" in page
    assert "| --- | ---: | --- |" in to_markdown(Document("t", "en", (told,), ""))


def test_an_interval_has_a_line_of_its_own_and_a_wide_table_says_that_it_scrolls() -> None:
    cells = ["a", "0.1200 [0.1100, 0.1300]", "[1]", "x"]
    page = to_html(Document("t", "en", (table(["m", "v", "w", "x"], [cells], strong=[(0, 1)]),), "It scrolls."))
    assert '<strong>0.1200 <span class="ends">[0.1100, 0.1300]</span></strong></td><td>[1]</td>' in page
    assert page.index('<p class="hint">It scrolls.</p>') < page.index('<div class="scroll"')
    assert (
        "@media (max-width: 48rem) {\n  .hint { display: block; }\n  tr > :first-child { position: sticky; left: 0;"
        in page
    )
