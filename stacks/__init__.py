"""AWS, one file one stack."""
