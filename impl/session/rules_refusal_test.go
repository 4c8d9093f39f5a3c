package session

// refusalTalks are about what a refusal leaves behind, about time, and about the order of the rules.
var refusalTalks = []talk{
	{"OAP-SES-010", "what comes behind the ERROR is discarded", `
		> start 10 put 2
		! > data 10 1/2 a
		! < error 10 bad_offset
		! > data 10 0/2 ab
		! > data 10 9/2 ab proto=3 code=7
		! > ack 10 7
		! > ack 10 7 code=1
		! > end 10 -REQ +RESP
		! > start 10 put 2
		! open 1
		= > data 10 0/2 ab
		> end 10
		= < answer 10
		open 0
		! absent ab`},
	{"OAP-SES-010", "gone at CANCEL", `
		> start 10 put 2
		! > data 10 1/2 a
		! < error 10 bad_offset
		open 1
		> cancel 10
		open 0`},
	{"OAP-SES-010", "gone at an END that is itself refused", `
		> start 10 put 2
		! > data 10 1/2 a
		! < error 10 bad_offset
		open 1
		! > end 10 +ACK_REQ
		= > cancel 10
		open 0`},
	{"OAP-SES-010", "gone after 5 seconds, however much comes", `
		> start 10 put 2
		! > data 10 1/2 a
		! < error 10 bad_offset
		wait 4s
		> data 10 0/2 a
		wait 999999999ns
		open 1
		! wait 1ns
		! open 0
		! > data 10 1/2 b
		! < error 10 no_such_stream
		= > data 10 1/2 b
		= > end 10
		= < answer 10`},
	{"OAP-SES-011", "a put that stops", `
		> start 10 put 2
		wait 4.999999999s
		= > data 10 0/2 a
		wait 1ns
		! < error 10 timeout
		open 1
		= wait 4.999s
		= > data 10 1/2 b
		> end 10
		= < answer 10
		open 0`},
	{"OAP-SES-011", "a get whose client stops to ACK", `
		object x*40
		chunk 1
		> start 10 get x*40 -END +ACK_REQ
		> end 10
		` + served(10, 40, 0, 32) + `
		wait 3s
		> ack 10 1
		< data 10 32/40
		wait 4.999999999s
		= > ack 10 2
		= < data 10 33/40
		wait 1ns
		! < error 10 timeout
		! open 0
		= open 1
		= > cancel 10`},
	{"OAP-SES-014", "on corr_id 0", `
		! > data 0 0/1 x
		! < error 0 no_such_stream
		! closed
		> start 10 has x
		= < answer 10`},
	{"OAP-SES-014", "a START on corr_id 0", `
		! > start 0 has x
		! < error 0 stream_reused
		! closed
		= > start 10 has x
		= < answer 10`},
	{"OAP-SES-014", "RESP on corr_id 0", `
		> start 10 put 0
		! > end 0 +RESP -REQ
		! < error 0 bad_sequence
		! closed
		> end 10
		= < answer 10`},
	{"OAP-SES-015", "a refused put stores nothing and leaves the next one its place", `
		> start 10 put 1
		> start 11 put 2
		> data 10 0/1 x
		! > data 10 1/1 y
		! < error 10 oversize
		> end 10
		= < answer 10
		= stored x
		! absent x
		> data 11 0/2 zz
		> end 11
		< answer 11
		stored zz`},
	{"OAP-SES-016", "a START while draining", `
		> start 10 put 1
		= > start 11 has x
		= < answer 11
		drain 5s
		< going-away
		admit draining
		! > start 11 has x
		! < error 11 draining
		> data 10 0/1 x
		> end 10
		< answer 10
		stored x`},
	{"OAP-SES-017", "refused by admission", `
		! admit quota
		> start 10 put 1
		! < error 10 quota
		open 1
		> data 10 0/1 x
		> end 10
		= < answer 10
		open 0`},
	{"OAP-SES-017", "refused for its protocol", `
		! > start 10 put 1 proto=513
		! < error 10 unsupported
		! > data 10 0/1 x proto=513
		= > start 10 put 1
		= > data 10 0/1 x
		open 1
		> end 10
		= < answer 10
		open 0`},
	{"OAP-SES-017", "refused for its JSON", `
		! > start 10 put 1 payload={"op":"put"}
		! < error 10 malformed
		= > start 10 put 1
		open 1
		> data 10 0/1 x
		> end 10
		= < answer 10
		open 0`},
	{"OAP-SES-017", "refused with END", `
		! admit quota
		> start 10 has x
		! < error 10 quota
		= < answer 10
		open 0`},
	{"OAP-SES-017", "refused for its corr_id: that opens nothing", `
		> start 10 has x
		< answer 10
		! > start 9 put 1
		! < error 9 stream_reused
		= > start 11 put 1
		= > cancel 11
		open 0`},
	{"OAP-SES-019", "EVENT with START", `
		! > start 10 put 0 -REQ +EVENT
		! < error 10 bad_sequence
		! open 0
		> start 10 put 0
		> end 10
		< answer 10`},
	{"OAP-SES-019", "EVENT with END", `
		> start 10 put 0
		! > ack 10 1 +END
		! < error 10 bad_sequence
		! open 1
		> end 10
		= < answer 10
		open 0`},
	{"OAP-SES-019", "EVENT with ACK_REQ", `
		> start 10 put 0
		! > ack 10 1 +ACK_REQ
		! < error 10 bad_sequence
		> end 10
		= < answer 10`},
	{"OAP-SES-019", "ACK_REQ without START", `
		> start 10 put 1 +ACK_REQ
		! > data 10 0/1 x +ACK_REQ
		! < error 10 bad_sequence
		= > data 10 0/1 x
		> end 10
		= < ack 10 1
		= < answer 10
		open 0`},
	{"OAP-SES-019", "END with ACK_REQ", `
		> start 10 put 0
		! > end 10 +ACK_REQ
		! < error 10 bad_sequence
		= > end 10
		= < answer 10
		open 0`},
	{"OAP-SES-020", "003 before 002, 019 and 006", `
		> start 10 put 0
		! > end 9 -REQ +RESP +ACK_REQ code=7
		! < error 9 bad_sequence
		= > end 9
		= < error 9 no_such_stream
		! > end 10 -REQ +RESP
		! < error 10 bad_sequence
		> end 10
		= < answer 10`},
	{"OAP-SES-020", "019 before 002 and 006", `
		! > end 10 +ACK_REQ code=7
		! < error 10 bad_sequence
		> start 10 put 0
		> end 10
		< answer 10`},
	{"OAP-SES-020", "006 before 001", `
		> start 10 has x
		< answer 10
		! > start 10 has x code=7
		! < error 10 malformed
		= > start 11 has x
		= < answer 11`},
	{"OAP-SES-020", "006 before 001, on a stream that is open", `
		> start 10 put 1
		! > start 10 put 1 code=7
		! < error 10 malformed
		> data 10 0/1 x
		> end 10
		= < answer 10
		open 0`},
	{"OAP-SES-020", "006 before admission", `
		! admit quota
		! > start 10 has x code=7
		! < error 10 malformed
		= > start 10 has x
		= < answer 10`},
	{"OAP-SES-020", "admission before the protocol, APP_E2E and JSON", `
		! admit quota
		! > start 10 has x proto=9 +APP_E2E payload=x
		! < error 10 quota
		= > start 10 has x
		= < answer 10`},
	{"OAP-SES-020", "protocol and APP_E2E before JSON", `
		! > start 10 has x proto=9 payload=x
		! < error 10 unsupported
		! > start 11 has x +APP_E2E payload=x
		! < error 11 unsupported
		= > start 11 has x
		= < answer 11`},
	{"OAP-SES-020", "002 before 006", `
		! > end 10 code=7
		! < error 10 no_such_stream
		> start 10 put 0
		> end 10
		< answer 10`},
	{"OAP-SES-020", "006 before 004 and 005", `
		object x*40
		room 0
		> start 10 get x*40
		! > data 10 0/1 x code=7 tenant=1
		! < error 10 malformed
		room 1
		= < data 10 0/40
		= < answer 10`},
	{"OAP-ERR-004", "one ERROR for many mistakes", `
		> start 10 put 2
		! > data 10 1/2 x
		! < error 10 bad_offset
		! > data 10 1/2 x
		! > data 10 0/2 xy code=9
		= > data 10 0/2 xy
		> end 10
		= < answer 10
		open 0`},
}
