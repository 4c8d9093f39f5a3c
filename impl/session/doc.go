// Package session is the server side of one OAP/1 connection as a state machine: HELLO, streams, bodies, credit
// windows, refusals and deadlines (OAP-HEL, OAP-SES, OAP-STR, OAP-CRD, OAP-ERR).
//
// It is sans-I/O. Frames, the time and the answers of the store come in as arguments; what comes out are effects
// for the shell (open this put, take these bytes, carry this out, drop that) and bytes to write. It never reads a
// clock, starts a goroutine, or touches a socket, so the model can run in lock-step with it.
//
//	frames ──▶ Frame ─┐
//	clock  ──▶ Tick  ─┴▶ NextEffect ──▶ shell, store ──▶ Answer, Serve, Fail ──▶ TakeControl, NextData ──▶ bytes
//
// A Conn is not safe for concurrent use: the shell holds one lock around its methods.
package session
