package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

type frameCmd struct {
	Decode frameDecodeCmd `cmd:"" help:"Read frames and print what is in them."`
	Encode frameEncodeCmd `cmd:"" help:"Read what decode prints and write frames."`
}

// The verdicts of a frameLine.
const (
	verdictFrame  = "frame"
	verdictReject = "reject"
	verdictMore   = "more"
)

// frameLine is one line of frame decode, and of the input of frame encode. Which members are there depends on the
// verdict; the order is the order on the line.
type frameLine struct {
	Verdict    string       `json:"verdict,omitzero"`
	Reason     spec.Reason  `json:"reason,omitzero"`
	Rule       string       `json:"rule,omitzero"`
	Header     *frameHeader `json:"header,omitzero"`
	Cap        *string      `json:"cap,omitzero"`     // hex
	Payload    *string      `json:"payload,omitzero"` // hex, as on the wire
	DecodedLen *int64       `json:"decoded_len,omitzero"`
	Have       *int         `json:"have,omitzero"` // bytes of a frame that are there
	Need       *int         `json:"need,omitzero"` // bytes without which the verdict stays
}

// frameHeader has the nine fields under the names of the wire table (OAP-FRM-001).
type frameHeader struct {
	Len    *uint32  `json:"len,omitzero"`
	Ver    *uint16  `json:"ver,omitzero"`
	Flags  []string `json:"flags"`
	Code   uint16   `json:"code"`
	Proto  uint16   `json:"app_proto_id"`
	Tenant string   `json:"tenant_id"` // 32 hex digits
	CapLen *uint16  `json:"cap_len,omitzero"`
	Corr   uint64   `json:"corr_id"`
}

func headerLine(h *wire.Header) *frameHeader {
	return &frameHeader{
		Len: &h.Len, Ver: &h.Ver, Flags: h.Flags.Names(), Code: uint16(h.Code), Proto: uint16(h.Proto),
		Tenant: hex.EncodeToString(h.Tenant[:]), CapLen: &h.CapLen, Corr: h.Corr,
	}
}

type frameDecodeCmd struct {
	Hex      bool   `help:"The input is hex." xor:"form"`
	Binary   bool   `help:"The input is binary." xor:"form"`
	MaxFrame uint32 `help:"Largest frame in bytes, as HELLO may have lowered it (${default})." default:"1048576" placeholder:"N"`
}

// Run decodes stdin.
func (c *frameDecodeCmd) Run(a *app) error {
	if err := checkMaxFrame(c.MaxFrame); err != nil {
		return err
	}
	in := io.Reader(a.stdin)
	if !c.Binary {
		var err error
		isHex := c.Hex
		if !c.Hex {
			if in, isHex, err = sniffHex(in); err != nil {
				return err
			}
		}
		if isHex {
			in = &hexReader{r: bufio.NewReaderSize(in, 64<<10)}
		}
	}
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	verdict, err := decodeFrames(in, c.MaxFrame, func(l *frameLine) error {
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		_, err = out.Write(append(b, '\n'))
		return err
	})
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	switch {
	case err != nil:
		return err
	case verdict == verdictReject:
		return &exitError{code: exitReject, quiet: true}
	case verdict == verdictMore:
		return &exitError{code: exitMore, quiet: true}
	}
	return nil
}

func checkMaxFrame(n uint32) error {
	if n < spec.HeaderLen || n > spec.MaxFrame {
		return usagef("--max-frame is %d, but takes %d to %d", n, spec.HeaderLen, spec.MaxFrame)
	}
	return nil
}

