package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// progressEvery is how often a long read says how far it is.
const progressEvery = time.Second

// progress tells a person on stderr how far a long read of the ledger is: one
// line that is written over on a terminal, a line a second elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	started  time.Time
	last     time.Time
	written  bool
}

func newProgress(out io.Writer) *progress {
	now := time.Now()
	return &progress{out: out, terminal: isTerminal(out), started: now, last: now}
}

// at is called as often as it suits: entries were read, which is the part done
// (0 to 1) of the whole.
func (p *progress) at(entries uint64, done float64) {
	if time.Since(p.last) < progressEvery {
		return
	}
	p.last, p.written = time.Now(), true
	line := fmt.Sprintf("%d entries, %.0f %%, %s", entries, 100*done, time.Since(p.started).Round(time.Second))
	if done == 0 {
		line = fmt.Sprintf("%d entries, %s", entries, time.Since(p.started).Round(time.Second))
	}
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K"+line)
		return
	}
	fmt.Fprintln(p.out, line)
}

// ofFile follows the reading of a file. A pipe has no size: then no part is named.
func (p *progress) ofFile(file *os.File) (func(audit.Progress), error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", file.Name(), err)
	}
	return func(now audit.Progress) { p.at(now.Entries, share(now.Bytes, uint64(info.Size()))) }, nil
}

// of follows the reading of so many entries.
func (p *progress) of(total uint64) sink {
	return taker(func(index uint64, _ []byte) error {
		p.at(index+1, share(index+1, total))
		return nil
	})
}

// share is which part of a whole is done, 0 to 1; 0 if the whole is not known.
func share(done, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return min(1, float64(done)/float64(whole))
}

// end clears the line on a terminal.
func (p *progress) end() {
	if p.terminal && p.written {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
