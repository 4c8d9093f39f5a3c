"""Writes the vectors: python3 tokens.py | python3 crosscheck.py > tokens.json. Needs Python's standard library and nothing of
this repository, so that encoder, HMAC chain and sealing are those of the law and not those under test."""
import base64, hashlib, hmac, json, struct

NOW = 1800000000
KEY_ID, SECRET = bytes.fromhex("00112233445566ff"), bytes(range(0x40, 0x60))
CAP_ID = bytes(range(0xA0, 0xB0))
IDENT = b"\x01" + KEY_ID + CAP_ID
NONCE = bytes(range(24))  # random outside of tests
EXP = b"exp <= %d" % (NOW + 900)
ADDR = "b3:" + "ab" * 32


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def varint(n):
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(kind, data):
    return varint(kind) + varint(len(data)) + data


LOC, ID, VID, SIG, EOS = 1, 2, 4, 6, b"\x00"


def chain(ident, caveats, secret=SECRET):
    sig = mac(mac(b"macaroons-key-generator", secret), ident)
    for c in caveats:
        if isinstance(c, Third) and c.vid is None:
            c.vid = secretbox(c.seal or sig, NONCE, mac(b"macaroons-key-generator", c.key))
        sig = two(sig, c.vid, c.id) if isinstance(c, Third) else mac(sig, c)
    return sig


class Third:
    """A third-party caveat. Its vid is sealed by the chain, with seal where that is given."""

    def __init__(self, id=b"who are you", key=b"a key that only the third party knows", loc=b"third", vid=None, seal=None):
        self.id, self.key, self.loc, self.vid, self.seal = id, key, loc, vid, seal


