import pytest

from recdistill.data.catalog import Catalog, Match, is_ambiguous, plain_name, short_name, with_titles
from recdistill.errors import UserError

TITLES = [
    "Toy Story", "Usual Suspects, The", "Heat", "Godfather, The", "Godfather: Part II, The", "Chasing Amy",
    "Chasing Amy", "Sabrina (1954)", "Sabrina (1995)", "Amélie & Co", "Schindler's List", "Star Wars", "Star Trek",
    "Heathers", "Terminator 2: Judgment Day", "Terminator, The", "千と千尋の神隠し", "3", "$",
]  # fmt: skip


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    ids = [str(number) for number in range(1, len(TITLES) + 1)]
    return Catalog(["", *ids], ["", *TITLES])


@pytest.mark.parametrize(
    ("text", "title", "kind"),
    [
        ("2", "Usual Suspects, The", "id"),
        ("Toy Story", "Toy Story", "title"),
        ("  Toy   Story ", "Toy Story", "title"),
        ("toy story", "Toy Story", "name"),
        ("The Usual Suspects", "Usual Suspects, The", "name"),
        ("usual suspects", "Usual Suspects, The", "name"),
        ("THE USUAL SUSPECTS (1995)", "Usual Suspects, The", "name"),
        ("godfather", "Godfather, The", "name"),
        ("the godfather part ii", "Godfather: Part II, The", "name"),
        ("sabrina 1995", "Sabrina (1995)", "name"),
        ("amelie and co", "Amélie & Co", "name"),
        ("schindlers list", "Schindler's List", "name"),
        ("heat", "Heat", "name"),
        ("Suspects", "Usual Suspects, The", "words"),
        ("judgment day", "Terminator 2: Judgment Day", "words"),
        ("schind", "Schindler's List", "part"),
        ("千尋", "千と千尋の神隠し", "part"),
        ("Toy Stroy", "Toy Story", "similar"),
        ("The Usual Suspekts", "Usual Suspects, The", "similar"),
        ("terminater 2", "Terminator 2: Judgment Day", "similar"),
        ("$", "$", "title"),
    ],
)
def test_one_item_is_clearly_meant(catalog: Catalog, text: str, title: str, kind: str) -> None:
    matches = catalog.search(text)
    assert (matches[0].title, matches[0].kind) == (title, kind)
    assert not is_ambiguous(matches)


@pytest.mark.parametrize(
    ("text", "items"),
    [("Chasing Amy", [6, 7]), ("chasing", [6, 7]), ("sabrina", [8, 9]), ("star", [12, 13]), ("Star Warek", [12, 13])],
)
def test_several_items_may_be_meant(catalog: Catalog, text: str, items: list[int]) -> None:
    matches = catalog.search(text)
    assert is_ambiguous(matches)
    assert sorted(match.item for match in matches[:2]) == items


def test_an_id_comes_before_the_title_that_reads_the_same(catalog: Catalog) -> None:
    matches = catalog.search("3")
    assert [(match.item, match.kind) for match in matches] == [(3, "id"), (18, "title")]
    assert not is_ambiguous(matches)


def test_matches_come_best_first_each_item_once(catalog: Catalog) -> None:
    matches = catalog.search("heat")
    assert [match.title for match in matches] == ["Heat", "Heathers"]
    assert matches[0] == Match(3, "3", "Heat", "name", 98.0)
    assert len(catalog.search("e", limit=4)) == 4


@pytest.mark.parametrize("text", ["Xylophonic Quagmire", "", "???", "0"])
def test_nothing_like_it_names_the_nearest_titles(catalog: Catalog, text: str) -> None:
    with pytest.raises(UserError, match=r"^no item is called '.*'; the nearest titles are '.*', '.*', '.*'$"):
        catalog.search(text)


def test_the_nearest_titles_are_near() -> None:
    catalog = Catalog(["", "a", "b"], ["", "Wild Strawberries", "Heat"])
    with pytest.raises(UserError, match="nearest titles are 'Wild Strawberries', 'Heat'"):
        catalog.search("Strawberry fields")


def test_padding_is_not_counted(catalog: Catalog) -> None:
    assert len(catalog) == len(TITLES)


def test_plain_and_short_names() -> None:
    assert plain_name("Misérables, Les (1995)") == "les miserables 1995"
    assert short_name("Misérables, Les (1995)") == "miserables"
    assert plain_name("Ｔｏｙ＿ｓｔｏｒｙ") == "toy story"
    assert plain_name("ガラスの仮面") == "ガラスの仮面"
    assert short_name("Blade Runner 2049") == "blade runner 2049"
    assert short_name("The (1995)") == "the"


def test_items_without_a_title_are_called_by_their_id() -> None:
    assert with_titles(["7", "8", "9"], {"8": "Eight", "5": "Five"}) == (
        ["", "7", "8", "9"], ["", "7", "Eight", "9"], 2,
    )  # fmt: skip
