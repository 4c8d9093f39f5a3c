package spec

import "strconv"

// Flags are the 16 flag bits of a frame header (OAP-FRM-005, OAP-FRM-006). Bits 8 to 15 are reserved and zero.
type Flags uint16

// The eight defined flags. Exactly one of FlagReq, FlagResp and FlagEvent is set in a valid frame.
const (
	FlagReq    Flags = 1 << iota // REQ: client to server
	FlagResp                     // RESP: server to client
	FlagEvent                    // EVENT: ACK in either direction, Push and Going-away from the server
	FlagStart                    // START: opens a stream
	FlagEnd                      // END: closes one side of a stream
	FlagAckReq                   // ACK_REQ: credit windows on this stream
	FlagComp                     // COMP: the payload is one zstd frame
	FlagAppE2E                   // APP_E2E: the payload is opaque to the node

	// FlagsKind masks the three kind bits of which exactly one is set.
	FlagsKind = FlagReq | FlagResp | FlagEvent
	// FlagsReserved masks the bits that are zero in version 1.
	FlagsReserved Flags = 0xff00
)

var flagNames = [8]string{"REQ", "RESP", "EVENT", "START", "END", "ACK_REQ", "COMP", "APP_E2E"}

// Names lists the flags that are set, lowest bit first; a reserved bit n appears as "BITn".
func (f Flags) Names() []string {
	names := []string{}
	for bit := range 16 {
		if f&(1<<bit) == 0 {
			continue
		}
		if bit < len(flagNames) {
			names = append(names, flagNames[bit])
		} else {
			names = append(names, "BIT"+strconv.Itoa(bit))
		}
	}
	return names
}

// ParseFlag is the inverse of one element of Flags.Names; ok is false for any other text.
func ParseFlag(name string) (f Flags, ok bool) {
	for bit := range 16 {
		f = 1 << bit
		if f.Names()[0] == name {
			return f, true
		}
	}
	return 0, false
}

// Code is the code field of a frame header: 0 in requests, a status in the manner of HTTP otherwise (OAP-SES-006, OAP-ERR-002).
type Code uint16

// The codes that are not derived from a Reason.
const (
	CodeRequest   Code = 0   // every request frame but CANCEL
	CodeOK        Code = 200 // RESP: final success; EVENT: push
	CodeAck       Code = 202 // EVENT: ACK
	CodeData      Code = 206 // RESP: DATA
	CodeCancel    Code = 499 // REQ|END: CANCEL
	CodeGoingAway Code = 503 // EVENT on corr_id 0: draining begins
)

// Proto is the app_proto_id of a frame header (OAP-OBJ-001).
type Proto uint16

// The application protocols. Only ProtoControl and ProtoObjects are served today.
const (
	ProtoControl  Proto = 0x0000
	ProtoObjects  Proto = 0x0101
	ProtoMailbox  Proto = 0x0201
	ProtoEdge     Proto = 0x0301
	ProtoIndex    Proto = 0x0401
	ProtoGraph    Proto = 0x0501
	ProtoFeed     Proto = 0x0502
	ProtoSearch   Proto = 0x0503
	ProtoMedia    Proto = 0x0504
	ProtoPassport Proto = 0x0601
)
