package audit

import "fmt"

// Problem is the first thing found wrong with a log.
type Problem struct {
	// Index of the entry where it shows; -1 if it is about the log as a whole.
	Index int64
	What  string
}

func (p *Problem) Error() string {
	if p.Index < 0 {
		return p.What
	}
	return fmt.Sprintf("entry %d: %s", p.Index, p.What)
}

func problem(index int64, format string, args ...any) *Problem {
	return &Problem{Index: index, What: fmt.Sprintf(format, args...)}
}
