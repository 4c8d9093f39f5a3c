package session

var creditTalks = []talk{
	{"OAP-CRD-001", "more than 32 frames ahead of the ACKs that were sent", `
		hold
		> start 10 put 40 +ACK_REQ
		` + chunks(10, 40, 0, 32) + `
		! > data 10 32/40 x
		release
		< ack 10 16
		< ack 10 32
		= > data 10 32/40 x*8
		> end 10
		= < ack 10 33
		= < answer 10
		! < error 10 credit_violation`},
	{"OAP-CRD-001", "an ACK counts from when the transport takes it", `
		> start 10 put 80 +ACK_REQ
		` + chunks(10, 80, 0, 20) + `
		< ack 10 16
		hold
		` + chunks(10, 80, 20, 48) + `
		= release
		= < ack 10 32
		= < ack 10 48
		> data 10 48/80 x*32
		! release
		! < ack 10 32
		! < ack 10 48
		! < error 10 credit_violation
		> end 10
		= < ack 10 49
		= < answer 10
		open 0`},
	{"OAP-CRD-001", "without ACK_REQ there is no window", `
		hold
		! > start 10 put 40 +ACK_REQ
		= > start 10 put 40
		` + chunks(10, 40, 0, 40) + `
		> end 10
		release
		! < ack 10 16
		! < ack 10 32
		! < error 10 credit_violation
		= < answer 10`},
	{"OAP-CRD-002", "at the 16th frame and at END", `
		> start 10 put 17 +ACK_REQ
		` + chunks(10, 17, 0, 16) + `
		< ack 10 16
		= > data 10 16/17 x
		> end 10
		= < ack 10 17
		= < answer 10
		! < error 10 truncated`},
	{"OAP-CRD-002", "END behind an ACK of everything", `
		> start 10 put 16 +ACK_REQ
		` + chunks(10, 16, 0, 16) + `
		< ack 10 16
		> end 10
		< answer 10
		! > end 10
		! < error 10 no_such_stream`},
	{"OAP-CRD-003", "the same ACK again", `
		object x*40
		chunk 1
		> start 10 get x*40 +ACK_REQ
		` + served(10, 40, 0, 32) + `
		> ack 10 2
		` + served(10, 40, 32, 34) + `
		! > ack 10 2
		! < error 10 credit_violation
		! open 0
		= > ack 10 3
		= < data 10 34/40
		= > cancel 10`},
	{"OAP-CRD-003", "an ACK that goes back", `
		object x*40
		chunk 1
		> start 10 get x*40 +ACK_REQ
		` + served(10, 40, 0, 32) + `
		> ack 10 2
		` + served(10, 40, 32, 34) + `
		! > ack 10 1
		! < error 10 credit_violation
		= > cancel 10`},
	{"OAP-CRD-003", "an ACK of nothing", `
		object x*40
		chunk 1
		> start 10 get x*40 +ACK_REQ
		` + served(10, 40, 0, 32) + `
		! > ack 10 0
		! < error 10 credit_violation
		= > ack 10 1
		= < data 10 32/40
		= > cancel 10`},
	{"OAP-CRD-003", "an ACK of what was not sent", `
		object x*40
		chunk 1
		> start 10 get x*40 +ACK_REQ
		` + served(10, 40, 0, 32) + `
		! > ack 10 33
		! < error 10 credit_violation
		= > ack 10 32
		` + variantOf("=", served(10, 40, 32, 40)) + `
		= < answer 10`},
	{"OAP-CRD-003", "an ACK in a put, where the node sends nothing", `
		> start 10 put 0 +ACK_REQ
		! > ack 10 1
		! < error 10 credit_violation
		> end 10
		= < answer 10`},
	{"OAP-CRD-004", "an ACK on a stream without windows", `
		object x*40
		chunk 1
		room 5
		> start 10 get x*40
		` + served(10, 40, 0, 5) + `
		! > ack 10 5
		! < error 10 credit_violation
		room 100
		` + variantOf("=", served(10, 40, 5, 40)) + `
		= < answer 10`},
	{"OAP-CRD-005", "an ACK with another key", `
		object x*40
		chunk 1
		> start 10 get x*40 +ACK_REQ
		` + served(10, 40, 0, 32) + `
		! > ack 10 1 {"up_to":1,"x":1}
		! < error 10 malformed
		= > ack 10 1
		= < data 10 32/40
		= > cancel 10`},
	{"OAP-CRD-006", "the node stops at 32 and serves others meanwhile", `
		object x*40
		chunk 1
		> start 10 get x*40 +ACK_REQ
		` + served(10, 40, 0, 32) + `
		> start 11 has x
		< answer 11
		! > ack 10 99
		! < error 10 credit_violation
		= > ack 10 32
		` + variantOf("=", served(10, 40, 32, 40)) + `
		= < answer 10`},
	{"OAP-CRD-006", "streams take turns", `
		object x*3
		object y*3
		chunk 1
		room 0
		> start 10 get x*3
		> start 11 get y*3
		! > end 10
		! < error 10 bad_sequence
		room 6
		= < data 10 0/3
		< data 11 0/3
		= < data 10 1/3
		< data 11 1/3
		= < data 10 2/3
		< data 11 2/3
		= < answer 10
		< answer 11`},
}
