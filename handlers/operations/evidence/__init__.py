"""What an account looks like, held against the trust page: one function for each claim, read-only calls alone.

A check takes the account and the policy and returns what it saw that contradicts the claim: names and numbers, empty when the claim
holds. A check that cannot look (a missing stack, a refused call) is not green: it says so.
"""
