// Package client talks to one micronode over whichever surface its URL names: OAP/1 over TCP (oap://), over TLS
// (oap+tls://) or over a Unix socket (unix:), or HTTP (http://, https://).
//
// It owns the connections to that node, the pace at which the node is asked, the retries, and the check that what
// was read is what the address promises. It never touches a file by name, never holds a whole object in memory
// (but see Put about readers of unknown size), and never reports success for bytes that it could not verify.
//
//	Put, Get, … ──▶ retry loop ──▶ pacer ──▶ surface ─┬▶ oap:  pool ▶ conn (a reader and a writer) ▶ streams
//	                                                  └▶ http: net/http
//
// What it knows about authority is one capability, which it sends with every request and shows in no error, log or
// format (CAP-TOK-003, CAP-TOK-004, CAP-KEY-005). A token leaves this machine over TLS only, and TLS is 1.3 only, with the
// certificate that was pinned or one that an authority vouches for (CAP-TLS-001, CAP-TLS-010). What was refused for want of
// authority is not asked for again (CAP-DEN-001, CAP-DEN-002).
package client
