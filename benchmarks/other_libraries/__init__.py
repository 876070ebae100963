"""Each library's SASRec, trained its own way on our prepared data, ranked by one and the same code."""
