package manifest

import (
	"strconv"
	"strings"
)

func itoa(i int) string { return strconv.Itoa(i) }

// suggestion says what to write instead of a name that is none of known: the
// nearest, or all of a few.
func suggestion(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return "write " + near
	}
	if len(known) == 0 {
		return "remove it"
	}
	if len(known) <= 12 {
		return "write one of " + strings.Join(known, ", ")
	}
	return "remove it"
}

// nearest is the known name at the smallest edit distance, "" when none is close.
func nearest(name string, known []string) string {
	best, found := 1+len(name)/3, ""
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k), best); d < best || d == best && found == "" {
			best, found = d, k
		}
	}
	return found
}

// distance counts the letters to change, add, drop or swap to make b of a; more
// than limit is reported as limit+1.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, last, next := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(last[j]+1, next[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, last, next = last, next, make([]int, len(b)+1)
	}
	return min(last[len(b)], limit+1)
}
