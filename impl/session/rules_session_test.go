package session

var sessionTalks = append([]talk{
	{"OAP-SES-001", "the same corr_id again", `
		> start 10 has x
		< answer 10
		! > start 10 has x
		! < error 10 stream_reused
		= > start 11 has x
		= < answer 11`},
	{"OAP-SES-001", "a lower corr_id", `
		> start 10 has x
		< answer 10
		! > start 9 has x
		! < error 9 stream_reused
		= > start 4000000000000000000 has x
		= < answer 4000000000000000000`},
	{"OAP-SES-001", "refused ones count: by admission or protocol", `
		> start 10 has x proto=2
		< error 10 unsupported
		! > start 10 has x
		! < error 10 stream_reused
		= > start 11 has x
		= < answer 11`},
	{"OAP-SES-001", "refused ones count: by their code", `
		> start 10 has x code=1
		< error 10 malformed
		! > start 10 has x
		! < error 10 stream_reused
		= > start 11 has x
		= < answer 11`},
	{"OAP-SES-001", "one refused for its corr_id does not count", `
		> start 10 has x
		< answer 10
		> start 10 has x
		< error 10 stream_reused
		! > start 10 has x
		! < error 10 stream_reused
		= > start 11 has x
		= < answer 11`},
	{"OAP-SES-001", "the highest there is", `
		> start 18446744073709551615 put 1
		! > start 18446744073709551615 put 1
		! < error 18446744073709551615 stream_reused
		= > data 18446744073709551615 0/1 x
		> end 18446744073709551615
		= < answer 18446744073709551615
		open 0`},
	{"OAP-SES-001", "on a stream that is open", `
		> start 10 put 1
		! > start 10 put 1
		! < error 10 stream_reused
		! > data 10 0/1 x
		= > data 10 0/1 x
		= > end 10
		= < answer 10
		= stored x
		! absent x`},
	{"OAP-SES-002", "never opened", `
		! > data 10 0/1 x
		! < error 10 no_such_stream
		> start 10 put 1
		> data 10 0/1 x
		> end 10
		< answer 10`},
	{"OAP-CRD-007", "ACK of a stream that is over, and of none", `
		> start 10 put 0
		> end 10
		< answer 10
		= > ack 10 1
		= > ack 9 1
		! > ack 11 1
		! < error 11 no_such_stream`},
	{"OAP-SES-002", "END and CANCEL of a stream that is over", `
		> start 10 put 0
		= > end 10
		= < answer 10
		! > cancel 10
		! > end 10
		! < error 10 no_such_stream
		! > cancel 10
		! < error 10 no_such_stream`},
	{"OAP-SES-002", "DATA behind the answer", `
		> start 10 put 1
		> data 10 0/1 x
		> end 10
		< answer 10
		! > data 10 1/1 x
		! < error 10 no_such_stream
		stored x`},
	{"OAP-SES-003", "RESP on an open stream", `
		> start 10 put 1
		! > data 10 0/1 x -REQ +RESP
		! < error 10 bad_sequence
		= > data 10 0/1 x
		= > end 10
		= < answer 10`},
	{"OAP-SES-003", "RESP where no stream is", `
		! > end 10 -REQ +RESP code=200
		! < error 10 bad_sequence
		> start 10 put 0
		> end 10
		< answer 10`},
	{"OAP-SES-004", "DATA with another protocol", `
		> start 10 put 1
		! > data 10 0/1 x proto=258
		! < error 10 bad_sequence
		= > data 10 0/1 x
		> end 10
		= < answer 10
		open 0`},
	{"OAP-SES-004", "DATA of another tenant", `
		> start 10 put 1 tenant=7
		! > data 10 0/1 x
		! < error 10 bad_sequence
		= > data 10 0/1 x tenant=7
		> end 10 tenant=7
		= < answer 10
		open 0`},
	{"OAP-SES-004", "END of another tenant", `
		> start 10 put 0
		! > end 10 tenant=1
		! < error 10 bad_sequence
		= > end 10
		= < answer 10
		open 0`},
	{"OAP-SES-004", "CANCEL of another protocol", `
		> start 10 put 0
		! > cancel 10 proto=1
		! < error 10 bad_sequence
		= > cancel 10
		open 0`},
	{"OAP-SES-004", "ACK of another tenant", `
		object x*40
		chunk 1
		room 2
		> start 10 get x*40 +ACK_REQ
		< data 10 0/40
		< data 10 1/40
		! > ack 10 2 tenant=1
		! < error 10 bad_sequence
		= > ack 10 2
		= > cancel 10
		room 1000`},
	{"OAP-SES-005", "an EVENT that is no ACK", `
		> start 10 put 0
		! > ack 10 1 code=200
		! < error 10 bad_sequence
		> end 10
		= < answer 10`},
	{"OAP-SES-005", "DATA behind END", `
		object x*40
		room 0
		> start 10 get x*40
		! > data 10 0/1 x
		! < error 10 bad_sequence
		room 1
		= < data 10 0/40
		= < answer 10`},
	{"OAP-SES-005", "END behind END", `
		object x*40
		room 0
		> start 10 get x*40
		! > end 10
		! < error 10 bad_sequence
		room 1
		= < data 10 0/40
		= < answer 10`},
	{"OAP-SES-005", "END behind END, with a payload besides", `
		object x*40
		room 0
		> start 10 get x*40
		! > end 10 payload=x
		! < error 10 bad_sequence
		= > cancel 10
		room 1
		open 0`},
	{"OAP-SES-005", "DATA on a request without a body", `
		> start 10 has x -END
		! > data 10 0/1 x
		! < error 10 bad_sequence
		> end 10
		= < answer 10`},
	{"OAP-SES-006", "START with a code", `
		! > start 10 put 1 code=200
		! < error 10 malformed
		= > start 10 put 1
		open 1
		> data 10 0/1 x
		> end 10
		= < answer 10
		open 0`},
	{"OAP-SES-006", "START with the code of CANCEL", `
		! > start 10 has x code=499
		! < error 10 malformed
		= > start 10 has x
		= < answer 10
		open 0`},
	{"OAP-SES-006", "DATA with a code", `
		> start 10 put 1
		! > data 10 0/1 x code=206
		! < error 10 malformed
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-SES-006", "END with a code", `
		> start 10 put 0
		! > end 10 code=200
		! < error 10 malformed
		= > end 10
		= < answer 10
		open 0`},
	{"OAP-SES-006", "the code of CANCEL without END", `
		> start 10 put 1
		! > data 10 0/1 x code=499
		! < error 10 malformed
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-SES-007", "one stream of three", `
		> start 10 put 1
		> start 11 put 1
		> start 12 put 1
		! > data 11 5/1 x
		! < error 11 bad_offset
		> data 10 0/1 a
		> data 12 0/1 c
		= > data 11 0/1 b
		> end 12
		< answer 12 "created":true
		> end 11
		= < answer 11 "created":true
		> end 10
		< answer 10 "created":true`},
}, refusalTalks...)
