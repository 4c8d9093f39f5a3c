package spec

import "slices"

// Op names an operation that a capability can allow, as it stands in an `op in` caveat (CAP-CAV-009).
type Op string

// The operations, by the role that has them (CAP-ROL-001).
const (
	OpGet       Op = "get"
	OpHas       Op = "has"
	OpStat      Op = "stat"
	OpResolve   Op = "resolve"
	OpSearch    Op = "search"
	OpPut       Op = "put"
	OpDelete    Op = "delete"
	OpMove      Op = "move"
	OpSend      Op = "send"
	OpRecv      Op = "recv"
	OpAck       Op = "ack"
	OpNack      Op = "nack"
	OpIssue     Op = "issue"
	OpVerify    Op = "verify"
	OpRevoke    Op = "revoke"
	OpRotate    Op = "rotate"
	OpConfig    Op = "config"
	OpAudit     Op = "audit"
	OpReprocess Op = "reprocess"
)

// Role names a set of operations. No two roles share one, so none implies another (CAP-ROL-002).
type Role string

// The roles (CAP-ROL-001).
const (
	Reader  Role = "reader"
	Writer  Role = "writer"
	Mailbox Role = "mailbox"
	Issuer  Role = "issuer"
	Admin   Role = "admin"
)

// roles is the table of CAP-ROL-001: written once, read-only.
var roles = [...]struct {
	role Role
	ops  []Op
}{
	{Reader, []Op{OpGet, OpHas, OpStat, OpResolve, OpSearch}},
	{Writer, []Op{OpPut, OpDelete, OpMove}},
	{Mailbox, []Op{OpSend, OpRecv, OpAck, OpNack}},
	{Issuer, []Op{OpIssue, OpVerify, OpRevoke, OpRotate}},
	{Admin, []Op{OpConfig, OpAudit, OpReprocess}},
}

// Roles lists the roles in the order of the table.
func Roles() []Role {
	list := make([]Role, len(roles))
	for i := range roles {
		list[i] = roles[i].role
	}
	return list
}

// Ops lists the operations of r in the order of the table; it is empty for an unknown role.
func (r Role) Ops() []Op {
	for i := range roles {
		if roles[i].role == r {
			return slices.Clone(roles[i].ops)
		}
	}
	return nil
}

// Ops lists every operation, role by role in the order of the table.
func Ops() (list []Op) {
	for i := range roles {
		list = append(list, roles[i].ops...)
	}
	return list
}

// Known says whether some role has op. What no role has is granted to nobody (CAP-CAV-009).
func (op Op) Known() bool {
	for i := range roles {
		if slices.Contains(roles[i].ops, op) {
			return true
		}
	}
	return false
}
