"""Date-times as people and programs write them, as seconds since 1970, UTC."""

import polars as pl

MICROSECONDS = 1_000_000

FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M%#z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y%m%dT%H%M%S%#z",
    "%Y%m%dT%H%M%S",
    "%Y%m%dT%H%M%#z",
    "%Y%m%dT%H%M",
)
"""ISO 8601 with `T` or a blank, with or without seconds, fraction and zone; without a zone it is UTC."""

ODD = (
    r"^(\d{4})(?:[-/.](\d{1,2})[-/.](\d{1,2})|(\d{2})(\d{2}))"
    r"(?:[Tt_ ]\s*(\d{1,2}):?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(?:UTC|GMT|[Zz]|([+-]\d{2}):?(\d{2})?)?$"
)
"""What else is read, slowly: `2020/1/5 9:05`, a decimal comma, blanks around. The year comes first: which of 5/1/2020
is the month nobody can tell."""


def seconds_of_text(column: pl.Series) -> pl.Series:
    """Seconds, Int64 where all are whole and Float64 otherwise, of date-times as text; null where it is none.

    Args:
        column: String.
    """
    moments = _by_format(column, FORMATS[0])
    for form in (*FORMATS[1:], ""):
        # Only what no form before has fitted is tried with the next: most files hold one form only.
        left = moments.is_null() & column.is_not_null()
        if not left.any():
            break
        rows = left.arg_true()
        values = column.gather(rows)
        found = _by_format(values, form) if form else _odd(values)
        if found.null_count() == len(found):
            continue
        moments = found if len(found) == len(moments) else moments.scatter(rows, found)
    return seconds_of_moments(moments)


def seconds_of_moments(moments: pl.Series) -> pl.Series:
    """The same of a column of dates or moments; a time zone other than UTC counts.

    Args:
        moments: Date or Datetime.
    """
    micro = moments.cast(pl.Datetime("us")).cast(pl.Int64)
    return micro // MICROSECONDS if (micro % MICROSECONDS == 0).all() else micro / MICROSECONDS


def _by_format(values: pl.Series, form: str) -> pl.Series:
    """Moments without a zone, in UTC, where a value has this form; null elsewhere."""
    zone = "UTC" if form.endswith("z") else None
    moments = values.str.to_datetime(form, strict=False, time_unit="us", time_zone=zone)
    return moments.dt.replace_time_zone(None) if zone else moments


def _odd(values: pl.Series) -> pl.Series:
    """The same for what :data:`ODD` describes, by way of the first of :data:`FORMATS`."""
    pieces = pl.DataFrame(values.str.strip_chars().str.extract_groups(ODD).struct.unnest())
    year, month, day, month_2, day_2, hour, minute, second, fraction, zone, zone_minute = (
        pl.col(name) for name in pieces.columns
    )
    numbers = [pl.coalesce(month, month_2), pl.coalesce(day, day_2)]
    numbers += [part.fill_null("0") for part in (hour, minute, second)]
    zones = [zone.fill_null("+00"), zone_minute.fill_null("00")]
    parts = [year, *(part.str.zfill(2) for part in numbers), fraction.fill_null("0"), *zones]
    return _by_format(pieces.select(pl.format("{}-{}-{}T{}:{}:{}.{}{}:{}", *parts)).to_series(), FORMATS[0])
