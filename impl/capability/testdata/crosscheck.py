"""Adds to each token that tokens.py writes what pymacaroons 0.13.0 says to it. Needs pymacaroons; tests do not run it."""
import base64, json, re, sys

import pymacaroons
from pymacaroons.serializers.binary_serializer import BinarySerializer

# The third parties of tokens.py.
KEYS = {b"who are you": b"a key that only the third party knows", b"is it time": b"a key that only the third party knows"}
NONCE = bytes(range(24))


class Sequence(BinarySerializer):
    """Reads one macaroon after the other; rest is what follows the last one."""

    def _parse_packet_v2(self, data):
        self.rest, packet = super()._parse_packet_v2(data)
        return self.rest, packet


def make(like, key):
    """The same macaroon once more, from its conditions alone."""
    m = pymacaroons.Macaroon(location=like.location, identifier=like.identifier_bytes, key=key, version=pymacaroons.MACAROON_V2)
    for c in like.caveats:
        if c.verification_key_id is None:
            m.add_first_party_caveat(c.caveat_id_bytes)
        else:
            m.add_third_party_caveat(c.location or "", KEYS[c.caveat_id_bytes], c.caveat_id_bytes, nonce=NONCE)
    return m


def judge(text, key):
    try:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
            return "refuses"  # its decoder takes more
        b = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        s, rest, all = Sequence(), b, []
        while rest:
            if rest[0] != 2:
                return "refuses"  # version 1, or nothing
            all.append(s.deserialize_raw(rest))
            rest = s.rest
        v = pymacaroons.Verifier()
        v.satisfy_general(lambda condition: True)
        v.verify(all[0], key, discharge_macaroons=all[1:])
    except Exception:  # it raises that as well; every token that we accept has to get past here
        return "refuses"
    try:
        root = make(all[0], key)
        made = s.serialize_raw(root)
        for d in all[1:]:
            made += s.serialize_raw(root.prepare_for_request(make(d, KEYS[d.identifier_bytes])))
        return "makes" if made == b else "verifies"
    except (KeyError, TypeError):
        return "verifies"  # a third party that nobody knows, or a macaroon that it can not write


lines = sys.stdin.read().split("\n")
key = bytes.fromhex(json.loads("".join(lines))["node"]["root_key"])
for i, line in enumerate(lines):
    if line.startswith('  {"id"'):
        v = json.loads(line.rstrip(","))
        v["pymacaroons"] = judge(v["token"], key)
        lines[i] = "  " + json.dumps(v) + ("," if line.endswith(",") else "")
sys.stdout.write("\n".join(lines))
