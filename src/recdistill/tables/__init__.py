"""Reading people's tables: CSV and its kin, Parquet, folders of them, RecBole's atomic files."""

__all__: list[str] = []
