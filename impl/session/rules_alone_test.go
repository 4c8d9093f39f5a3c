package session

// aloneTalks count or wait for what other streams would disturb.
var aloneTalks = []talk{
	{"OAP-SES-011", "an ACK is progress, even while the transport takes nothing", `
		object x*40
		chunk 1
		room 32
		> start 10 get x*40 +ACK_REQ
		` + served(10, 40, 0, 32) + `
		wait 4s
		= > ack 10 5
		wait 1s
		! < error 10 timeout
		= wait 3.999999999s
		= open 1
		= > ack 10 6
		= > cancel 10
		open 0`},
	{"OAP-SES-008", "64 streams, and one more", `
		> start 10..72 put 1
		= > start 73 put 1
		! > start 73..74 put 1
		! < error 74 too_many_streams "retryable":true "retry_after_ms":10
		open 64
		! > data 74 0/1 x
		! < error 74 no_such_stream
		> cancel 10
		open 63
		> start 75 put 1
		open 64
		> data 75 0/1 x
		> end 75
		< answer 75`},
	{"OAP-SES-008", "a refused one counts as corr_id (OAP-SES-001)", `
		> start 10..73 put 1
		! > start 100 put 1
		! < error 100 too_many_streams
		> cancel 10
		! > start 100 put 1
		! < error 100 stream_reused
		= > start 100 put 1
		= > cancel 100
		open 63`},
	{"OAP-SES-010", "half-closed streams count among the 64", `
		> start 10..73 put 1
		! > data 10 9/1 x
		! < error 10 bad_offset
		= > cancel 10
		> start 74 has x
		! < error 74 too_many_streams
		= < answer 74
		> cancel 10
		! > start 75 has x
		! < answer 75
		= < error 10 no_such_stream`},
	{"OAP-SES-010", "gone after 5 seconds, even if nobody looked at the clock", `
		> start 10 put 2
		! > data 10 1/2 a
		! < error 10 bad_offset
		late 4.999999999s
		> data 10 0/2 ab
		late 1ns
		> end 10
		! < error 10 no_such_stream
		= < answer 10`},
	{"OAP-SES-008", "a place that comes free by time, before anyone looked at the clock", `
		> start 10 put 1
		> data 10 9/1 x
		< error 10 bad_offset
		wait 1s
		> start 11..73 put 1
		! late 3.999999999s
		= late 4s
		> start 74 has x
		! < error 74 too_many_streams
		= < answer 74`},
	{"OAP-SES-020", "001 before 008, 008 before admission", `
		> start 10..73 put 1
		= > cancel 73
		= > start 74 has x
		= < answer 74
		! admit quota
		! > start 74 has x
		! < error 74 too_many_streams
		! > start 73 has x
		! < error 73 stream_reused
		! > start 75 has x code=3
		! < error 75 malformed`},
	{"OAP-SES-009", "the streams of the node, counted by its gate", `
		! admit too_many_streams
		> start 10 put 1
		! < error 10 too_many_streams "retry_after_ms":1000
		> data 10 0/1 x
		> end 10
		= < answer 10
		open 0`},
	{"OAP-SES-012", "no frame for 60 s", `
		> start 10 has x
		< answer 10
		wait 59.999999999s
		! wait 1ns
		! < error 0 timeout
		! closed
		= > start 11 has x
		= < answer 11
		= wait 59.999999999s`},
	{"OAP-SES-012", "a refused frame is a frame", `
		wait 59.999999999s
		> end 10
		< error 10 no_such_stream
		wait 59.999999999s
		! wait 1ns
		! < error 0 timeout
		! closed
		= > start 10 has x
		= < answer 10`},
	{"OAP-SES-012", "a frame that comes late, before anyone looked at the clock", `
		late 59.999999999s
		! late 1ns
		> start 10 has x
		! < error 0 timeout
		! closed
		= < answer 10`},
	{"OAP-SES-013", "a frame that is not complete", `
		> bytes 00000026 0001
		wait 4.999999999s
		! wait 1ns
		! < error 0 timeout
		! closed
		= > bytes 0019 0000 0101 00000000000000000000000000000000 0000 000000000000000a
		= < error 10 malformed`},
	{"OAP-SES-013", "bytes do not wind the clock up, frames do", `
		> bytes 00000026 0001
		wait 3s
		! > bytes 0011
		= > bytes 0011 0000 0101 00000000000000000000000000000000 0000 000000000000000a 00000026
		= < error 10 no_such_stream
		wait 1.999999999s
		! > bytes 0000
		wait 1ns
		! < error 0 timeout
		! closed
		= wait 2s
		= > bytes 0001 0011 0000 0101 00000000000000000000000000000000 0000 000000000000000b
		= < error 11 no_such_stream
		= wait 30s`},
	{"OAP-SES-013", "it takes the streams with it", `
		> start 10 put 1
		> bytes 00000026
		wait 4s
		= > bytes 0001 0011 0000 0101 00000000000000000000000000000000 0000 000000000000000b
		= < error 11 no_such_stream
		late 1s
		! > bytes 0001 0011 0000 0101 00000000000000000000000000000000 0000 000000000000000b
		! < error 0 timeout
		! closed
		= wait 0s
		= < error 10 timeout`},
	{"OAP-SES-016", "5 seconds and no more", `
		> start 10 put 1
		wait 1s
		drain 3s
		< going-away
		wait 2.999999999s
		! wait 1ns
		= > data 10 0/1 x
		= > end 10
		= < answer 10
		! < error 10 draining
		! closed`},
	{"OAP-SES-016", "the connection ends with the last stream", `
		> start 10 put 1
		> start 11 put 0
		drain 5s
		< going-away
		> end 11
		< answer 11
		! > data 10 1/1 x
		! < error 10 bad_offset
		= > data 10 0/1 x
		> end 10
		= < answer 10
		closed`},
	{"OAP-SES-016", "nothing open: the connection ends at once", `
		! > end 10
		! < error 10 no_such_stream
		drain 5s
		< going-away
		closed`},
	{"OAP-SES-021", "after the client's EOF what has not ended is dropped, and the rest answered", `
		object ab
		room 0
		> start 10 put 2
		> data 10 0/2 xy
		> start 11 get ab
		open 2
		! > end 20
		! < error 20 no_such_stream
		eof
		open 1
		room 1
		< data 11 0/2
		< answer 11
		closed
		absent xy`},
	{"OAP-ERR-004", "the answers to complete requests survive the client's EOF", `
		object x*40
		chunk 10
		room 1
		> start 10 get x*40
		< data 10 0/40
		> start 11 put 1
		> data 11 0/1 x
		! > data 11 9/1 x
		! < error 11 bad_offset
		eof
		open 1
		room 3
		< data 10 10/40
		< data 10 20/40
		< data 10 30/40
		< answer 10
		closed
		absent x`},
}
