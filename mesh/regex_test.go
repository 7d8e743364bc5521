package mesh

import "testing"

// What Go's engine takes and RE2 does not would be refused by every sidecar.
func TestClassesOfCharacters(t *testing.T) {
	for expr, want := range map[string]string{
		`\p{Letter}`: `\p{Letter}`, `a\P{uppercase_letter}b`: `\P{uppercase_letter}`, `[^\p{greek}]`: `\p{greek}`, `\p{^Letter}`: `\p{^Letter}`,
		`\p{Cn}`: `\p{Cn}`, `\p{LC}`: `\p{LC}`, `\p{ASCII}`: `\p{ASCII}`, `\p{Assigned}`: `\p{Assigned}`, `\Qa\E\p{Nope}`: `\p{Nope}`,
		`\pL`: "", `\PN`: "", `\p{Lu}`: "", `\p{^Lu}`: "", `[\p{Greek}\pN]`: "", `\p{Any}`: "", `\\p{Letter}`: "", `\Q\p{Letter}\E`: "", `\Q\p{Letter}`: "", `\d+`: "", `a`: "",
	} {
		if got := unknownClass(expr); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

func FuzzUnknownClass(f *testing.F) {
	for _, expr := range []string{`\p{Letter}`, `\Qa\E\pL`, `[^\P{^Greek}]`, `\\`, `\p`} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		list := &findings{}
		if checkRegex(expr, "regex", list); list.failed != (len(list.list) == 1) {
			t.Errorf("%q: %+v", expr, list.list)
		}
	})
}
