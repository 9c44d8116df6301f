"""Ten minutes of steady load with processes that die, stop and freeze at random, and nothing lost: ``make soak``."""