// decodeFrames reads frames until the input ends or one is rejected, and emits a line for each. It returns the
// verdict on the last of them; an input that ends at a frame boundary leaves it at frame.
func decodeFrames(in io.Reader, maxFrame uint32, emit func(*frameLine) error) (verdict string, err error) {
	dec := wire.NewDecoder(maxFrame)
	defer dec.Close()
	var f wire.Frame
	var raw []byte // the bytes behind the last accepted frame, which the decoder does not show
	seen := false
	for {
		for {
			v, reason := dec.Next(&f)
			if v == wire.More {
				break
			}
			if v == wire.Reject {
				return verdictReject, rejectLine(in, raw, reason, maxFrame, emit)
			}
			seen = true
			if err := emit(acceptLine(&f)); err != nil {
				return "", err
			}
			raw = raw[f.Len:]
		}
		space := dec.Space()
		n, err := in.Read(space)
		raw = append(raw, space[:n]...)
		dec.Filled(n)
		if err == io.EOF {
			if len(raw) == 0 && seen {
				return verdictFrame, nil
			}
			return verdictMore, emit(moreLine(raw))
		}
		if err != nil {
			return "", fmt.Errorf("read input: %w", err)
		}
	}
}

func acceptLine(f *wire.Frame) *frameLine {
	capability, payload := hex.EncodeToString(f.Cap), hex.EncodeToString(f.Payload)
	l := &frameLine{Verdict: verdictFrame, Header: headerLine(&f.Header), Cap: &capability, Payload: &payload}
	if f.Flags&spec.FlagComp != 0 {
		n := int64(len(f.Data))
		l.DecodedLen = &n
	}
	return l
}

// rejectLine emits a reject. The verdict may have come from four bytes; the rest of the header is read for show.
func rejectLine(in io.Reader, raw []byte, reason spec.Reason, maxFrame uint32, emit func(*frameLine) error) error {
	l := &frameLine{Verdict: verdictReject, Reason: reason, Rule: ruleOf(reason, raw)}
	if missing := spec.HeaderLen - len(raw); missing > 0 {
		rest := make([]byte, missing)
		n, err := io.ReadFull(in, rest)
		if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read input: %w", err)
		}
		raw = append(raw, rest[:n]...)
	}
	l.Header = headerOf(raw)
	return emit(l)
}

// moreLine is the line for an input that ends inside a frame, or has none.
func moreLine(raw []byte) *frameLine {
	have, need := len(raw), 4
	if have >= 4 {
		need = spec.HeaderLen
	}
	l := &frameLine{Verdict: verdictMore, Header: headerOf(raw), Have: &have, Need: &need}
	if l.Header != nil {
		need = int(*l.Header.Len)
	}
	return l
}

// headerOf reads the header at the front of raw, or returns nil when it is not complete.
func headerOf(raw []byte) *frameHeader {
	if len(raw) < spec.HeaderLen {
		return nil
	}
	var h wire.Header
	h.Decode((*[spec.HeaderLen]byte)(raw))
	return headerLine(&h)
}

type frameEncodeCmd struct {
	Hex      bool   `help:"Write hex, one frame a line, also when stdout is no terminal." xor:"form"`
	Binary   bool   `help:"Write binary, also to a terminal." xor:"form"`
	MaxFrame uint32 `help:"Largest frame in bytes (${default})." default:"1048576" placeholder:"N"`
}

// maxFrameLine bounds an input line of encode in bytes: a frame of 1 MiB as hex, and the rest with room for spaces.
const maxFrameLine = 4 << 20

// Run encodes stdin.
func (c *frameEncodeCmd) Run(a *app) error {
	if err := checkMaxFrame(c.MaxFrame); err != nil {
		return err
	}
	asHex := c.Hex || !c.Binary && isTerminal(a.stdout)
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	lines := bufio.NewScanner(a.stdin)
	lines.Buffer(nil, maxFrameLine)
	for no := 1; lines.Scan(); no++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		frame, err := encodeLine(lines.Bytes(), c.MaxFrame)
		if err != nil {
			return errors.Join(withLine(no, err), out.Flush())
		}
		if asHex {
			frame = append(hex.AppendEncode(nil, frame), '\n')
		}
		if _, err := out.Write(frame); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read input: %w", err)
	}
	return out.Flush()
}