def salsa(key, block, core):
    """The Salsa20 core over key and a block of 16 bytes; HSalsa20 where core is false."""
    c, k, n = (struct.unpack("<%dI" % (len(x) // 4), x) for x in (b"expand 32-byte k", key, block))
    start = [c[0], *k[:4], c[1], *n, c[2], *k[4:], c[3]]
    x = start[:]
    for _ in range(10):
        for lines in ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11), (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)):
            for i, turn in enumerate((7, 9, 13, 18)):
                at = [lines[(i + 1) % 4], lines[i], lines[(i + 3) % 4]]
                v = x[at[1]] + x[at[2]] & 0xFFFFFFFF
                x[at[0]] ^= (v << turn | v >> 32 - turn) & 0xFFFFFFFF
    if core:
        return struct.pack("<16I", *[a + b & 0xFFFFFFFF for a, b in zip(x, start)])
    return struct.pack("<8I", *[x[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)])


def secretbox(key, nonce, text):
    """XSalsa20-Poly1305 of up to 32 bytes, with the nonce in front."""
    stream = salsa(salsa(key, nonce[:16], False), nonce[16:] + bytes(8), True)
    sealed = bytes(a ^ b for a, b in zip(text, stream[32:]))
    r, s = int.from_bytes(stream[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF, int.from_bytes(stream[16:32], "little")
    acc = 0
    for i in range(0, len(sealed), 16):
        acc = (acc + int.from_bytes(sealed[i:i + 16] + b"\1", "little")) * r % (2**130 - 5)
    return nonce + ((acc + s) % 2**128).to_bytes(16, "little") + sealed


def two(key, a, b):
    return mac(key, mac(key, a) + mac(key, b))


def encode(ident, caveats, sig, loc=b"micronode"):
    out = b"\x02" + (field(LOC, loc) if loc else b"") + field(ID, ident) + EOS
    for c in caveats:
        if isinstance(c, Third):
            out += (field(LOC, c.loc) if c.loc else b"") + field(ID, c.id) + field(VID, c.vid) + EOS
        else:
            out += field(ID, c) + EOS
    return out + EOS + field(SIG, sig)


def token(*caveats, ident=IDENT, secret=SECRET, loc=b"micronode", exp=EXP):
    caveats = [c.encode("latin1") if isinstance(c, str) else c for c in caveats]
    caveats = ([exp] if exp else []) + caveats
    return encode(ident, caveats, chain(ident, caveats, secret), loc)


def text(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


vectors = []


def add(id, rule, description, tok, verdict, reason=None, twin=None, differs=None, **request):
    r = {"op": "get", "path": "/o/" + ADDR, "tenant": "00" * 16, "bytes": 0, "peer_uid": None} | request
    v = {"id": id, "rule": rule, "description": description, "token": tok if isinstance(tok, str) else text(tok), "request": r, "verdict": verdict}
    if reason:
        v |= {"reason": reason, "twin": twin}
    if differs:
        v["differs"] = differs
    vectors.append(v)


def ok(id, rule, description, tok, **request):
    add(id, rule, description, tok, "accept", **request)


def bad(id, rule, description, tok, twin, reason="unauth", differs=None, **request):
    add(id, rule, description, tok, "reject", reason, twin, differs, **request)


plain = token()

# The encoding
ok("ok-exp-only", "CAP-TOK-001", "one caveat, the end", plain)
ok("ok-location-other", "CAP-IDN-004", "the location is not covered by the signature", token(loc=b"elsewhere"))
ok("ok-location-none", "CAP-IDN-004", "a token needs no location", token(loc=b""))
bad("missing", "CAP-ROL-003", "no capability at all", "", "ok-exp-only")
v1 = b"".join(b"%04x%s %s\n" % (len(k) + len(d) + 6, k, d) for k, d in [
    (b"location", b"micronode"), (b"identifier", IDENT), (b"cid", EXP), (b"signature", chain(IDENT, [EXP]))])
bad("format-v1", "CAP-TOK-007", "the same macaroon in version 1 of the format", v1, "ok-exp-only")
bad("format-v3", "CAP-TOK-007", "a first byte that stands for no version", b"\x03" + plain[1:], "ok-exp-only")
bad("format-json", "CAP-TOK-007", "the JSON form of version 2", json.dumps(
    {"v": 2, "l": "micronode", "i64": text(IDENT), "c": [{"i": EXP.decode()}], "s64": text(chain(IDENT, [EXP]))}).encode(), "ok-exp-only")
bad("trailing-byte", "CAP-TOK-007", "one byte behind the signature", plain + b"\x00", "ok-exp-only")
bad("two-tokens", "CAP-TOK-010", "a second capability behind the first, where discharges stand (CAP-TOK-009)", plain + plain, "ok-exp-only")
bad("length-in-two-bytes", "CAP-TOK-007", "the length of the identifier in two bytes where one is enough",
    plain.replace(varint(ID) + varint(25), varint(ID) + b"\x99\x00", 1), "ok-exp-only")
bad("field-type-in-two-bytes", "CAP-TOK-007", "a field type in two bytes where one is enough",
    plain.replace(varint(ID) + varint(25), b"\x82\x00" + varint(25), 1), "ok-exp-only")
bad("empty-location", "CAP-TOK-007", "a location of no bytes, which stands for none", b"\x02\x01\x00" + token(loc=b"")[1:], "ok-location-none")
bad("empty-vid", "CAP-TOK-007", "a verification id of no bytes, which stands for none", plain.replace(EXP + EOS, EXP + b"\x04\x00" + EOS, 1), "ok-exp-only")
bad("location-behind-id", "CAP-TOK-001", "the fields of the head in the wrong order",
    b"\x02" + field(ID, IDENT) + field(LOC, b"micronode") + plain[plain.index(IDENT) + 25:], "ok-exp-only")
bad("caveat-location", "CAP-TOK-001", "a location in a first-party caveat", plain.replace(field(ID, EXP), field(LOC, b"x") + field(ID, EXP), 1), "ok-exp-only")
bad("unknown-field", "CAP-TOK-001", "a field that the format does not have", plain.replace(EXP + EOS, EXP + field(5, b"x") + EOS, 1), "ok-exp-only")
bad("no-identifier", "CAP-TOK-001", "a head without identifier", b"\x02" + field(LOC, b"micronode") + plain[plain.index(IDENT) + 25:], "ok-exp-only")
bad("signature-31", "CAP-TOK-001", "a signature of 31 bytes", plain[:-34] + field(SIG, plain[-32:-1]), "ok-exp-only")
bad("signature-33", "CAP-TOK-001", "a signature of 33 bytes", plain[:-34] + field(SIG, plain[-32:] + b"\0"), "ok-exp-only")
bad("no-signature", "CAP-TOK-001", "it ends where the signature would begin", plain[:-34], "ok-exp-only")
bad("cut-short", "CAP-TOK-001", "the last byte is missing", plain[:-1], "ok-exp-only")
bad("version-alone", "CAP-TOK-001", "nothing behind the version", b"\x02", "ok-exp-only")
bad("length-beyond-end", "CAP-TOK-001", "a length of 2 GiB", b"\x02\x02\xff\xff\xff\xff\x07" + plain[3:], "ok-exp-only")
# Size and count
ok("ok-caveats-32", "CAP-TOK-006", "as many caveats as there may be", token(*["nbf >= 0"] * 31))
bad("caveats-33", "CAP-TOK-006", "one caveat too many", token(*["nbf >= 0"] * 32), "ok-caveats-32")
bad("caveats-many", "CAP-TOK-006", "700 empty caveats", token(*[""] * 700), "ok-caveats-32")


def sized_exactly(n):
    for a in range(700, 800):
        for b in range(1, 16):
            tok = token("op in " + ",".join(["get"] * a), "op in get," + "x" * b)
            if len(tok) == n:
                return tok
    raise ValueError(n)


ok("ok-3072-bytes", "CAP-TOK-005", "as long as a token may be", sized_exactly(3072))
bad("3073-bytes", "CAP-TOK-005", "one byte too long", sized_exactly(3073), "ok-3072-bytes")

# Text
alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
t = text(plain)
assert len(plain) % 3 == 2 and t[-1] != alphabet[-1], "the text needs room for padding and spare bits"
bad("text-padded", "CAP-TOK-002", "with padding", t + "=", "ok-exp-only")
bad("text-newline", "CAP-TOK-002", "a line end, which lenient decoders skip", t[:40] + "\n" + t[40:], "ok-exp-only")
bad("text-newline-end", "CAP-TOK-002", "a line end at the end", t + "\n", "ok-exp-only")
bad("text-space", "CAP-TOK-002", "a space in front", " " + t, "ok-exp-only")
bad("text-nul", "CAP-TOK-002", "a NUL at the end", t + "\0", "ok-exp-only")
bad("text-spare-bits", "CAP-TOK-002", "bits behind the last byte, which lenient decoders drop", t[:-1] + alphabet[alphabet.index(t[-1]) + 1], "ok-exp-only")
std = token("path ^= /~~~", exp=EXP)
assert "-" in text(std) or "_" in text(std)
ok("ok-text-alphabet", "CAP-TOK-002", "a text with - or _", std, path="/~~~/x")
bad("text-standard-alphabet", "CAP-TOK-002", "the alphabet with + and /", text(std).replace("-", "+").replace("_", "/"), "ok-text-alphabet", path="/~~~/x")
bad("text-hex", "CAP-TOK-002", "hex digits, which are letters of base64url as well", plain.hex(), "ok-exp-only")

# Identifiers
bad("identifier-24", "CAP-IDN-003", "an identifier of 24 bytes", token(ident=IDENT[:-1]), "ok-exp-only")
bad("identifier-26", "CAP-IDN-003", "an identifier of 26 bytes", token(ident=IDENT + b"\0"), "ok-exp-only")
bad("identifier-empty", "CAP-IDN-003", "an identifier of no bytes", token(ident=b""), "ok-exp-only")
bad("identifier-version-0", "CAP-IDN-003", "version 0 of the identifier", token(ident=b"\0" + IDENT[1:]), "ok-exp-only")
bad("identifier-version-2", "CAP-IDN-003", "version 2 of the identifier", token(ident=b"\2" + IDENT[1:]), "ok-exp-only")
bad("key-unknown", "CAP-IDN-003", "the id of a key that the node does not have", token(ident=b"\1" + KEY_ID[:-1] + b"\xfe" + CAP_ID), "ok-exp-only")
bad("key-zero", "CAP-IDN-003", "a key id of zeros, signed with the empty key", token(ident=b"\1" + b"\0" * 8 + CAP_ID, secret=b""), "ok-exp-only")

# Signature
op = b"op in has"
bad("signature-bit", "CAP-HMC-001", "the last bit of the signature is turned", plain[:-1] + bytes([plain[-1] ^ 1]), "ok-exp-only")
bad("signature-first-bit", "CAP-HMC-001", "the first bit of the signature is turned", plain[:-32] + bytes([plain[-32] ^ 0x80]) + plain[-31:], "ok-exp-only")
bad("signature-zero", "CAP-HMC-001", "a signature of zeros", plain[:-32] + bytes(32), "ok-exp-only")
bad("caveat-taken-off", "CAP-HMC-001", "the last caveat is gone, its signature is not", encode(IDENT, [EXP], chain(IDENT, [EXP, op])), "ok-exp-only")
bad("caveat-not-signed", "CAP-HMC-001", "a caveat is there that the signature does not cover", encode(IDENT, [EXP, b"op in get"], chain(IDENT, [EXP])), "ok-exp-only")
bad("caveat-changed", "CAP-HMC-001", "a later end than was signed", encode(IDENT, [b"exp <= %d" % (NOW + 901)], chain(IDENT, [EXP])), "ok-exp-only")
bad("caveats-swapped", "CAP-HMC-001", "two caveats in another order", encode(IDENT, [b"op in get", EXP], chain(IDENT, [EXP, b"op in get"])), "ok-reader")
bad("identifier-changed", "CAP-HMC-001", "the capability id of another token", encode(IDENT[:-1] + b"\0", [EXP], chain(IDENT, [EXP])), "ok-exp-only")
bad("key-other", "CAP-HMC-001", "signed with another root key", token(secret=SECRET[:-1] + b"\0"), "ok-exp-only")
bad("key-empty", "CAP-HMC-001", "signed with the empty root key", token(secret=b""), "ok-exp-only")
bad("key-not-derived", "CAP-HMC-001", "the chain begins with the root key itself", encode(IDENT, [EXP], mac(mac(SECRET, IDENT), EXP)), "ok-exp-only")
bad("keyed-with-root", "CAP-HMC-001", "each caveat is keyed with the root key (DIV-AUT-002)",
    encode(IDENT, [EXP], mac(mac(b"macaroons-key-generator", SECRET), mac(mac(b"macaroons-key-generator", SECRET), IDENT) + EXP)), "ok-exp-only")
bad("forged-and-expired", "CAP-HMC-001", "no caveat is looked at while the signature is wrong (CAP-HMC-003)",
    encode(IDENT, [b"exp <= 1"], bytes(32)), "ok-exp-only", differs="the end and the signature")

# Grammar
grammar = [
    ("exp-leading-zero", "CAP-CAV-001", "exp <= 0%d" % (NOW + 900)), ("exp-plus", "CAP-CAV-001", "exp <= +%d" % (NOW + 900)),
    ("exp-minus", "CAP-CAV-001", "exp <= -1"), ("exp-hex", "CAP-CAV-001", "exp <= 0x7fffffff"), ("exp-float", "CAP-CAV-001", "exp <= 2e9"),
    ("exp-16-digits", "CAP-CAV-001", "exp <= 1000000000000000"), ("exp-empty", "CAP-CAV-001", "exp <= "),
    ("exp-space-behind", "CAP-CAV-001", "exp <= %d " % (NOW + 900)), ("exp-newline-behind", "CAP-CAV-001", "exp <= %d\n" % (NOW + 900)),
    ("exp-nul-behind", "CAP-CAV-001", "exp <= %d\0" % (NOW + 900)), ("exp-two-spaces", "CAP-CAV-001", "exp <=  %d" % (NOW + 900)),
    ("exp-no-spaces", "CAP-CAV-002", "exp<=%d" % (NOW + 900)), ("exp-less", "CAP-CAV-002", "exp < %d" % (NOW + 900)),
    ("exp-upper", "CAP-CAV-002", "EXP <= %d" % (NOW + 900)), ("exp-space-before", "CAP-CAV-002", " exp <= %d" % (NOW + 900)),
    ("exp-two-conditions", "CAP-CAV-001", "exp <= %d\nop in get" % (NOW + 900)),
    ("nbf-16-digits", "CAP-CAV-001", "nbf >= 1000000000000000"), ("nbf-wrong-sign", "CAP-CAV-002", "nbf <= 0"),
    ("aud-empty", "CAP-CAV-001", "aud = "), ("aud-space", "CAP-CAV-001", "aud = node-a "), ("aud-129", "CAP-CAV-001", "aud = " + "a" * 129),
    ("aud-latin", "CAP-CAV-001", "aud = node-\xe4"), ("aud-delete", "CAP-CAV-001", "aud = node-a\x7f"),
    ("op-empty", "CAP-CAV-001", "op in "), ("op-space", "CAP-CAV-001", "op in get, has"), ("op-comma-end", "CAP-CAV-001", "op in get,"),
    ("op-comma-start", "CAP-CAV-001", "op in ,get"), ("op-upper", "CAP-CAV-001", "op in get,HAS"), ("op-digit", "CAP-CAV-001", "op in get,has2"),
    ("op-17", "CAP-CAV-001", "op in get," + "a" * 17), ("op-star", "CAP-CAV-001", "op in *"),
    ("path-relative", "CAP-CAV-001", "path ^= o"), ("path-empty", "CAP-CAV-001", "path ^= "), ("path-percent", "CAP-CAV-001", "path ^= /o%2F"),
    ("path-space", "CAP-CAV-001", "path ^= / "), ("path-nul", "CAP-CAV-001", "path ^= /\0"), ("path-star", "CAP-CAV-001", "path ^= /*"),
    ("tenant-31", "CAP-CAV-001", "tenant = " + "0" * 31), ("tenant-33", "CAP-CAV-001", "tenant = " + "0" * 33),
    ("tenant-upper", "CAP-CAV-001", "tenant = " + "0" * 31 + "A"), ("bytes-leading-zero", "CAP-CAV-001", "max-bytes <= 00"),
    ("bytes-unit", "CAP-CAV-001", "max-bytes <= 1k"), ("rps-empty", "CAP-CAV-001", "rps <= "), ("peer-uid-name", "CAP-CAV-001", "peer-uid = root"),
    ("amnesia-upper", "CAP-CAV-001", "amnesia = On"), ("amnesia-true", "CAP-CAV-001", "amnesia = true"),
    ("unknown-ip", "CAP-CAV-002", "ip = 127.0.0.1"), ("unknown-time", "CAP-CAV-002", "time < 2042-01-01T00:00"), ("caveat-empty", "CAP-CAV-002", ""),
]
for id, rule, caveat in grammar:
    bad(id, rule, "a caveat outside of the grammar", token(caveat), "ok-exp-only", differs="one more caveat")

# What the conditions ask
bad("exp-none", "CAP-CAV-004", "no end", token("op in get", exp=None), "ok-op")
ok("ok-exp-now", "CAP-CAV-005", "the last second is part of the life", token(exp=b"exp <= %d" % NOW))
bad("exp-past", "CAP-CAV-005", "over for a second", token(exp=b"exp <= %d" % (NOW - 1)), "ok-exp-now")
bad("exp-zero", "CAP-CAV-005", "over since 1970", token(exp=b"exp <= 0"), "ok-exp-now")
ok("ok-exp-day", "CAP-CAV-005", "24 hours ahead", token(exp=b"exp <= %d" % (NOW + 86400)))
bad("exp-day-and-second", "CAP-CAV-005", "24 hours and a second ahead", token(exp=b"exp <= %d" % (NOW + 86401)), "ok-exp-day")
bad("exp-far", "CAP-CAV-005", "the largest number", token(exp=b"exp <= 999999999999999"), "ok-exp-day")
ok("ok-exp-twice", "CAP-CAV-003", "two ends, both ahead", token("exp <= %d" % (NOW + 1)))
bad("exp-second-past", "CAP-CAV-005", "the second of two ends is past (CAP-CAV-003)", token("exp <= %d" % (NOW - 1)), "ok-exp-twice")
bad("exp-first-past", "CAP-CAV-005", "the first of two ends is past (CAP-CAV-003)", token("exp <= %d" % (NOW + 1), exp=b"exp <= %d" % (NOW - 1)), "ok-exp-twice")
ok("ok-nbf", "CAP-CAV-007", "good from this second on", token("nbf >= %d" % NOW))
bad("nbf-ahead", "CAP-CAV-007", "good from the next second on", token("nbf >= %d" % (NOW + 1)), "ok-nbf")
bad("nbf-second-ahead", "CAP-CAV-007", "the first of two is ahead (CAP-CAV-003)", token("nbf >= %d" % (NOW + 1), "nbf >= 0"), "ok-nbf")
ok("ok-aud", "CAP-CAV-008", "for this node", token("aud = node-a"))
bad("aud-other", "CAP-CAV-008", "for another node", token("aud = node-b"), "ok-aud")
bad("aud-longer", "CAP-CAV-008", "for a node whose name begins with that of this one", token("aud = node-ab"), "ok-aud")
bad("aud-shorter", "CAP-CAV-008", "for a node whose name is the beginning of that of this one", token("aud = node-"), "ok-aud")
bad("aud-case", "CAP-CAV-008", "the name in other letters", token("aud = Node-A"), "ok-aud")
ok("ok-amnesia", "CAP-CAV-015", "the node has amnesia on", token("amnesia = on"))
bad("amnesia-off", "CAP-CAV-015", "for a node that keeps", token("amnesia = off"), "ok-amnesia")

F = "forbidden"
ok("ok-op", "CAP-CAV-009", "the operation stands alone", token("op in get"))
ok("ok-reader", "CAP-ROL-001", "the role of readers", token("op in get,has,stat,resolve,search"))
ok("ok-op-last", "CAP-CAV-009", "the operation is the last of the list", token("op in get,has,stat,resolve,search"), op="search")
bad("op-other", "CAP-CAV-009", "a reader writes (CAP-ROL-002)", token("op in get,has,stat,resolve,search"), "ok-reader", F, op="put", path="/put")
bad("op-admin-reads", "CAP-CAV-009", "an administrator reads (CAP-ROL-002)", token("op in config,audit,reprocess"), "ok-reader", F)
bad("op-shorter", "CAP-CAV-009", "the list has the beginning of the operation", token("op in ge,et"), "ok-op", F)
bad("op-longer", "CAP-CAV-009", "the list has a longer name", token("op in gets,get-all"), "ok-op", F)
bad("op-second-list", "CAP-CAV-009", "the second list lacks it (CAP-CAV-003)", token("op in get,has", "op in has"), "ok-op", F)
bad("op-first-list", "CAP-CAV-009", "the first list lacks it (CAP-CAV-003)", token("op in has", "op in get,has"), "ok-op", F)
ok("ok-path", "CAP-CAV-010", "the path itself", token("path ^= /o/a"), path="/o/a")
ok("ok-path-below", "CAP-CAV-010", "a segment below", token("path ^= /o/a"), path="/o/a/b")
ok("ok-path-root", "CAP-CAV-010", "everything", token("path ^= /"), path="/o/a")
ok("ok-path-slash", "CAP-CAV-010", "a prefix that ends in a slash", token("path ^= /o/"), path="/o/a")
bad("path-sibling", "CAP-CAV-010", "the same letters, another segment", token("path ^= /o/a"), "ok-path-below", F, path="/o/ab")
bad("path-above", "CAP-CAV-010", "a segment above", token("path ^= /o/a"), "ok-path", F, path="/o")
bad("path-case", "CAP-CAV-010", "other letters", token("path ^= /o/a"), "ok-path", F, path="/o/A")
bad("path-slash-above", "CAP-CAV-010", "without the slash that the prefix ends in", token("path ^= /o/"), "ok-path-slash", F, path="/o")
bad("path-dots", "CAP-CAV-010", "below by its letters, beside by its meaning", token("path ^= /o/a"), "ok-path-below", F, path="/o/a/../b")
bad("path-dots-end", "CAP-CAV-010", "ends in dots", token("path ^= /o/a"), "ok-path-below", F, path="/o/a/..")
bad("path-second", "CAP-CAV-010", "the second of two prefixes is another (CAP-CAV-003)", token("path ^= /o", "path ^= /o/a"), "ok-path-below", F, path="/o/b")
T = "000102030405060708090a0b0c0d0e0f"
ok("ok-tenant", "CAP-CAV-011", "the tenant", token("tenant = " + T), tenant=T)
bad("tenant-other", "CAP-CAV-011", "another tenant", token("tenant = " + T), "ok-tenant", F, tenant=T[:-1] + "e")
bad("tenant-none", "CAP-CAV-011", "no tenant", token("tenant = " + T), "ok-tenant", F)
ok("ok-bytes", "CAP-CAV-012", "as many as allowed", token("max-bytes <= 10"), bytes=10)
bad("bytes-more", "CAP-CAV-012", "one more than allowed", token("max-bytes <= 10"), "ok-bytes", F, bytes=11)
bad("bytes-huge", "CAP-CAV-012", "more than a signed number can hold", token("max-bytes <= 10"), "ok-bytes", F, bytes=2**64 - 1)
bad("bytes-second", "CAP-CAV-012", "the first of two is lower (CAP-CAV-003)", token("max-bytes <= 9", "max-bytes <= 10"), "ok-bytes", F, bytes=10)
ok("ok-rps", "CAP-CAV-013", "the first request of a second", token("rps <= 1"))
bad("rps-zero", "CAP-CAV-013", "no request at all", token("rps <= 0"), "ok-rps", "quota")
bad("rps-second", "CAP-CAV-013", "the first of two is lower (CAP-CAV-003)", token("rps <= 0", "rps <= 1"), "ok-rps", "quota")
ok("ok-peer-uid", "CAP-CAV-014", "the user", token("peer-uid = 1000"), peer_uid=1000)
bad("peer-uid-other", "CAP-CAV-014", "another user", token("peer-uid = 1000"), "ok-peer-uid", F, peer_uid=1001)
bad("peer-uid-none", "CAP-CAV-014", "not over the Unix socket", token("peer-uid = 1000"), "ok-peer-uid", F)
bad("peer-uid-zero-none", "CAP-CAV-014", "user 0, and not over the Unix socket", token("peer-uid = 0"), "ok-peer-uid", F, differs="the user")
bad("peer-uid-wraps", "CAP-CAV-014", "the same in 32 bits", token("peer-uid = %d" % (1000 + 2**32)), "ok-peer-uid", F, peer_uid=1000)
ok("ok-all", "CAP-CAV-003", "one of each, all hold", token(
    "nbf >= 0", "aud = node-a", "op in put", "path ^= /put", "tenant = " + T, "max-bytes <= 10", "rps <= 1", "peer-uid = 1000", "amnesia = on"),
   op="put", path="/put", tenant=T, bytes=10, peer_uid=1000)
bad("not-covered-and-past", "CAP-CAV-005", "no good, and would not cover the request either: 401 (CAP-DEN-001)",
    token("op in has", exp=b"exp <= %d" % (NOW - 1)), "ok-op", differs="the end and the operation")
bad("not-covered-and-unknown", "CAP-CAV-002", "does not cover the request, and has an unknown caveat behind: 401 (CAP-DEN-001)",
    token("op in has", "ip = 127.0.0.1"), "ok-op", differs="the operation and one more caveat")
bad("not-covered-and-no-rate", "CAP-CAV-009", "does not cover the request, and has no rate left: 403", token("op in has", "rps <= 0"), "ok-op", F,
    differs="the operation and one more caveat")

# Third parties and their discharges
def discharge(third, *caveats, to, key=None, loc=b"third", ident=None):
    """Bound to the signature that ends the token to."""
    ident = ident or third.id
    caveats = [c.encode() if isinstance(c, str) else c for c in caveats]
    return encode(ident, caveats, two(bytes(32), to[-32:], chain(ident, caveats, key or third.key)), loc)


who, when = Third(), Third(id=b"is it time", loc=b"")
asks = token(who)
ok("ok-discharge", "CAP-TOK-008", "a third-party caveat and its discharge", asks + discharge(who, to=asks))
both = token(who, when)
ok("ok-discharges-two", "CAP-TOK-008", "two, the discharges in the other order", both + discharge(when, "nbf >= 0", to=both) + discharge(who, to=both))
ok("ok-discharge-caveats", "CAP-TOK-011", "the discharge has caveats, and they hold", asks + discharge(who, "op in get,has", "exp <= %d" % (NOW + 1), to=asks))
D = "ok-discharge"
bad("third-party", "CAP-TOK-008", "no discharge", asks, D)
bad("discharge-one-of-two", "CAP-TOK-008", "the discharge of one of two", both + discharge(who, to=both), "ok-discharges-two")
free = encode(who.id, [], chain(who.id, [], who.key), b"third")
bad("discharge-free", "CAP-TOK-008", "a discharge that is bound to nothing", asks + free, D)
bad("discharge-bound-elsewhere", "CAP-TOK-008", "a discharge that is bound to another capability", asks + discharge(who, to=both), D)
bad("discharge-bound-before", "CAP-TOK-008", "a caveat was appended after the discharge was bound", (late := token(who, "op in get")) + discharge(who, to=asks), D,
    differs="one more caveat")
bad("discharge-other-key", "CAP-TOK-008", "a discharge under another key", asks + discharge(who, to=asks, key=b"guessed"), D)
bad("discharge-root-key", "CAP-TOK-008", "a discharge under the empty key", asks + encode(who.id, [], two(bytes(32), asks[-32:], chain(who.id, [], b"")), b"third"), D)
bad("discharge-forged", "CAP-TOK-008", "the last bit of the signature of the discharge is turned", (b := asks + discharge(who, to=asks))[:-1] + bytes([b[-1] ^ 1]), D)
bad("discharge-stripped", "CAP-TOK-008", "a caveat was taken off the discharge",
    asks + encode(who.id, [], discharge(who, "op in has", to=asks)[-32:], b"third"), D)
bad("third-party-twice", "CAP-TOK-008", "two third-party caveats with one identifier, and one discharge", (t := token(who, Third())) + discharge(who, to=t), D,
    differs="one more caveat")
bad("vid-other-chain", "CAP-TOK-008", "the caveat key is sealed under another signature", (t := token(Third(seal=bytes(32)))) + discharge(who, to=t), D)
bad("vid-short", "CAP-TOK-008", "a verification id too short to hold a key", (t := token(Third(vid=b"v" * 39))) + discharge(who, to=t), D)
bad("vid-changed", "CAP-HMC-001", "a bit of the verification id is turned", asks.replace(who.vid, who.vid[:-1] + bytes([who.vid[-1] ^ 1])) + discharge(who, to=asks), D)
bad("third-party-made-first", "CAP-HMC-001", "the verification id was taken off, so that the caveat is a condition",
    asks.replace(field(LOC, b"third") + field(ID, who.id) + field(VID, who.vid), field(ID, who.id)), D)
bad("discharge-for-nothing", "CAP-TOK-010", "a discharge of a capability without third-party caveat", plain + discharge(who, to=plain), "ok-exp-only")
bad("discharge-other-id", "CAP-TOK-010", "a discharge with another identifier", asks + discharge(who, to=asks, ident=b"who are they"), D)
bad("discharge-unused", "CAP-TOK-010", "a second discharge that nothing asks for", asks + discharge(who, to=asks) + discharge(when, to=asks), D)
bad("discharge-twice", "CAP-TOK-010", "the same discharge twice", asks + discharge(who, to=asks) * 2, D)
bad("discharge-id-of-condition", "CAP-TOK-010", "a discharge with the text of a condition as identifier", asks + discharge(who, to=asks) + discharge(who, to=asks, ident=EXP), D)
nested = Third(id=b"who else", key=b"another key")
bad("discharge-nested", "CAP-TOK-010", "a discharge that asks for a discharge, which is there as well",
    asks + discharge(who, nested, to=asks) + discharge(nested, to=asks), D)
bad("discharge-nested-open", "CAP-TOK-010", "a discharge that asks for a discharge", asks + discharge(who, Third(id=b"who else", key=b"another key"), to=asks), D)
bad("discharge-first", "CAP-TOK-010", "the discharge in front of the capability", discharge(who, to=asks) + asks, D)
bad("discharge-trailing", "CAP-TOK-007", "a byte behind the discharge", asks + discharge(who, to=asks) + b"\0", D)
bad("discharge-between", "CAP-TOK-007", "a byte between capability and discharge", asks + b"\0" + discharge(who, to=asks), D)
bad("discharge-v1", "CAP-TOK-007", "a discharge in version 1 of the format", asks + v1, D)
bad("discharge-empty-location", "CAP-TOK-007", "a discharge with a location of no bytes", asks + b"\x02\x01\x00" + discharge(who, to=asks, loc=b"")[1:], D)
bad("discharge-cut", "CAP-TOK-001", "the last byte of the discharge is missing", asks + discharge(who, to=asks)[:-1], D)
full = token(who, *["nbf >= 0"] * 29)
ok("ok-caveats-32-discharge", "CAP-TOK-006", "32 caveats with that of the discharge", full + discharge(who, "nbf >= 0", to=full))
bad("caveats-33-discharge", "CAP-TOK-006", "33 caveats with those of the discharge", full + discharge(who, "nbf >= 0", "nbf >= 0", to=full), "ok-caveats-32-discharge")


def sized_discharge(n):
    room = n - len(asks) - len(discharge(who, to=asks))
    for b in range(1, 16):
        a, left = divmod(room - 4 - len("op in ") - b, 4)
        tok = asks + discharge(who, "op in " + "get," * a + "x" * b, to=asks)
        if len(tok) == n:
            return tok
    raise ValueError(n)


ok("ok-3072-bytes-discharge", "CAP-TOK-005", "as long as a capability with its discharge may be", sized_discharge(3072))
bad("3073-bytes-discharge", "CAP-TOK-005", "one byte too long with its discharge", sized_discharge(3073), "ok-3072-bytes-discharge")
C = "ok-discharge-caveats"
bad("discharge-past", "CAP-CAV-005", "the discharge is over (CAP-TOK-011)", asks + discharge(who, "op in get,has", "exp <= %d" % (NOW - 1), to=asks), C)
bad("discharge-op", "CAP-CAV-009", "the discharge is for another operation (CAP-TOK-011)", asks + discharge(who, "op in has", "exp <= %d" % (NOW + 1), to=asks), C, F)
bad("discharge-unknown", "CAP-CAV-002", "the discharge has an unknown caveat (CAP-TOK-011)", asks + discharge(who, "op in get,has", "ip = 127.0.0.1", to=asks), C)
bad("discharge-rps", "CAP-CAV-013", "the discharge leaves no rate (CAP-TOK-011)", asks + discharge(who, "op in get,has", "rps <= 0", to=asks), C, "quota")
endless = token(Third(), exp=None)
bad("discharge-has-the-exp", "CAP-CAV-004", "the discharge has an end, the capability has none", endless + discharge(who, EXP.decode(), to=endless), C)

# Dots, whatever the capability says about paths
bad("path-dots-no-caveat", "CAP-CAV-010", "dots, and no caveat names a path", plain, "ok-exp-only", F, path="/o/../put")
bad("path-dot", "CAP-CAV-010", "a single dot", token("path ^= /o/"), "ok-path-slash", F, path="/o/./a")
ok("ok-path-three-dots", "CAP-CAV-010", "three dots are a name", token("path ^= /o/"), path="/o/.../a")
ok("ok-path-slash-twice", "CAP-CAV-010", "a prefix that ends in a slash is continued by anything", token("path ^= /o/"), path="/o//a")
ok("ok-op-rotate", "CAP-ROL-001", "the role of issuers", token("op in issue,verify,revoke,rotate"), op="rotate", path="/v1/passport/rotate")
bad("op-nobodys", "CAP-CAV-009", "an operation that no role has, though the capability lists it", token("op in get,destroy"), "ok-op", F, op="destroy")

ids = [v["id"] for v in vectors]
assert len(ids) == len(set(ids))
print('{"format": "cap-vectors-tokens/1",')
print(' "description": ' + json.dumps(
    "Each token is shown to the node below, with its request. Made by tokens.py. pymacaroons says what pymacaroons 0.13.0 has to say "
    "to the token as a macaroon of version 2, without a look at any condition (crosscheck.py): makes, it makes the same bytes and "
    "verifies them; verifies, it only verifies them; refuses, it does neither. Rejects that it verifies are those by conditions "
    "and those by the stricter rules of the law: one encoding, sizes, counts, identifiers, and which discharges may follow.") + ',')
print(' "node": ' + json.dumps({"name": "node-a", "amnesia": True, "now": NOW, "key_id": KEY_ID.hex(), "root_key": SECRET.hex()}) + ',')
print(' "tokens": [')
print(",\n".join("  " + json.dumps(v) for v in vectors))
print(" ]}")
