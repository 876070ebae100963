"""When two ids are one: whole numbers that a float has written, and nothing else.

pandas makes floats of a column of integers with gaps, so that `7` becomes `7.0`; R writes `1e+05`, Spark `1.2E7`, a
decimal column `7.00`. All of them mean the whole number. Everything else that looks alike stays apart: `007` is another
product than `7`, and so is `a1` than `A1`. Where a whole file matches nothing, such likenesses are told
(:func:`recdistill.data.id_forms.loose_form`).

Floats tell whole numbers apart up to a limit only, and spreadsheets cut long ones to six digits. Ids that have come
through there may have become one another, which nobody can undo: they are refused.
"""

from decimal import Decimal

import polars as pl

from recdistill.data.id_forms import FLOAT_FORM

CUT_FORM = r"^-?[0-9](?:[.,][0-9]{5}e\+[0-9]{2}|(?:[.,][0-9]{1,5})?E\+[0-9]{2})$"
"""How spreadsheets and `%g` write a long number: six digits of it."""

SIX_DIGITS = 10**6
EXACT = {pl.Float64: 2**53, pl.Float32: 2**24, pl.Float16: 2**11}
"""From here on floats of a type cannot tell a whole number from the next."""


class Merged(Exception):  # noqa: N818 - nothing has gone wrong in the program
    """Ids may have become one another before they came here; the message names one of them and says how."""

    def __init__(self, value: str, reason: str) -> None:
        super().__init__(f"{value!r} {reason}")


def whole_numbers(column: pl.Series) -> pl.Series:
    """A column of floats or decimals as the whole numbers that it holds; as it is where one has a fraction.

    Raises:
        Merged: a float is too large to be told from its neighbours.
    """
    if column.dtype.is_decimal():
        whole = column.cast(pl.Decimal(38, 0), strict=False)
        return whole if bool((whole.cast(column.dtype, strict=False) == column).all()) else column
    finite = column.filter(column.is_finite())
    large = finite.filter(finite.abs() >= EXACT[type(column.dtype)])  # type: ignore[index]
    if len(large):
        raise Merged(str(large[0]), _through_floats(EXACT[type(column.dtype)]))  # type: ignore[index]
    return column.cast(pl.Int64, strict=False) if bool((finite == finite.round()).all()) else column


def whole_forms(distinct: pl.Series) -> dict[str, str]:
    """Of distinct ids as text: those in a float's form → the whole numbers they mean; empty where one has a fraction.

    `7.0` beside `7.5` is no float's doing: such columns hold codes, of diseases for example, and `7.0` stays.

    Raises:
        Merged: a number is too large for the float that wrote it, or was cut to six digits.
    """
    cut = distinct.filter(distinct.str.contains(CUT_FORM))
    for text in cut.to_list():
        if abs(Decimal(text.replace(",", "."))) >= SIX_DIGITS:
            raise Merged(text, "has been cut to six digits by the tool that wrote it")
    forms = distinct.filter(distinct.str.contains(FLOAT_FORM)).to_list()
    numbers = {text: Decimal(text) for text in forms}
    if not all(_is_whole(number) for number in numbers.values()):
        return {}
    for text, number in numbers.items():
        if abs(number) >= EXACT[pl.Float64]:
            raise Merged(text, _through_floats(EXACT[pl.Float64]))
    return {text: str(int(number)) for text, number in numbers.items()}


def _is_whole(number: Decimal) -> bool:
    """Also for exponents too large to be written out."""
    return number == number.to_integral_value()


def _through_floats(limit: int) -> str:
    return f"came through floats, which cannot tell whole numbers apart from {limit} on"
