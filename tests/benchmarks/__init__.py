"""Our speed as ratios against a stock server and a raw limit, all three driven by one load in one run."""
