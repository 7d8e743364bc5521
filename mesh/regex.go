package mesh

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
)

// maxRegex is Istio's limit on the length of a regular expression.
const maxRegex = 1024

// maxProgram is how many instructions a compiled expression may have. For one of
// ours RE2 was seen to need up to 18, and the agent's Envoys take 32,768.
const maxProgram = 1500

// checkRegex takes what Envoy's RE2 takes too.
func checkRegex(expr, field string, f *findings) {
	const fix = "write a regular expression in RE2's syntax"
	if expr == "" {
		f.fail(field, fix, "the regular expression is empty")
	} else if len(expr) > maxRegex {
		f.fail(field, fix, "the regular expression is longer than %d characters", maxRegex)
	} else if _, err := regexp.Compile(expr); err != nil {
		f.fail(field, fix, "%v", err)
	} else if class := unknownClass(expr); class != "" {
		f.fail(field, fix, "%s is no class of characters that RE2 knows", class)
	} else if size := programSize(expr); size > maxProgram {
		f.fail(field, "write a shorter regular expression, or smaller counts in {}", "the regular expression compiles to %d steps, more than %d", size, maxProgram)
	}
}

// programSize is how many instructions an expression compiles to; 0 when it does not.
func programSize(expr string) int {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0
	}
	return len(program.Inst)
}

// unknownClass is the first Unicode class in a regular expression that Go's
// engine takes and RE2 does not, e.g. \p{Letter}; "" for none.
func unknownClass(expr string) string {
	for i := 0; i+1 < len(expr); i++ {
		if expr[i] != '\\' {
			continue
		}
		i++
		switch rest := expr[i+1:]; expr[i] {
		case 'Q':
			quoted := strings.Index(rest, `\E`)
			if quoted < 0 {
				return ""
			}
			i += quoted + len(`\E`)
		case 'p', 'P':
			name := rest[:1]
			if name == "{" {
				name = rest[1:strings.IndexByte(rest, '}')]
			}
			if !knownClass(strings.TrimPrefix(name, "^")) {
				return expr[i-1:i+1] + "{" + name + "}"
			}
		}
	}
	return ""
}

// knownClass says whether RE2 has a Unicode class: a general category of one or
// two letters, save the two that it leaves out, or a script.
func knownClass(name string) bool {
	switch name {
	case "Any":
		return true
	case "Cn", "LC":
		return false
	}
	return unicode.Categories[name] != nil || unicode.Scripts[name] != nil
}
