package structure

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Limits of a file and of a function, in lines.
const (
	maxFile = 400
	maxFunc = 75
)

// banned names say nothing of what is inside.
var banned = []string{"util", "utils", "common", "types", "helpers", "manager"}

// source is one parsed file of ours.
type source struct {
	path string
	set  *token.FileSet
	file *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == "testdata" || (strings.HasPrefix(name, ".") && len(name) > 2)) {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".pb.go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		found = append(found, source{path: strings.TrimPrefix(path, "../../"), set: set, file: file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (s source) lines(node ast.Node) int {
	return s.set.Position(node.End()).Line - s.set.Position(node.Pos()).Line + 1
}

func TestFilesAndFunctionsStaySmall(t *testing.T) {
	for _, s := range sources(t) {
		if n := s.set.File(s.file.Pos()).LineCount(); n > maxFile {
			t.Errorf("%s has %d lines, at most %d: split it by noun", s.path, n, maxFile)
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.lines(f) > maxFunc {
				t.Errorf("%s: %s has %d lines, at most %d", s.path, f.Name, s.lines(f), maxFunc)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		documented[dir] = documented[dir] || s.file.Doc != nil
		if slices.Contains(banned, s.file.Name.Name) {
			t.Errorf("%s: a package named %s says nothing", s.path, s.file.Name.Name)
		}
	}
	// Generated code cannot carry one.
	delete(documented, "internal/api/ensign/v1")
	for dir, has := range documented {
		if !has {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// exits may be called by programs only.
var exits = map[string][]string{"os": {"Exit"}, "log": {"Fatal", "Fatalf", "Fatalln"}, "context": {"Background", "TODO"}}

func TestOnlyProgramsEndTheProcessOrBeginAContext(t *testing.T) {
	for _, s := range sources(t) {
		if s.file.Name.Name == "main" || strings.HasSuffix(s.path, "_test.go") || strings.HasPrefix(s.path, "test/") {
			continue
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			call, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if of, ok := call.X.(*ast.Ident); ok && slices.Contains(exits[of.Name], call.Sel.Name) {
				t.Errorf("%s calls %s.%s", s.set.Position(call.Pos()), of.Name, call.Sel.Name)
			}
			return true
		})
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.path)
			}
		}
	}
}

// exportedReceiver says whether others can see the type of a method.
func exportedReceiver(f *ast.FuncDecl) bool {
	expr := f.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return true
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	var all, bare int
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || (f.Recv != nil && !exportedReceiver(f)) {
				continue
			}
			all++
			if f.Doc == nil {
				bare++
				t.Logf("%s: %s", s.path, f.Name)
			}
		}
	}
	if bare*20 > all {
		t.Errorf("%d of %d exported functions have no comment", bare, all)
	}
}
