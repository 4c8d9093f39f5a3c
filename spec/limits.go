package spec

import "time"

// Sizes are bytes unless the name says otherwise. Each constant names the rule that sets it.
const (
	// Version is the only protocol version (OAP-FRM-004).
	Version = 1
	// HeaderLen is the size of the fixed frame header (OAP-FRM-001).
	HeaderLen = 38
	// MaxFrame is the largest frame before and unless HELLO lowers it (OAP-FRM-003).
	MaxFrame = 1 << 20
	// MinMaxFrame is the floor below which HELLO can not lower max_frame (OAP-HEL-005).
	MinMaxFrame = 4 << 10
	// MaxHelloPayload bounds the JSON of a HELLO request (OAP-HEL-003).
	MaxHelloPayload = 4 << 10

	// MaxDecoded is the absolute cap on the decoded size of one COMP payload (OAP-ZST-004).
	MaxDecoded = 8 << 20
	// MaxRatio is the cap on decoded size divided by encoded size (OAP-ZST-004, ADM-HTP-004).
	MaxRatio = 10
	// RatioFloor is the encoded size that smaller payloads count as (OAP-ZST-004).
	RatioFloor = 1 << 10

	// MaxChunk is the largest body of one DATA frame (OAP-STR-006).
	MaxChunk = 64 << 10
	// Window is how many un-ACKed DATA frames may be in flight in one direction (OAP-CRD-001).
	Window = 32
	// AckEvery is how many DATA frames a receiver may leave un-ACKed (OAP-CRD-002).
	AckEvery = 16
	// MaxStreams is how many streams one connection may have open (OAP-SES-008).
	MaxStreams = 64
	// MaxNodeStreams is how many streams the whole node may have open (OAP-SES-009).
	MaxNodeStreams = 512

	// MaxObject is the largest object (CAS-CAP-001).
	MaxObject = 64 << 20
	// DefaultStoreBytes is the default capacity of the RAM store (CAS-CAP-002).
	DefaultStoreBytes = 512 << 20

	// MaxConns is how many connections the node holds at once, all listeners together (ADM-CAP-001).
	MaxConns = 1024
	// MaxInflight is how many requests may be in flight in the node (ADM-CAP-002).
	MaxInflight = 512
	// DefaultRate is how many requests the node admits in one second unless configured higher (ADM-CAP-003).
	DefaultRate = 500
	// MaxBody is the largest HTTP request body, and the largest decoded one (ADM-HTP-001, ADM-HTP-004).
	MaxBody = 1 << 20
	// MaxHeaderBytes is the largest HTTP request line and header block together (ADM-HTP-002).
	MaxHeaderBytes = 16 << 10

	// MaxCapability is the longest capability in binary form, discharges included (CAP-TOK-005).
	MaxCapability = 3072
	// MaxCapabilityText is the longest capability as text, in characters (CAP-TOK-005).
	MaxCapabilityText = 4096
	// MaxCaveats is how many caveats a capability may have, those of its discharges included (CAP-TOK-006).
	MaxCaveats = 32
	// MaxRootKeys is how many root keys verify at once: the current one and replaced ones (CAP-REV-005).
	MaxRootKeys = 64
	// MaxRevocations is how many revoked capabilities are remembered (CAP-REV-005).
	MaxRevocations = 1 << 16
	// MaxPassport is the longest JSON object of a passport request (CAP-ISS-001).
	MaxPassport = 8 << 10
	// MaxAuditRecord is the longest audit record (CAP-AUD-003).
	MaxAuditRecord = 4 << 10
)

const (
	// HelloTimeout is how long a connection may wait before its HELLO is complete (OAP-HEL-001).
	HelloTimeout = 5 * time.Second
	// RequestTimeout bounds an HTTP request from its first header byte to the last byte of its answer
	// (ADM-TIM-001), one partly received frame (OAP-SES-013), and a stream without progress (OAP-SES-011).
	RequestTimeout = 5 * time.Second
	// HalfClosedTimeout is how long a stream that the server ended waits for the client's END (OAP-SES-010).
	HalfClosedTimeout = 5 * time.Second
	// IdleTimeout closes a connection without open streams (OAP-SES-012).
	IdleTimeout = 60 * time.Second
	// DrainTimeout is how long work in flight may take after draining begins (RDY-DRN-003).
	DrainTimeout = 5 * time.Second

	// MaxCapabilityTTL is the longest life of a capability (CAP-CAV-005).
	MaxCapabilityTTL = 24 * time.Hour
	// DefaultCapabilityTTL is the life of a capability that is minted without one (CAP-CAV-006).
	DefaultCapabilityTTL = 15 * time.Minute
	// BootstrapTTL is the life of the bootstrap token unless configured otherwise (CAP-ROL-004).
	BootstrapTTL = time.Hour
	// RevocationTime is within what time a revocation, or an expiry, is in force and has ended what was open (CAP-REV-002,
	// CAP-REV-003, CAP-REV-006).
	RevocationTime = time.Second
	// MaxKeyAge is when a root key has to be replaced (CAP-KEY-001).
	MaxKeyAge = 30 * 24 * time.Hour
	// HandshakeTimeout is how long a TLS handshake may take (CAP-TLS-008).
	HandshakeTimeout = 5 * time.Second
)
