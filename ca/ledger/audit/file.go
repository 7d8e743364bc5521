package audit

import (
	"context"
	"fmt"
	"io"
)

// progressEvery is how many entries lie between two calls of Options.Progress.
const progressEvery = 1000

// Options of VerifyFile; the zero value asks for nothing special.
type Options struct {
	// Key is the log's verifier key as you know it. Without it the file's own word
	// is taken, which proves nothing about who signed it.
	Key string
	// Older are checkpoints (notes) that the log must have grown from.
	Older []string
	// Certificate (serial or SHA-256, lower-case hex) asks for Result.Proof.
	Certificate string
	// Progress is called every thousand entries, and at the end.
	Progress func(Progress)
	// Take gets each line once it was found to fit; nothing is proven before
	// VerifyFile returns nil. Its error ends the work.
	Take func(Line) error
}

// Progress is how much of a file was read.
type Progress struct{ Entries, Bytes uint64 }

// Result is what a file was found to be.
type Result struct {
	Summary
	Header     Header `json:"header"`
	Checkpoint string `json:"checkpoint"`
	// Proof of Options.Certificate, see [CheckProof].
	Proof []byte `json:"-"`
}

// VerifyFile verifies an export offline, in one pass, in memory that grows with
// the serials only. Whatever is wrong with the file is a [*Problem]; other errors are
// of reading it, of the options, or the context's.
func VerifyFile(ctx context.Context, file io.Reader, o Options) (Result, error) {
	r, err := NewReader(file)
	if err != nil {
		return Result{}, err
	}
	v, err := o.verifier(r.Header())
	if err != nil {
		return Result{}, err
	}
	for {
		line, err := r.Next()
		if err != nil {
			return Result{}, err
		}
		if line.Last {
			return o.finish(r, v, line)
		}
		if err := v.take(line); err != nil {
			return Result{}, err
		}
		if o.Take != nil {
			if err := o.Take(line); err != nil {
				return Result{}, err
			}
		}
		if line.Data == nil || r.next%progressEvery != 0 {
			continue
		}
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		o.tell(r)
	}
}

// verifier holds the file's own word against what the caller knows.
func (o Options) verifier(h Header) (*Verifier, error) {
	if o.Key != "" && o.Key != h.VerifierKey {
		return nil, problem(-1, "the file is of the log with the key %.200q, and %.200q is expected", h.VerifierKey, o.Key)
	}
	if h.From != 0 {
		return nil, problem(-1, "the file begins with entry %d: only an export from the first entry on can be verified", h.From)
	}
	v, err := New(h.VerifierKey)
	if err != nil {
		return nil, problem(-1, "the file's verifier key is none: %v", err)
	}
	if v.origin != h.Origin {
		return nil, problem(-1, "the file is of the log %.200q, and its key of %.200q", h.Origin, v.origin)
	}
	for _, older := range o.Older {
		if err := v.Expect(older); err != nil {
			return nil, fmt.Errorf("taking the older checkpoint: %w", err)
		}
	}
	if o.Certificate != "" {
		v.Prove(o.Certificate)
	}
	return v, nil
}

// take adds a line.
func (v *Verifier) take(line Line) error {
	if line.Data == nil {
		return v.SoFar(line.Checkpoint)
	}
	return v.Add(line.Index, line.Data)
}

func (o Options) finish(r *Reader, v *Verifier, line Line) (Result, error) {
	summary, err := v.Finish(line.Checkpoint)
	if err != nil {
		return Result{}, err
	}
	result := Result{Summary: summary, Header: r.Header(), Checkpoint: line.Checkpoint}
	if o.Certificate != "" {
		if result.Proof, err = v.Proof(); err != nil {
			return Result{}, err
		}
	}
	if o.Take != nil {
		err = o.Take(line)
	}
	o.tell(r)
	return result, err
}

func (o Options) tell(r *Reader) {
	if o.Progress != nil {
		o.Progress(Progress{Entries: r.next, Bytes: r.bytes})
	}
}
