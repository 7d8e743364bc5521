package xds

import "strings"

// maxReason is how much of a client's error is read and kept, in bytes.
const maxReason = 4096

// cut shortens a client's error to what is kept of it.
func cut(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
}

// culprits are the resources whose names the client's error mentions.
func culprits(reason string, sent []*resource) []*resource {
	var named []*resource
	for _, r := range sent {
		if mentions(reason, r.name) {
			named = append(named, r)
		}
	}
	return named
}

// mentions says whether text has the name as a whole word: "outbound|80||a" is
// not mentioned by "outbound|80||a.b".
func mentions(text, name string) bool {
	if name == "" {
		return false
	}
	for from := 0; ; {
		at := strings.Index(text[from:], name)
		if at < 0 {
			return false
		}
		start, end := from+at, from+at+len(name)
		if (start == 0 || !inName(text[start-1])) && !goesOn(text[end:]) {
			return true
		}
		from = start + 1
	}
}

// inName says whether a byte can be part of a resource's name.
func inName(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("_-|/*.", b) >= 0
}

// goesOn says whether a name goes on in rest: a dot or colon ends a sentence or
// belongs to the name, by what follows.
func goesOn(rest string) bool {
	if rest == "" {
		return false
	}
	if rest[0] == '.' || rest[0] == ':' {
		return len(rest) > 1 && inName(rest[1])
	}
	return inName(rest[0])
}
