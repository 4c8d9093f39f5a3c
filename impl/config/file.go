package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFile is the largest configuration file in bytes: all settings with comments take a few hundred.
const maxFile = 1 << 20

// readFile reads the settings of a TOML file, in the order of the file.
func readFile(path string) ([]setting, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("config file %s: %w", path, err)
	}
	return parseFile(path, data)
}

// parseFile is readFile on bytes. The library decides what TOML is and finds duplicates (RDY-CFG-003); the keys
// are then compared here, exactly, because the library would match them whatever their case.
func parseFile(path string, data []byte) ([]setting, error) {
	if len(data) > maxFile {
		return nil, &Error{path, "", fmt.Sprintf("larger than %d bytes (RDY-CFG-004)", maxFile)}
	}
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		return nil, syntaxError(path, err)
	}
	var found []setting
	var errs []error
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		parts, line := keyOf(&p, e)
		name := strings.Join(parts, ".")
		where := path + ":" + strconv.Itoa(line)
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			errs = append(errs, &Error{where, name, fmt.Sprintf("unknown table [%s]: there are no tables, every setting stands at the top (RDY-CFG-002)", name)})
			return found, errors.Join(errs...) // what follows belongs to the table
		default:
			if _, ok := lookup(name); !ok || len(parts) != 1 {
				errs = append(errs, unknown(where, name, name, func(key string) string { return key }))
				continue
			}
			found = append(found, setting{name, valueOf(e.Value(), where)})
		}
	}
	if err := p.Error(); err != nil {
		errs = append(errs, &Error{path, "", err.Error() + " (RDY-CFG-004)"})
	}
	return found, errors.Join(errs...)
}

// syntaxError gives an error of the library a place and a rule.
func syntaxError(path string, err error) error {
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		return &Error{path, "", err.Error() + " (RDY-CFG-004)"}
	}
	row, col := at.Position()
	name, rule := strings.Join(at.Key(), "."), "RDY-CFG-004"
	what := strings.TrimPrefix(at.Error(), "toml: ")
	if name != "" { // the library names a key only where it was there before
		rule = "RDY-CFG-003"
	}
	return &Error{fmt.Sprintf("%s:%d:%d", path, row, col), name, fmt.Sprintf("%s (%s)", what, rule)}
}

// keyOf returns the parts of the key of an expression and the line that it starts on.
func keyOf(p *unstable.Parser, e *unstable.Node) (parts []string, line int) {
	for it := e.Key(); it.Next(); {
		n := it.Node()
		if line == 0 {
			line = p.Shape(n.Raw).Start.Line
		}
		parts = append(parts, string(n.Data))
	}
	return parts, line
}

// valueOf turns a TOML value into text. Integers become decimal, so that 0x10 and 1_000 need no second reader.
func valueOf(n *unstable.Node, where string) value {
	v := value{text: string(n.Data), where: where, typed: otherKind}
	switch n.Kind {
	case unstable.String:
		v.typed = stringKind
	case unstable.Bool:
		v.typed = boolKind
	case unstable.Integer:
		v.typed = integerKind
		if i, err := strconv.ParseInt(v.text, 0, 64); err == nil {
			v.text = strconv.FormatInt(i, 10)
		}
	}
	return v
}
