// Package server is the shell of the node: the only place with goroutines, sockets, clocks and signals. It
// assembles the sans-I/O rooms (gate, session, wire, store) into a running process with two surfaces, OAP/1 and
// HTTP, over one core, behind up to five listeners (decision 0015).
//
// It owns: listeners, connections, deadlines on sockets, metrics, shutdown. It may never decide a protocol
// question (that is session), an admission (gate), or hold payload bytes of its own longer than a call (store).
//
//	TCP ──▶ listener ──▶ gate.Connect ──▶ oapConn: read ▶ wire ▶ session ▶ effects ─┐
//	                                 └──▶ net/http: route ▶ gate.Admit ─────────────┴▶ store
package server
