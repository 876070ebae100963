"""The small models: SASRec, GRU4Rec, HSTU and LiGR blocks, their losses."""

__all__: list[str] = []
