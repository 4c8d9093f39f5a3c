package main

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// target is one fuzz function.
type target struct {
	Package string // folder below the root of the module, with slashes; "." is the root
	Name    string // for example "FuzzAck"
}

func (t target) String() string { return t.Package + "." + t.Name }

// discover finds the fuzz targets of the module in root that this platform builds, in the order of their names.
func discover(root string) ([]target, error) {
	var targets []target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && !partOfModule(path) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		if match, err := build.Default.MatchFile(filepath.Dir(path), filepath.Base(path)); err != nil || !match {
			return err
		}
		names, err := fuzzFuncs(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		for _, name := range names {
			targets = append(targets, target{filepath.ToSlash(rel), name})
		}
		return err
	})
	slices.SortFunc(targets, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return targets, err
}

// partOfModule is false for the folders that "./..." leaves out.
func partOfModule(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err != nil // a go.mod starts another module
}

// fuzzFuncs names the functions of the form FuzzXxx(*testing.F) in a source file.
func fuzzFuncs(path string) ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && isFuzzName(f.Name.Name) && takesF(f.Type) {
			names = append(names, f.Name.Name)
		}
	}
	return names, nil
}

// isFuzzName is the rule of the testing package: what follows "Fuzz" does not start with a lowercase letter.
func isFuzzName(name string) bool {
	rest, ok := strings.CutPrefix(name, "Fuzz")
	r, _ := utf8.DecodeRuneInString(rest)
	return ok && !unicode.IsLower(r)
}

func takesF(t *ast.FuncType) bool {
	if t.Results != nil || t.TypeParams != nil || t.Params.NumFields() != 1 {
		return false
	}
	pointer, ok := t.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	selector, ok := pointer.X.(*ast.SelectorExpr)
	return ok && selector.Sel.Name == "F"
}
