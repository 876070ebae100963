"""The teacher as a competent author writes it without thinking of speed, and each of its options as a switch.

It is the other side of the speed benchmarks and no part of the package: `options` names what is slow; `ranker`,
`prompts`, `experts` and `training` are the naive system; `compose` puts single options back into the package's own
teacher; `checks` tells whether two variants compute the same.
"""
