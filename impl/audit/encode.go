package audit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/spec"
)

const (
	// maxNumber is the largest whole number that every JSON reader keeps exactly.
	maxNumber = 1<<53 - 1
	// maxTime is the end of the year 9999, in milliseconds since 1970.
	maxTime = 253402300799999
)

// check says whether r is a record of the law, its index aside.
func (r *Record) check() error {
	millis := r.Time.UnixMilli()
	switch {
	case r.Event.String() == "":
		return fmt.Errorf("%w: event", ErrRecord)
	case millis < 0 || millis > maxTime:
		return fmt.Errorf("%w: time", ErrRecord)
	case r.Reason != spec.None && !r.Reason.Known(), r.Event == Denied && r.Reason == spec.None:
		return fmt.Errorf("%w: reason", ErrRecord)
	case r.Surface != NoSurface && r.Surface.String() == "":
		return fmt.Errorf("%w: surface", ErrRecord)
	case r.Op != "" && !r.Op.Known():
		return fmt.Errorf("%w: op", ErrRecord)
	case !r.HasKey && r.KeyID != [8]byte{}, !r.HasCap && r.CapID != [16]byte{}, !r.HasBy && r.By != [16]byte{}:
		return fmt.Errorf("%w: an id that is not there", ErrRecord)
	case r.From != NoState && r.From.String() == "", r.To != NoState && r.To.String() == "",
		r.Event == Readiness && (r.From == NoState || r.To == NoState):
		return fmt.Errorf("%w: state", ErrRecord)
	case r.Granted >= 1<<len(allOps), r.Expires < 0 || r.Expires > maxNumber:
		return fmt.Errorf("%w: grant", ErrRecord)
	case r.N > maxNumber, r.Event == Missed && r.N == 0:
		return fmt.Errorf("%w: count", ErrRecord)
	}
	return nil
}

// AppendRecord appends the one encoding of r as record number index (CAP-AUD-003). It fails with ErrRecord for what is
// no record and with spec.Oversize for more than spec.MaxAuditRecord bytes; dst is then returned as it came.
func AppendRecord(dst []byte, index uint64, r *Record) ([]byte, error) {
	if err := r.check(); err != nil {
		return dst, err
	}
	if index > maxNumber {
		return dst, fmt.Errorf("%w: index", ErrRecord)
	}
	// No value has a character that JSON escapes: they are names of the law, numbers, and CorrID's own alphabet.
	b := strconv.AppendUint(append(dst, `{"v":1,"i":`...), index, 10)
	b = strconv.AppendInt(append(b, `,"t":`...), r.Time.UnixMilli(), 10)
	b = appendMember(b, "event", r.Event.String())
	b = appendMember(b, "reason", string(r.Reason))
	b = appendMember(b, "surface", r.Surface.String())
	b = appendMember(b, "op", string(r.Op))
	if r.Peer.kind != noPeer {
		b = append(r.Peer.append(append(b, `,"peer":"`...)), '"')
	}
	if r.CorrID.n != 0 {
		b = append(append(append(b, `,"corr_id":"`...), r.CorrID.text[:r.CorrID.n]...), '"')
	}
	if r.HasKey {
		b = append(hex.AppendEncode(append(b, `,"key_id":"`...), r.KeyID[:]), '"')
	}
	if r.HasCap {
		b = append(hex.AppendEncode(append(b, `,"cap_id":"`...), r.CapID[:]), '"')
	}
	if r.HasBy {
		b = append(hex.AppendEncode(append(b, `,"by":"`...), r.By[:]), '"')
	}
	b = appendMember(b, "ops", r.Granted.String())
	if r.Expires != 0 {
		b = strconv.AppendInt(append(b, `,"exp":`...), r.Expires, 10)
	}
	b = appendMember(b, "from", r.From.String())
	b = appendMember(b, "to", r.To.String())
	if r.N != 0 {
		b = strconv.AppendUint(append(b, `,"n":`...), r.N, 10)
	}
	b = append(b, '}')
	if len(b)-len(dst) > spec.MaxAuditRecord {
		return dst, fmt.Errorf("audit: record of %d bytes: %w", len(b)-len(dst), spec.Oversize)
	}
	return b, nil
}

