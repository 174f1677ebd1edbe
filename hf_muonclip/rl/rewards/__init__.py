"""What a reward is worth: how it is checked before it may train, what happens where it cannot be measured, Specs."""
