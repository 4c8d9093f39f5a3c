package server

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// operationRow is one row of the table "Operations" of spec/capability.md.
type operationRow struct {
	ops  []spec.Op
	http []string // "METHOD /path"
	oap  string
}

// operationTable reads the table out of the law.
func operationTable(t *testing.T) (rows []operationRow) {
	t.Helper()
	text, err := os.ReadFile("../../spec/capability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Operations\n")
	if !ok {
		t.Fatal("spec/capability.md has no section Operations")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || strings.Contains(cells[0], "---") || strings.TrimSpace(cells[0]) == "operation" {
			continue
		}
		row := operationRow{oap: strings.TrimSpace(cells[2])}
		for op := range strings.SplitSeq(cells[0], ",") {
			row.ops = append(row.ops, spec.Op(strings.TrimSpace(op)))
		}
		for entry := range strings.SplitSeq(cells[1], ",") {
			if entry = strings.TrimSpace(entry); entry != "" {
				row.http = append(row.http, entry)
			}
		}
		rows = append(rows, row)
	}
	if len(rows) < 8 {
		t.Fatalf("the table has %d rows only: %v", len(rows), rows)
	}
	return rows
}

// lawfulOp is the operation that the table gives to a method of a route; open where it says none.
func lawfulOp(rows []operationRow, method, route string) spec.Op {
	for _, row := range rows {
		for _, op := range row.ops {
			for _, entry := range row.http {
				m, path, ok := strings.Cut(entry, " ")
				switch {
				case op == "none": // a list of routes that are open
					if slices.Contains(strings.Fields(entry), route) {
						return open
					}
				case !ok || m != method && !(m == "GET" && method == "HEAD" && path != "/o/{addr}" || m == "POST" && method == "POST"):
				case path == route, strings.ReplaceAll(path, "{operation}", string(op)) == route,
					strings.HasSuffix(path, "…") && strings.HasPrefix(route, strings.TrimSuffix(path, "…")):
					return op
				}
			}
		}
	}
	return ""
}

// CAP-OPS-001: every method of every route, and every operation of OAP/1, is held to the operation of its row in the law; none
// is without one.
func TestOperationTable(t *testing.T) {
	rows := operationTable(t)
	for rt := healthz; rt < oapStream; rt++ {
		if len(routes[rt].ops) == 0 {
			t.Errorf("%s has no method", rt)
		}
		for method, op := range routes[rt].ops {
			want := lawfulOp(rows, method, rt.String())
			if op == "" || op != want {
				t.Errorf("%s %s is held to %q, and the law says %q", method, rt, op, want)
			}
			if op != open && !op.Known() {
				t.Errorf("%s %s is held to %q, which no role has", method, rt, op)
			}
			if (op == open) != routes[rt].exempt {
				t.Errorf("%s %s needs %q and its exemption is %v", method, rt, op, routes[rt].exempt)
			}
		}
		if routes[rt].ops["GET"] != "" && routes[rt].ops["HEAD"] == "" {
			t.Errorf("%s has GET and no HEAD", rt)
		}
	}
	// And the other way round: each row of the law has its route.
	for _, row := range rows {
		for _, op := range row.ops {
			for _, entry := range row.http {
				if op == "none" {
					for _, path := range strings.Fields(entry) {
						if rt := routeNamed(path); rt == noRoute || routes[rt].ops["GET"] != open {
							t.Errorf("%s is not open", path)
						}
					}
					continue
				}
				method, path, _ := strings.Cut(strings.ReplaceAll(entry, "{operation}", string(op)), " ")
				found := false
				for rt := healthz; rt < oapStream; rt++ {
					prefix, cut := strings.CutSuffix(path, "…")
					found = found || (routes[rt].name == path || cut && strings.HasPrefix(routes[rt].name, prefix)) && routes[rt].ops[method] == op
				}
				if !found {
					t.Errorf("no route is held to %s as %s %s", op, method, path)
				}
			}
		}
	}
}

func routeNamed(name string) route {
	for rt := healthz; rt < oapStream; rt++ {
		if routes[rt].name == name {
			return rt
		}
	}
	return noRoute
}

// CAP-OPS-001 for OAP/1.
func TestOAPOperationTable(t *testing.T) {
	objects := map[spec.Op]bool{}
	for _, row := range operationTable(t) {
		for _, op := range row.ops {
			if row.oap == "objects "+string(op) {
				objects[op] = true
			}
			if row.oap == "passport {operation}" {
				if _, err := parsePassport("", []byte(`{"request":"`+string(op)+`"}`)); op == spec.OpRotate && err != nil {
					t.Errorf("%s is not a passport operation: %v", op, err)
				}
			}
		}
	}
	seen := 0
	for op, need := range oapOps {
		if name := spec.Op(wire.Op(op).String()); need != "" && (need != name || !objects[need]) {
			t.Errorf("%s of OAP/1 is held to %q", name, need)
		} else if need != "" {
			seen++
		}
	}
	if seen != len(objects) {
		t.Errorf("%d operations of OAP/1 are held to something, and the law has %d", seen, len(objects))
	}
	for name := range objects { // what the codec knows and the table does not would be held to nothing
		var r wire.Request
		doc := `{"op":"` + string(name) + `","obj":"b3:` + strings.Repeat("0", 64) + `"}`
		if name == spec.OpPut {
			doc = `{"op":"put","total_len":0}`
		}
		if wire.ParseRequest([]byte(doc), &r) != spec.None || int(r.Op) >= len(oapOps) || oapOps[r.Op] != name {
			t.Errorf("%s over OAP/1 is held to nothing", name)
		}
	}
}
