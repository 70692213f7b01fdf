// Blind votes.