func appendMember(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, ',', '"'), key...), `":"`...)
	return append(append(b, value...), '"')
}

// ParseRecord reads what AppendRecord wrote, and nothing else: the record that was read must give the same bytes again
// (CAP-AUD-003). Everything else fails with ErrRecord, or with spec.Oversize.
func ParseRecord(line []byte) (index uint64, r Record, err error) {
	if len(line) > spec.MaxAuditRecord {
		return 0, Record{}, fmt.Errorf("audit: record of %d bytes: %w", len(line), spec.Oversize)
	}
	rest, ok := strings.CutPrefix(string(line), `{"v":1,"i":`)
	rest, closed := strings.CutSuffix(rest, "}")
	if !ok || !closed {
		return 0, Record{}, ErrRecord
	}
	// No value has a comma, so the commas are those between the members.
	number, rest, _ := strings.Cut(rest, ",")
	if index, err = strconv.ParseUint(number, 10, 64); err != nil {
		return 0, Record{}, ErrRecord
	}
	for rest != "" {
		var member string
		member, rest, _ = strings.Cut(rest, ",")
		key, value, _ := strings.Cut(member, ":")
		if !r.set(key, value) {
			return 0, Record{}, ErrRecord
		}
	}
	again, err := AppendRecord(make([]byte, 0, len(line)), index, &r)
	if err != nil || !bytes.Equal(again, line) {
		return 0, Record{}, ErrRecord
	}
	return index, r, nil
}

// set fills one field. It is lenient where encoding again finds the difference.
func (r *Record) set(key, value string) (ok bool) {
	var err error
	text := strings.Trim(value, `"`)
	switch key {
	case `"t"`:
		var millis int64
		millis, err = strconv.ParseInt(value, 10, 64)
		r.Time = time.UnixMilli(millis).UTC()
		return err == nil
	case `"n"`:
		r.N, err = strconv.ParseUint(value, 10, 64)
		return err == nil
	case `"event"`:
		var i uint8
		i, ok = number(events[:], text)
		r.Event = Event(i)
	case `"reason"`:
		r.Reason, ok = spec.Reason(text), true
	case `"surface"`:
		var i uint8
		i, ok = number(surfaces[:], text)
		r.Surface = Surface(i)
	case `"op"`:
		r.Op, ok = spec.Op(text), true
	case `"peer"`:
		r.Peer, ok = parsePeer(text)
	case `"corr_id"`:
		r.CorrID, err = CorrText(text)
		ok = err == nil
	case `"key_id"`:
		r.HasKey, ok = true, fromHex(r.KeyID[:], text)
	case `"cap_id"`:
		r.HasCap, ok = true, fromHex(r.CapID[:], text)
	case `"by"`:
		r.HasBy, ok = true, fromHex(r.By[:], text)
	case `"ops"`:
		r.Granted, ok = parseOps(text)
	case `"exp"`:
		r.Expires, err = strconv.ParseInt(value, 10, 64)
		return err == nil
	case `"from"`:
		r.From, ok = ParseState(text)
	case `"to"`:
		r.To, ok = ParseState(text)
	}
	return ok
}

func fromHex(dst []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(dst)) {
		return false
	}
	_, err := hex.Decode(dst, []byte(text))
	return err == nil
}

func parsePeer(text string) (Peer, bool) {
	if digits, ok := strings.CutPrefix(text, "uid:"); ok {
		uid, err := strconv.ParseUint(digits, 10, 32)
		return PeerUID(uint32(uid)), err == nil
	}
	prefix, err := netip.ParsePrefix(text)
	return PeerAddr(prefix.Addr()), err == nil
}
