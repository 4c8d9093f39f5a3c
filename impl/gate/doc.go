// Package gate decides who gets in: connection, in-flight and rate caps, and the readiness state that every
// ingress asks before it does any work (ADM-CAP, ADM-ORD, RDY-GAT, RDY-STA).
//
// It owns the order of the checks and the counters behind them. It is sans-I/O: the time comes in as an
// argument, nothing here listens, logs or sleeps, and one mutex makes each decision atomic, so no request is
// admitted by half of an old state and half of a new one.
package gate
