package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Format names this form of the file, in its header.
const Format = "ensign-ledger/1"

// maxEntry is how large an entry may be (C2SP tlog-tiles: lengths have 16 bits).
const maxEntry = 1<<16 - 1

// Header says whose log it is.
type Header struct {
	// Origin names the log, VerifierKey (C2SP signed-note) verifies its checkpoints.
	Origin      string
	VerifierKey string
	// From is the index of the first entry. Only a file from 0 can be verified or restored.
	From uint64
}

// Writer writes one file. It is not safe for concurrent use.
type Writer struct {
	out  *bufio.Writer
	next uint64
}

// NewWriter begins a file with its header.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	e := &Writer{out: bufio.NewWriterSize(w, 1<<16), next: h.From}
	return e, e.line(struct {
		Format      string `json:"format"`
		Origin      string `json:"origin"`
		VerifierKey string `json:"verifier_key"`
		From        uint64 `json:"from,omitempty"`
	}{Format, h.Origin, h.VerifierKey, h.From})
}

// Add writes the next entry: the bytes that were hashed.
func (e *Writer) Add(index uint64, data []byte) error {
	switch {
	case index != e.next:
		return fmt.Errorf("writing entry %d: entry %d is due", index, e.next)
	case len(data) > maxEntry || !bytes.HasPrefix(data, []byte(`{"kind":`)) || bytes.IndexByte(data, '\n') >= 0:
		return fmt.Errorf("writing entry %d: it is no ledger entry", index)
	}
	e.next++
	e.out.Write(data)
	if err := e.out.WriteByte('\n'); err != nil {
		return fmt.Errorf("writing entry %d: %w", index, err)
	}
	return nil
}

// SoFar writes the checkpoint that covers exactly the entries so far.
func (e *Writer) SoFar(note string) error {
	return e.line(struct {
		Note string `json:"so_far"`
	}{note})
}

// Finish ends the file with the checkpoint that covers its entries; "" for a log
// that has none. The caller syncs and closes the file.
func (e *Writer) Finish(note string) error {
	err := e.line(struct {
		Note string `json:"checkpoint"`
	}{note})
	if err != nil {
		return err
	}
	if err := e.out.Flush(); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	return nil
}

func (e *Writer) line(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	e.out.Write(data)
	if err := e.out.WriteByte('\n'); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	return nil
}
