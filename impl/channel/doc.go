// Package channel is how peers reach the node: TLS 1.3 with post-quantum key exchange (CAP-TLS), and a Unix socket whose
// peers the kernel names (CAP-UDS).
//
// # What it owns
//
//   - Certificate: the key pair of a TLS listener, made at start or read from files that nobody else can read.
//   - Server: the one set of TLS parameters that the law allows, and a handshake that ends in bounded time and says how
//     it ended.
//   - UnixListener: a socket that appears where the operator said and nowhere else, with its mode set before it
//     listens, and that hands out only peers on its allow-list.
//
// # What it may never do
//
// It decides nothing about requests: a channel says who speaks, a capability says what may be done (CAP-TLS-011). It
// neither logs nor counts; what is worth counting comes back as a Result, an Error or a PeerError, none of which holds
// a byte that a peer sent. It writes no file but the socket.
//
// # Why the handshake reads the ClientHello twice
//
// crypto/tls enforces the parameters, and its errors are sentences, some with bytes of the peer in them. Which rule a
// peer broke is therefore judged from the ClientHello, in Server.judge, in the order in which crypto/tls would find it.
// The judgement only names a failure. There is one exception, because crypto/tls lets it pass: a peer of OAP/1 that
// offers no protocol at all (CAP-TLS-003).
//
// # Keys in memory
//
// The private key of a certificate lies in ordinary memory: crypto/tls can not use a key that does not (CAP-KEY-003).
// The bytes of a key file are overwritten when they were parsed.
package channel
