"""What a run leaves on disk: files, folders of steps, digests."""

__all__: list[str] = []
