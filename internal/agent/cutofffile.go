package agent

import (
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

const (
	// The largest CutOff, on the stream and in the file: some 30,000 certificates.
	maxCutOff = 8 << 20
	// A file may name so many things, whatever its size: empty ones take two bytes
	// there, and a hundred times that in memory.
	maxCutOffFields = 50_000
	// The file is this, the SHA-256 of what follows, a line break, and the message.
	cutOffMark = "ensign-cutoff/1 "
)

// cutOffFile keeps the newest CutOff, for an agent that starts while the control
// plane is away.
type cutOffFile string

func (f cutOffFile) store(cutOff *ensignv1.CutOff) error {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(cutOff)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", f, err)
	}
	return writeMarked(string(f), cutOffMark, body)
}

// load is what was stored last; nil if nothing ever was.
func (f cutOffFile) load() (*ensignv1.CutOff, error) {
	body, err := readMarked(string(f), cutOffMark, maxCutOff)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading who is cut off: %w", err)
	}
	cutOff, err := parseCutOff(body)
	if err != nil {
		return nil, fmt.Errorf("reading who is cut off in %s: %w", f, err)
	}
	return cutOff, nil
}

func parseCutOff(body []byte) (*ensignv1.CutOff, error) {
	if err := countFields(body); err != nil {
		return nil, err
	}
	var cutOff ensignv1.CutOff
	if err := proto.Unmarshal(body, &cutOff); err != nil {
		return nil, err
	}
	return &cutOff, nil
}

func countFields(body []byte) error {
	for fields := 0; len(body) > 0; fields++ {
		_, _, n := protowire.ConsumeField(body)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if fields == maxCutOffFields {
			return fmt.Errorf("it names more than %d things", maxCutOffFields)
		}
		body = body[n:]
	}
	return nil
}
