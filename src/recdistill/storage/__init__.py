"""What a run leaves on disk: files, folders of steps, digests."""
