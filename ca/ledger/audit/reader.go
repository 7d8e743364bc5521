package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// format is the one form of an export that is understood.
	format = "ensign-ledger/1"
	// maxLine is the longest line of an export, with its end.
	maxLine = 1 << 16
)

// Header says whose log an export is, by its own word: nothing of it is proven.
type Header struct {
	Origin      string `json:"origin"`
	VerifierKey string `json:"verifier_key"`
	// From is the index of the first entry.
	From uint64 `json:"from,omitempty"`
}

// Line is one line of an export below its header: an entry, or a checkpoint.
type Line struct {
	// Index and Data of an entry; Data is nil for a checkpoint, and valid until
	// the next line is read.
	Index uint64
	Data  []byte
	// Checkpoint of the entries so far; Last says that it ends the file. It is
	// "" at the end of a log without entries.
	Checkpoint string
	Last       bool
}

// Reader reads an export, which may be anything: it checks the form of the file,
// while a [Verifier] checks what it says. What is wrong comes back as a [*Problem].
type Reader struct {
	in     *bufio.Reader
	header Header
	next   uint64
	bytes  uint64
}

// NewReader reads the header.
func NewReader(file io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(file, maxLine)}
	line, err := r.line()
	if errors.Is(err, io.EOF) {
		return nil, problem(-1, "the file is empty")
	}
	if err != nil {
		return nil, err
	}
	var header struct {
		Format string `json:"format"`
		Header
	}
	if err := strictly(line, &header); err != nil || header.Format == "" {
		return nil, problem(-1, "the file is no export of a ledger: its first line is no header")
	}
	if header.Format != format {
		return nil, problem(-1, "the file has the format %.40q; this program reads %q", header.Format, format)
	}
	r.header, r.next = header.Header, header.From
	return r, nil
}

// Header is what the file says about itself.
func (r *Reader) Header() Header { return r.header }

// Next reads a line. It returns [io.EOF] behind the last checkpoint only: a file
// that was cut short is a [*Problem].
func (r *Reader) Next() (Line, error) {
	data, err := r.line()
	if errors.Is(err, io.EOF) {
		return Line{}, problem(int64(r.next), "it should come next, or the checkpoint, and the file ends here: it was cut short")
	}
	if err != nil {
		return Line{}, err
	}
	if bytes.HasPrefix(data, []byte(`{"kind":`)) {
		r.next++
		return Line{Index: r.next - 1, Data: data}, nil
	}
	var mark struct {
		SoFar      *string `json:"so_far"`
		Checkpoint *string `json:"checkpoint"`
	}
	err = strictly(data, &mark)
	switch {
	case err != nil || (mark.SoFar == nil) == (mark.Checkpoint == nil):
		return Line{}, problem(int64(r.next), "it should come next, or a checkpoint, and the line is neither: %.80q", data)
	case mark.SoFar != nil:
		return Line{Index: r.next, Checkpoint: *mark.SoFar}, nil
	}
	return Line{Index: r.next, Checkpoint: *mark.Checkpoint, Last: true}, r.end()
}

// end sees that nothing follows.
func (r *Reader) end() error {
	_, err := r.in.ReadByte()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the export: %w", err)
	}
	return problem(int64(r.next), "something follows the checkpoint that ends the file")
}

// line reads up to the next newline. [io.EOF] means that there is no more.
func (r *Reader) line() ([]byte, error) {
	data, err := r.in.ReadSlice('\n')
	r.bytes += uint64(len(data))
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, problem(int64(r.next), "its line is longer than the %d bytes that a line may have", maxLine)
	case errors.Is(err, io.EOF) && len(data) > 0:
		return nil, problem(int64(r.next), "its line does not end: the file was cut short")
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		return nil, fmt.Errorf("reading the export: %w", err)
	}
	return data[:len(data)-1], nil
}

// strictly decodes one JSON object without fields that are not known.
func strictly(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows")
	}
	return nil
}
