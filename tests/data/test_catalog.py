import re

import pytest

from recdistill.data.catalog import Catalog, Match, is_ambiguous, plain_name, short_name
from recdistill.errors import UserError

TITLES = [
    "Toy Story",
    "Usual Suspects, The",
    "Heat",
    "Godfather, The",
    "Godfather: Part II, The",
    "Chasing Amy",
    "Chasing Amy",
    "Sabrina (1954)",
    "Sabrina (1995)",
    "Amélie & Co",
    "Schindler's List",
    "Star Wars",
    "Star Trek",
    "Heathers",
    "Terminator 2: Judgment Day",
    "Terminator, The",
    "千と千尋の神隠し",
    "3",
    "$",
]


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
        ("$", "$", "title"),
    ],
)
def test_one_item_is_clearly_meant(catalog: Catalog, text: str, title: str, kind: str) -> None:
    matches = catalog.search(text)
    assert (matches[0].title, matches[0].kind) == (title, kind)
    assert not is_ambiguous(matches)


@pytest.mark.parametrize(
    ("text", "items"),
    [("Chasing Amy", [6, 7]), ("chasing", [6, 7]), ("sabrina", [8, 9]), ("star", [12, 13])],
)
def test_several_items_may_be_meant(catalog: Catalog, text: str, items: list[int]) -> None:
    matches = catalog.search(text)
    assert is_ambiguous(matches)
    assert sorted(match.item for match in matches[:2]) == items


def test_an_id_comes_before_the_title_that_reads_the_same(catalog: Catalog) -> None:
    matches = catalog.search("3")
    assert [(match.item, match.kind) for match in matches] == [(3, "id"), (18, "title")]
    assert str(matches[0]) == "'Heat' [3]"
    assert not is_ambiguous(matches)


def test_matches_come_best_first_each_item_once(catalog: Catalog) -> None:
    matches = catalog.search("heat")
    assert [match.title for match in matches] == ["Heat", "Heathers"]
    assert matches[0] == Match(3, "3", "Heat", "name", 98.0)
    assert len(catalog.search("e", limit=4)) == 4


@pytest.mark.parametrize("text", ["Xylophonic Quagmire", "", "???", "0"])
def test_nothing_like_it_names_the_nearest(catalog: Catalog, text: str) -> None:
    with pytest.raises(UserError, match=r"^no item is called '.*'; the nearest are .* \[.*\], .* \[.*\], .* \[.*\]$"):
        catalog.search(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Toy Stroy", "'Toy Story' [1]"),
        ("The Usual Suspekts", "'Usual Suspects, The' [2]"),
        ("terminater 2", "'Terminator 2: Judgment Day' [15]"),
        ("Star Warek", "'Star Wars' [12]"),
    ],
)
def test_a_typing_error_is_asked_about(catalog: Catalog, text: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"^no item is called {text!r}; did you mean {re.escape(meant)}"):
        catalog.search(text)


def test_the_nearest_are_near() -> None:
    catalog = Catalog(["", "a", "b"], ["", "Wild Strawberries", "Heat"])
    with pytest.raises(UserError, match=r"'Wild Strawberries' \[a\]"):
        catalog.search("Strawberry fields")


SHOP = {
    "GM-02560-A": "Brake disc 280 mm",
    "GM-05864-A": "",
    "GM-05864-B": "",
    "GM-00007-C": "Nut M8",
    "AB-1": "Bolt",
    "ab-1": "",
    "77": "Oil 5W-30",
    "078": "",
    "2001": "GM-09999-Z",
    "Slug-one": "Gear oil",
    "Ü-1": "Wiper",
}


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(["", *SHOP], ["", *SHOP.values()])


@pytest.mark.parametrize(
    ("text", "item_id", "kind"),
    [
        ("GM-02560-A", "GM-02560-A", "id"),
        ("gm-02560-a", "GM-02560-A", "id_case"),
        ("Gm-05864-b", "GM-05864-B", "id_case"),
        (" GM-05864-A ", "GM-05864-A", "id"),
        ("gm-05864-a", "GM-05864-A", "id_case"),
        ("AB-1", "AB-1", "id"),
        ("ab-1", "ab-1", "id"),
        ("SLUG-ONE", "Slug-one", "id_case"),
        ("ü-1", "Ü-1", "id_case"),
        ("77", "77", "id"),
        ("078", "078", "id"),
        ("brake disc", "GM-02560-A", "words"),
        ("Brake disc 280 mm", "GM-02560-A", "title"),
        ("m8", "GM-00007-C", "words"),
        ("GM-09999-Z", "2001", "title"),
        ("gm-09999-z", "2001", "name"),
    ],
)
def test_ids_are_found_letter_by_letter_or_but_for_case(shop: Catalog, text: str, item_id: str, kind: str) -> None:
    matches = shop.search(text)
    assert (matches[0].item_id, matches[0].kind) == (item_id, kind)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("GM-02560-B", "did you mean 'Brake disc 280 mm' [GM-02560-A]"),
        ("gm-02560", "did you mean 'Brake disc 280 mm' [GM-02560-A]"),
        ("GM-05864-C", "did you mean 'GM-05864-A' or 'GM-05864-B'"),
        ("GM 05864 A", "did you mean 'GM-05864-A'"),
        ("GM05864A", "did you mean 'GM-05864-A'"),
        ("Ab-1", "did you mean 'Bolt' [AB-1] or 'ab-1'"),
        ("aB-1", "did you mean 'Bolt' [AB-1] or 'ab-1'"),
        ("077", "did you mean 'Oil 5W-30' [77]"),
        ("77.0", "did you mean 'Oil 5W-30' [77]"),
        ("78", "did you mean '078'"),
        ("280", "did you mean 'Brake disc 280 mm' [GM-02560-A]"),
        ("30", "did you mean 'Oil 5W-30' [77]"),
        ("9999", "did you mean 'GM-09999-Z' [2001]"),
        ("Brake dics", "did you mean 'Brake disc 280 mm' [GM-02560-A]"),
    ],
)
def test_a_near_miss_is_asked_about_and_not_taken(shop: Catalog, text: str, near: str) -> None:
    with pytest.raises(UserError) as caught:
        shop.search(text)
    assert str(caught.value).startswith(f"no item is called {text!r}; {near}")


def test_an_item_without_a_title_is_called_by_its_id(shop: Catalog) -> None:
    assert shop.name(2) == "GM-05864-A"
    assert shop.search("GM-05864-A")[0] == Match(2, "GM-05864-A", "GM-05864-A", "id", 100.0)
    assert str(shop.search("GM-05864-A")[0]) == "'GM-05864-A'"


def test_padding_is_not_counted(catalog: Catalog) -> None:
    assert len(catalog) == len(TITLES)


def test_plain_and_short_names() -> None:
    assert plain_name("Misérables, Les (1995)") == "les miserables 1995"
    assert short_name("Misérables, Les (1995)") == "miserables"
    assert plain_name("Ｔｏｙ＿ｓｔｏｒｙ") == "toy story"
    assert plain_name("ガラスの仮面") == "ガラスの仮面"
    assert short_name("Blade Runner 2049") == "blade runner 2049"
    assert short_name("The (1995)") == "the"
