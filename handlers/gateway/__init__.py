"""ROOM: authenticate -> authorize -> plan -> hold -> dispatch -> meter -> record. Parses no dialect and holds no provider secret."""