// withLine puts the number of an input line before an error and keeps its exit code.
func withLine(no int, err error) error {
	return &exitError{code: codeOf(err), err: fmt.Errorf("line %d: %w", no, err)}
}

// refusedf is the refusal of a frame that was asked for.
func refusedf(format string, args ...any) error {
	return &exitError{code: exitReject, err: fmt.Errorf(format, args...)}
}

// encodeLine makes the frame that a line describes, and refuses one that breaks a rule.
func encodeLine(line []byte, maxFrame uint32) ([]byte, error) {
	var l frameLine
	if err := json.Unmarshal(line, &l, json.RejectUnknownMembers(true)); err != nil {
		return nil, usagef("not a line of frame decode: %v", err)
	}
	if l.Header == nil || l.Verdict != "" && l.Verdict != verdictFrame || l.Reason != "" || l.Rule != "" || l.Have != nil || l.Need != nil {
		return nil, usagef("only frames can be encoded: a line has a header, and may have cap and payload")
	}
	frame, err := l.bytes()
	if err != nil {
		return nil, err
	}
	dec := wire.NewDecoder(maxFrame)
	defer dec.Close()
	for rest := frame; len(rest) > 0; {
		n := copy(dec.Space(), rest)
		dec.Filled(n)
		rest = rest[n:]
		var f wire.Frame
		switch v, reason := dec.Next(&f); {
		case v == wire.Reject:
			return nil, refusedf("%s: %s forbids this frame", reason, ruleOf(reason, frame))
		case v == wire.Accept && l.DecodedLen != nil && *l.DecodedLen != int64(len(f.Data)):
			return nil, refusedf("decoded_len is %d, but the payload expands to %d bytes", *l.DecodedLen, len(f.Data))
		}
	}
	return frame, nil
}

// bytes puts the frame together as the line has it. Lengths that are given have to be right.
func (l *frameLine) bytes() ([]byte, error) {
	capability, err := hexField("cap", l.Cap)
	if err != nil {
		return nil, err
	}
	payload, err := hexField("payload", l.Payload)
	if err != nil {
		return nil, err
	}
	h := wire.Header{Ver: spec.Version, Code: spec.Code(l.Header.Code), Proto: spec.Proto(l.Header.Proto), Corr: l.Header.Corr}
	if l.Header.Ver != nil {
		h.Ver = *l.Header.Ver
	}
	for _, name := range l.Header.Flags {
		flag, ok := spec.ParseFlag(name)
		if !ok || h.Flags&flag != 0 {
			return nil, usagef("flags: %q is unknown, or there twice", name)
		}
		h.Flags |= flag
	}
	if l.Header.Tenant != "" {
		tenant, err := hex.DecodeString(l.Header.Tenant)
		if err != nil || len(tenant) != len(h.Tenant) {
			return nil, usagef("tenant_id is not 32 hex digits")
		}
		h.Tenant = [16]byte(tenant)
	}
	size := spec.HeaderLen + len(capability) + len(payload)
	switch {
	case l.Header.Len != nil && int64(*l.Header.Len) != int64(size):
		return nil, refusedf("len is %d, but the frame has %d bytes", *l.Header.Len, size)
	case l.Header.CapLen != nil && int(*l.Header.CapLen) != len(capability):
		return nil, refusedf("cap_len is %d, but cap has %d bytes", *l.Header.CapLen, len(capability))
	case len(capability) > math.MaxUint16:
		return nil, refusedf("%s: cap has %d bytes, and cap_len holds %d at most", spec.CapOutOfBounds, len(capability), math.MaxUint16)
	}
	h.Len, h.CapLen = uint32(size), uint16(len(capability))
	var head [spec.HeaderLen]byte
	h.Encode(&head)
	return append(append(head[:], capability...), payload...), nil
}

func hexField(name string, text *string) ([]byte, error) {
	if text == nil {
		return nil, nil
	}
	b, err := hex.DecodeString(*text)
	if err != nil {
		return nil, usagef("%s is not hex", name)
	}
	return b, nil
}
