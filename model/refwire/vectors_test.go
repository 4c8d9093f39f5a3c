package refwire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

func TestFrameVectors(t *testing.T) {
	list, err := vectors.Frames()
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[vectors.Verdict]Verdict{vectors.VerdictFrame: Accept, vectors.VerdictReject: Reject, vectors.VerdictMore: More}
	for _, v := range list {
		got := Decode(v.Bytes, v.MaxFrame)
		if got.Verdict != verdicts[v.Verdict] || got.Reason != v.Reason {
			t.Errorf("%s: %s %q, want %s %q", v.ID, got.Verdict, got.Reason, v.Verdict, v.Reason)
			continue
		}
		ordering := v.Rule == "OAP-FRM-009" || v.Rule == "OAP-ZST-006" // rules about which rule comes first
		switch {
		case got.Verdict == Reject:
			if got.Rule != v.Rule && !ordering {
				t.Errorf("%s: by %s, want %s", v.ID, got.Rule, v.Rule)
			}
			if early := Decode(v.Bytes[:v.DecidedAt], v.MaxFrame); early.Verdict != Reject {
				t.Errorf("%s: %s with %d bytes", v.ID, early.Verdict, v.DecidedAt)
			}
			if early := Decode(v.Bytes[:v.DecidedAt-1], v.MaxFrame); early.Verdict != More || early.Need != v.DecidedAt {
				t.Errorf("%s: %s with %d bytes, need %d", v.ID, early.Verdict, v.DecidedAt-1, early.Need)
			}
		case got.Verdict == Accept:
			f := v.Fields
			want := Frame{Len: f.Len, Ver: f.Ver, Flags: flags(t, f.Flags), Code: spec.Code(f.Code), Proto: spec.Proto(f.Proto),
				Tenant: [16]byte(f.Tenant), CapLen: f.CapLen, Corr: f.CorrID}
			if diff := cmp.Diff(want, got.Frame, cmpopts.IgnoreFields(Frame{}, "Cap", "Payload", "Data")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", v.ID, diff)
			}
			data := f.Payload
			if slices.Contains(f.Flags, "COMP") {
				data = f.Decoded
			}
			if !bytes.Equal(got.Frame.Cap, f.Cap) || !bytes.Equal(got.Frame.Payload, f.Payload) || !bytes.Equal(got.Frame.Data, data) {
				t.Errorf("%s: %d bytes of capability, %d of payload and %d of data; want %d, %d and %d, or other ones",
					v.ID, len(got.Frame.Cap), len(got.Frame.Payload), len(got.Frame.Data), len(f.Cap), len(f.Payload), len(data))
			}
			if !bytes.Equal(Encode(got.Frame), v.Bytes[:got.N]) || got.N != len(v.Bytes) {
				t.Errorf("%s: encodes to other bytes", v.ID)
			}
		}
	}
}

func flags(t *testing.T, names []string) (f spec.Flags) {
	for _, name := range names {
		bit, ok := spec.ParseFlag(name)
		if !ok {
			t.Fatalf("no flag %q", name)
		}
		f |= bit
	}
	return f
}

func TestMessageVectors(t *testing.T) {
	list, err := vectors.Messages()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		var got, want any
		var reason spec.Reason
		f := v.Fields
		if f == nil {
			f = &vectors.MessageFields{}
		}
		switch v.Kind {
		case vectors.KindRequest:
			got, reason = DecodeRequest(v.Payload)
			want = Request{Op: f.Op, Obj: value(f.Obj), HasObj: f.Obj != nil, TotalLen: value(f.TotalLen), Offset: value(f.Offset), Len: value(f.Len), HasLen: f.Len != nil}
			if reason == spec.None && got.(Request).TotalLen > spec.MaxObject {
				got, reason = Request{}, spec.Oversize // OAP-OBJ-005, which the session decides
			}
		case vectors.KindData:
			got, reason = DecodeData(v.Payload)
			want = Data{Obj: value(f.Obj), HasObj: f.Obj != nil, Offset: value(f.Offset), TotalLen: value(f.TotalLen), Body: f.Body}
		case vectors.KindAck:
			got, reason = DecodeAck(v.Payload)
			want = value(f.UpTo)
		case vectors.KindHello:
			got, reason = DecodeHello(v.Payload)
			want = Hello{UA: value(f.UA), AcceptMaxFrame: value(f.AcceptMaxFrame), Features: f.Features}
		default:
			t.Fatalf("%s: kind %q", v.ID, v.Kind)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); reason != v.Reason || diff != "" {
			t.Errorf("%s: %q, want %q (-want +got):\n%.2000s", v.ID, reason, v.Reason, diff)
		}
	}
}

func value[T any](p *T) (t T) {
	if p != nil {
		t = *p
	}
	return t
}
