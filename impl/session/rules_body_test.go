package session

var streamTalks = []talk{
	{"OAP-STR-001", "an unknown key", `
		> start 10 put 1
		! > data 10 0/1 hex=001c7b226f6666736574223a302c22746f74616c5f6c656e223a312c2278223a317d78
		! < error 10 malformed
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-STR-001", "a header beyond the payload", `
		> start 10 put 1
		! > data 10 0/1 hex=00207b7d78
		! < error 10 malformed
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-STR-002", "obj is missing", `
		> start 10 put 2 obj=ab
		> data 10 0/2 a obj=ab
		! > data 10 1/2 b
		! < error 10 malformed
		= > data 10 1/2 b obj=ab
		> end 10
		= < answer 10`},
	{"OAP-STR-002", "obj is another one", `
		> start 10 put 2 obj=ab
		! > data 10 0/2 ab obj=ac
		! < error 10 malformed
		= > data 10 0/2 ab obj=ab
		> end 10
		= < answer 10`},
	{"OAP-STR-002", "obj where START named none", `
		> start 10 put 2
		! > data 10 0/2 ab obj=ab
		! < error 10 malformed
		= > data 10 0/2 ab
		> end 10
		= < answer 10`},
	{"OAP-STR-003", "a gap", `
		> start 10 put 3
		> data 10 0/3 a
		! > data 10 2/3 c
		! < error 10 bad_offset
		= > data 10 1/3 bc
		> end 10
		= < answer 10`},
	{"OAP-STR-003", "the same again", `
		> start 10 put 3
		> data 10 0/3 a
		! > data 10 0/3 a
		! < error 10 bad_offset
		= > data 10 1/3 bc
		> end 10
		= < answer 10`},
	{"OAP-STR-004", "another total than START's", `
		> start 10 put 3
		! > data 10 0/4 a
		! < error 10 malformed
		= > data 10 0/3 abc
		> end 10
		= < answer 10`},
	{"OAP-STR-005", "an empty body", `
		> start 10 put 1
		! > data 10 0/1
		! < error 10 malformed
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-STR-006", "65,537 bytes", `
		> start 10 put 65537
		! > data 10 0/65537 x*65537
		! < error 10 chunk_oversize
		= > data 10 0/65537 x*65536
		= > data 10 65536/65537 x
		> end 10
		= < answer 10`},
	{"OAP-STR-007", "more than declared", `
		> start 10 put 2
		> data 10 0/2 a
		! > data 10 1/2 bc
		! < error 10 oversize
		= > data 10 1/2 b
		> end 10
		= < answer 10
		! absent abc`},
	{"OAP-STR-007", "anything for an empty object", `
		> start 10 put 0
		! > data 10 0/0 x
		! < error 10 oversize
		> end 10
		= < answer 10`},
	{"OAP-STR-008", "less than declared", `
		> start 10 put 2
		> data 10 0/2 a
		= > data 10 1/2 b
		> end 10
		! < error 10 truncated
		= < answer 10
		open 0
		! absent a`},
	{"OAP-STR-008", "nothing of what was declared", `
		! > start 10 put 1 +END
		! < error 10 truncated
		= > start 10 put 0 +END
		= < answer 10
		open 0`},
	{"OAP-STR-009", "CANCEL of a put that is complete but for END", `
		> start 10 put 1
		> data 10 0/1 x
		= > cancel 10
		! > cancel 10 code=498
		! < error 10 malformed
		absent x
		open 0`},
	{"OAP-STR-009", "CANCEL of a get under way", `
		object x*40
		chunk 10
		room 2
		> start 10 get x*40
		< data 10 0/40
		< data 10 10/40
		> cancel 10
		! > cancel 10
		! < error 10 no_such_stream
		room 100
		open 0`},
	{"OAP-STR-010", "005 before 004", `
		> start 10 put 1
		! > data 10 9/2
		! < error 10 malformed
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-STR-010", "006 before 004 and 003", `
		> start 10 put 1
		! > data 10 9/2 x*65537
		! < error 10 chunk_oversize
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-STR-010", "004 before 003", `
		> start 10 put 1
		! > data 10 9/2 x
		! < error 10 malformed
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-STR-010", "002 before 003", `
		> start 10 put 1 obj=x
		! > data 10 9/1 x
		! < error 10 malformed
		= > data 10 0/1 x obj=x
		> end 10
		= < answer 10`},
	{"OAP-STR-010", "003 before 007", `
		> start 10 put 1
		! > data 10 1/1 xx
		! < error 10 bad_offset
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-STR-011", "END with a payload", `
		> start 10 put 0
		! > end 10 payload=x
		! < error 10 malformed
		= > end 10
		= < answer 10
		open 0`},
	{"OAP-STR-011", "CANCEL with a payload", `
		> start 10 put 0
		! > cancel 10 payload={}
		! < error 10 malformed
		= > cancel 10
		open 0`},
}

var objectTalks = []talk{
	{"OAP-OBJ-001", "a protocol that is not served", `
		! > start 10 has x proto=513
		! < error 10 unsupported
		= > start 10 has x
		= < answer 10`},
	{"OAP-OBJ-001", "the control protocol takes no START", `
		! > start 10 has x proto=0
		! < error 10 unsupported
		= > start 10 has x
		= < answer 10`},
	{"OAP-OBJ-002", "a key of another op", `
		! > start 10 put 1 {"op":"put","total_len":1,"offset":0}
		! < error 10 malformed
		= > start 10 put 1
		> data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-OBJ-003", "no address", `
		! > start 10 has x {"op":"has","obj":"b3:00"}
		! < error 10 malformed
		= > start 10 has x
		= < answer 10`},
	{"OAP-OBJ-004", "not before END", `
		object x
		= > start 10 delete x -END
		= stored x
		= > end 10
		= < answer 10
		= absent x
		! > start 10 delete x -END
		! > data 10 0/1 x
		! < error 10 bad_sequence
		! > end 10
		! stored x`},
	{"OAP-OBJ-004", "CANCEL instead of END", `
		object x
		> start 10 delete x -END
		= > cancel 10
		! > cancel 10 payload=x
		! < error 10 malformed
		stored x
		open 0`},
	{"OAP-OBJ-005", "one byte above the cap", `
		= > start 10 put 67108864
		! > start 10 put 67108865
		! < error 10 oversize
		open 1
		> cancel 10
		open 0`},
	{"OAP-OBJ-008", "a part of an object", `
		object 0123456789
		chunk 2
		= > start 10 get 0123456789 from=3 len=5
		= < data 10 0/5 34
		= < data 10 2/5 56
		= < data 10 4/5 7
		= < answer 10 "size":10
		! > start 10 get 0123456789 from=11
		! < error 10 bad_range
		open 0`},
	{"OAP-OBJ-008", "the store fails half way", `
		object 0123456789
		chunk 4
		room 1
		> start 10 get 0123456789
		< data 10 0/10 0123
		! fault integrity serving
		room 9
		! < error 10 integrity
		= < data 10 4/10 4567
		= < data 10 8/10 89
		= < answer 10
		open 0`},
	{"OAP-OBJ-011", "START with APP_E2E", `
		! > start 10 put 1 +APP_E2E
		! < error 10 unsupported
		= > start 10 put 1
		> data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-OBJ-011", "DATA with APP_E2E", `
		> start 10 put 1
		! > data 10 0/1 x +APP_E2E
		! < error 10 unsupported
		= > data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-ZST-007", "ACK with APP_E2E", `
		object x*40
		chunk 1
		> start 10 get x*40 +ACK_REQ
		` + served(10, 40, 0, 32) + `
		! > ack 10 32 +APP_E2E
		! < error 10 unsupported
		= > ack 10 32
		` + variantOf("=", served(10, 40, 32, 40)) + `
		= < answer 10`},
	{"OAP-OBJ-012", "an integer with a fraction", `
		! > start 10 put 1 {"op":"put","total_len":1.0}
		! < error 10 malformed
		= > start 10 put 1
		> data 10 0/1 x
		> end 10
		= < answer 10`},
	{"OAP-OBJ-013", "the empty object", `
		> start 10 put 0
		! > data 10 0/0
		! < error 10 malformed
		> end 10
		= < answer 10 "created":true
		= > start 11 get x*0
		= < answer 11 "size":0
		open 0`},
	{"OAP-OBJ-013", "no byte of an object", `
		object 0123456789
		= > start 10 get 0123456789 from=10
		! > start 10 get 0123456789 from=11
		! < error 10 bad_range
		= < answer 10 "size":10
		> start 11 get 0123456789 len=0
		< answer 11 "size":10`},
	{"OAP-ERR-001", "the members, in the protocol and tenant of the stream", `
		! > start 10 stat x tenant=5
		! < error 10 not_found "retryable":false "corr_id":10 "message":
		= > start 10 has x tenant=5
		= < answer 10
		open 0`},
	{"OAP-ERR-002", "the code of the reason, when the store refuses at the start", `
		! fault store_full open
		> start 10 put 1
		! < error 10 store_full "retryable":true
		> data 10 0/1 x
		> end 10
		= < answer 10
		open 0`},
	{"OAP-ERR-003", "a time to retry, when the store refuses half way", `
		> start 10 put 2
		> data 10 0/2 x
		! fault store_full body
		> data 10 1/2 y
		! < error 10 store_full "retry_after_ms":1000
		> end 10
		= < answer 10
		open 0`},
	{"OAP-ERR-004", "the store refuses a request that came whole", `
		! fault store_full open
		> start 10 put 0 +END
		! < error 10 store_full
		= < answer 10
		open 0
		! > end 10
		! < error 10 no_such_stream`},
	{"ADM-ORD-003", "a refused START leaves nothing but its answer", `
		! admit quota
		> start 10 put 1 +END
		! < error 10 quota "retry_after_ms":1000
		= < error 10 truncated
		! > start 11 put 1 +END
		! < error 11 quota
		open 0`},
}
