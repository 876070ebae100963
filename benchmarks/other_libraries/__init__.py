"""Other libraries on our prepared data: their SASRec, ranked by one and the same code, and TRL's packing."""
