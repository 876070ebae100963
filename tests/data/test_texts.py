from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recdistill.config import DataConfig
from recdistill.data.prepare import prepare
from recdistill.data.prepared import PreparedData
from recdistill.data.sources import open_source
from recdistill.data.texts import describe, item_texts, label
from recdistill.errors import UserError
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler

Write = Callable[[str, str | bytes], Path]

EVENTS = "user_id,item_id,timestamp\n" + "".join(f"{user},{item},{item}\n" for user in "xy" for item in (1, 2, 3, 4))
ITEMS = (
    "item_id,title,genres,release_year\n1,Toy Story (1995),Adventure|Animation,1995\n2,M*A*S*H!,,1970\n"
    "3,,(no genres listed),\n4,Four,Drama,\n"
)
TEXTS = [
    "",
    "Toy Story (1995). Genres: Adventure, Animation. Release year: 1995.",
    "M*A*S*H! Release year: 1970.",
    "",
    "Four. Genres: Drama.",
]


@pytest.fixture
def config(write: Write) -> DataConfig:
    events, items = write("e.csv", EVENTS), write("i.csv", ITEMS)
    return DataConfig(source="csv", path=str(events), items_path=str(items), min_user_events=3)


def run(config: DataConfig, folder: Path) -> PreparedData:
    with Profiler() as profiler:
        return prepare(config, 0, RunContext("cpu", profiler, folder))


def test_a_label_is_the_columns_name_as_words() -> None:
    assert [label(name) for name in ("genres", "release_year", "class", "")] == ["Genres", "Release year", "Class", ""]


def test_a_title_ends_its_sentence_once_and_stands_alone_where_nothing_else_is_known() -> None:
    assert describe("Heat", []) == "Heat"
    assert describe("Heat", [("Genres", "Crime|Drama")]) == "Heat. Genres: Crime, Drama."
    assert describe("", [("Genres", "Crime|Drama"), ("Year", "1990")]) == "Genres: Crime, Drama. Year: 1990."
    assert describe("", []) == ""
    assert describe("Who's There?", [("Year", "1990")]) == "Who's There? Year: 1990."


def test_the_padding_has_no_text_and_items_without_a_value_only_their_title() -> None:
    values = {"Genres": {"b": "Drama", "c": "(no genres listed)"}}
    assert item_texts(["", "a", "b", "c"], ["", "A", "B", "C"], values) == ["", "A", "B. Genres: Drama.", "C"]


def test_prepared_data_has_the_texts_beside_the_titles(config: DataConfig, tmp_path: Path) -> None:
    data = run(replace(config, text=("genres", "release_year")), tmp_path / "out")
    assert data.titles == ["", "Toy Story (1995)", "M*A*S*H!", "", "Four"]
    assert data.texts == TEXTS


def test_without_more_text_the_texts_are_the_titles_and_nothing_else_is_written(
    config: DataConfig, tmp_path: Path
) -> None:
    plain, more = run(config, tmp_path / "a"), run(replace(config, text=("genres",)), tmp_path / "b")
    assert plain.texts == plain.titles == more.titles
    assert "texts" not in (tmp_path / "a" / "catalog.json").read_text()
    assert plain.fingerprint != more.fingerprint
    assert plain.split_fingerprint == more.split_fingerprint


def test_another_text_is_other_data(config: DataConfig, tmp_path: Path) -> None:
    config = replace(config, text=("genres",))
    first = run(config, tmp_path / "a")
    Path(config.items_path).write_text(ITEMS.replace("Adventure", "Drama"))
    assert run(config, tmp_path / "b").fingerprint != first.fingerprint


def test_named_data_sets_have_genres(write: Write, tmp_path: Path) -> None:
    write("ratings.csv", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n")
    write("movies.csv", "movieId,title,genres\n31,Heat,Crime|Thriller\n")
    latest = DataConfig(source="ml-latest", path=str(tmp_path), text=("genres",))
    assert open_source(latest).read_items().texts == {"Genres": {"31": "Crime|Thriller"}}
    write("ratings.dat", "1::5::3::9\n")
    write("movies.dat", "5::Misérables, Les::Drama\n".encode("latin-1"))
    assert open_source(replace(latest, source="ml-1m")).read_items().texts == {"Genres": {"5": "Drama"}}
    write("a.inter", "user_id:token\titem_id:token\ttimestamp:float\n1\t5\t1\n")
    write(
        "a.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n5\tHeat\t1995\tCrime Drama\n",
    )
    recbole = replace(latest, source="recbole", text=("release_year", "class"))
    assert open_source(recbole).read_items().texts == {"Release year": {"5": "1995"}, "Class": {"5": "Crime Drama"}}


def test_mistakes_are_named(config: DataConfig) -> None:
    with pytest.raises(UserError, match=r"i\.csv: no column 'tags'; it has 'item_id', 'title'"):
        open_source(replace(config, text=("tags",)))
    with pytest.raises(UserError, match=r"data\.text: there is no items file with columns genres \(data\.items_path\)"):
        open_source(replace(config, items_path="", text=("genres",)))


def test_of_several_values_the_first_counts(config: DataConfig, caplog: pytest.LogCaptureFixture) -> None:
    Path(config.items_path).write_text(ITEMS + "1,,Horror,\n")
    found = open_source(replace(config, text=("genres",))).read_items()
    assert found.texts["Genres"]["1"] == "Adventure|Animation"
    assert "i.csv:6: 1 item has several texts in column 'genres'" in caplog.text
