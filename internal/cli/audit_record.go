package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ensign-mesh/ensign/ca/ledger/audit"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// known is what a reader of the record knows of it from elsewhere.
type known struct {
	key string
	// older are files with checkpoints of earlier days.
	older []string
}

func (k *known) register(flags *pflag.FlagSet) {
	flags.StringVar(&k.key, "key", "", "the ledger's verifier key, as you know it (default: as the record itself says)")
	flags.StringArrayVar(&k.older, "checkpoint", nil, "file with an older checkpoint that the record must have grown from; repeatable")
}

// options reads the files.
func (k known) options() (audit.Options, error) {
	notes, err := readNotes(k.older)
	return audit.Options{Key: k.key, Older: notes}, err
}

// claim says in words what a record that verified was held against.
func (k known) claim(s audit.Summary) string {
	if s.ConsistentWith != nil {
		return fmt.Sprintf("nothing of the %d entries of the older checkpoint was changed", *s.ConsistentWith)
	}
	claim := "internally consistent only: no older checkpoint was given"
	if k.key == "" {
		claim += ", and the key is the record's own word (--key pins it)"
	}
	return claim
}

// maxSmallFile bounds a checkpoint, a certificate or a proof.
const maxSmallFile = 1 << 20

func readNotes(files []string) ([]string, error) {
	var notes []string
	for _, name := range files {
		text, err := readSmall(name)
		if err != nil {
			return nil, usagef("--checkpoint: %v", err)
		}
		notes = append(notes, string(text))
	}
	return notes, nil
}

func readSmall(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSmallFile+1))
	if err == nil && len(text) > maxSmallFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxSmallFile)
	}
	return text, err
}

// certificateName turns what a person has of a certificate, its serial, its
// SHA-256 (both hex) or its PEM file, into lower-case hex as the ledger has it.
func certificateName(what string) (string, error) {
	name := strings.ToLower(strings.ReplaceAll(what, ":", ""))
	if strings.Trim(name, "0123456789abcdef") == "" {
		return name, nil
	}
	text, err := readSmall(what)
	if err != nil {
		return "", usagef("--certificate is neither hex nor a file: %v", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return "", usagef("--certificate: %s holds no certificate (PEM)", what)
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

// head asks for the newest checkpoint.
func head(ctx context.Context, admin ensignv1.AdminServiceClient) (*ensignv1.LedgerCheckpoint, error) {
	return readLedger(ctx, admin, 0, 1)
}

// noteSize is how many entries a checkpoint says that it covers. It believes the
// note: who must not checks its signature.
func noteSize(note string) uint64 {
	lines := strings.SplitN(note, "\n", 3)
	if len(lines) < 3 {
		return 0
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil {
		return 0
	}
	return size
}

// newVerifier is a verifier that knows what options say.
func newVerifier(options audit.Options) (*audit.Verifier, error) {
	verifier, err := audit.New(options.Key)
	if err != nil {
		return nil, usagef("--key: %v", err)
	}
	for _, older := range options.Older {
		if err := verifier.Expect(older); err != nil {
			return nil, err
		}
	}
	if options.Certificate != "" {
		verifier.Prove(options.Certificate)
	}
	return verifier, nil
}

// auditor reads the whole record from ensignd and recomputes it. It keeps no entry.
type auditor struct {
	admin    ensignv1.AdminServiceClient
	options  audit.Options
	progress *progress
}

// run gives what it read, once it fitted, to sinks as well; begin makes them when
// the verifier key is known. What they got is proven only when run returns nil.
func (a auditor) run(ctx context.Context, begin func(verifierKey string) ([]sink, error)) (audit.Result, error) {
	newest, err := head(ctx, a.admin)
	if err != nil {
		return audit.Result{}, err
	}
	if a.options.Key == "" {
		a.options.Key = newest.VerifierKey
	}
	verifier, err := newVerifier(a.options)
	if err != nil {
		return audit.Result{}, err
	}
	more, err := begin(a.options.Key)
	if err != nil {
		return audit.Result{}, err
	}
	sinks := append([]sink{verifier, a.progress.of(noteSize(newest.Note))}, more...)
	newest, err = readLedger(ctx, a.admin, 0, 0, sinks...)
	if err != nil {
		return audit.Result{}, err
	}
	summary, err := verifier.Finish(newest.Note)
	if err != nil {
		return audit.Result{}, err
	}
	result := audit.Result{Summary: summary, Header: audit.Header{VerifierKey: a.options.Key}, Checkpoint: newest.Note}
	if a.options.Certificate != "" {
		result.Proof, err = verifier.Proof()
	}
	return result, err
}
