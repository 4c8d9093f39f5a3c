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
// A node of this version serves oap:// and http:// on loopback only. TLS and Unix sockets come to the node later;
// the client side of them is complete, and works today against anything that terminates TLS or a Unix socket in
// front of a node.
package client
