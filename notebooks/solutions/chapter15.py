"""Solutions of chapter 15."""

# 1. m = 2 · 0.8^k − 1 is below zero once 0.8^k is below one half: 0.8³ = 0.512, 0.8⁴ = 0.41.
turns = 4

# 2. At the left end of the middle panel the second layer's mean is near zero; the first layer's and the
#    embedding's are clearly below. Its band is wide: seeds disagree.
part = "experts, layer 2"

# 3. (open) It bids too much for rows that few would click. The CTR is low there, so each single bid is
#    small, but most rows are like that. The log has no purchases without clicks, but it knows
#    click-and-buy for every impression: sort all impressions by their predicted CTR, cut them into ten
#    parts, and compare in each part the mean of CTR · CVR with the share of impressions that were clicked
#    and bought. Where the CVR is too high, the parts of low CTR show it. A few impressions bought at random
#    would tell more, since the shop's own bids chose which rows the log has.

SOLUTIONS = {"ex1": turns, "ex2": part}
