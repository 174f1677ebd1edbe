"""Rewards: checked before they may train, left out where they cannot be measured, and put together in Specs."""
