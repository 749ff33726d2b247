"""What an account in Hangzhou looks like, held against the trust page: the mirror of handlers/operations/evidence.

A check takes the account and the policy and returns what it saw that contradicts the claim: names and numbers, empty when the claim
holds. What the stacks made is found through their resources; what it is like now is asked of the product itself. A check that
cannot look is not green: it says so.
"""
