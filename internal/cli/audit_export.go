package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// exported is the answer of `audit export` and `ledger backup`.
type exported struct {
	File        string `json:"file"`
	Entries     uint64 `json:"entries"`
	Bytes       int64  `json:"bytes"`
	Root        string `json:"root"`
	Claim       string `json:"claim"`
	Checkpoint  string `json:"checkpoint"`
	VerifierKey string `json:"verifier_key"`
}

func newAuditExport(g *globals) *cobra.Command {
	e := &exporting{}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the whole record into one file that anybody can verify offline",
		Long: "Writes every entry, each as it was hashed, and the signed checkpoint that covers them, a\n" +
			"line of JSON each. The record is verified on the way, and the file is put in place only\n" +
			"when all of it held. Who gets it needs neither ensignd nor trust in it, only the ledger's\n" +
			"key from a source of their own: `ensign audit verify FILE --key KEY`.",
		Example: "  ensign audit export --out record.jsonl\n  ensign audit verify record.jsonl --checkpoint checkpoint-monday",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return e.run(cmd, g) },
	}
	e.register(cmd.Flags())
	return cmd
}

// exporting is one run of `audit export` or `ledger backup`.
type exporting struct {
	known
	out string
}

func (e *exporting) register(flags *pflag.FlagSet) {
	e.known.register(flags)
	flags.StringVar(&e.out, "out", "", "file to write; replaced in one step when the record verified")
}

func (e *exporting) run(cmd *cobra.Command, g *globals) error {
	p, err := newPrinter(cmd.OutOrStdout(), g.output)
	if err != nil {
		return err
	}
	if e.out == "" {
		return usagef("%s needs --out; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
	}
	options, err := e.options()
	if err != nil {
		return err
	}
	told := newProgress(cmd.ErrOrStderr())
	defer told.end()
	return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
		var result audit.Result
		err := replaceBy(e.out, func(w io.Writer) (err error) {
			result, err = auditor{admin, options, told}.export(ctx, w)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s is not written: %w", e.out, err)
		}
		info, err := os.Stat(e.out)
		if err != nil {
			return fmt.Errorf("looking at what was written: %w", err)
		}
		answer := exported{
			File: e.out, Entries: result.Entries, Bytes: info.Size(), Root: result.Root,
			Claim: e.claim(result.Summary), Checkpoint: result.Checkpoint, VerifierKey: result.Header.VerifierKey,
		}
		return p.print(answer, row{"FILE", "ENTRIES", "BYTES", "ROOT", "WHAT IS PROVEN"}, []row{{
			answer.File, strconv.FormatUint(answer.Entries, 10), strconv.FormatInt(answer.Bytes, 10), dash(answer.Root), answer.Claim,
		}})
	})
}

// export writes the record to w while it verifies it. What was written is worth
// something only when it returns nil.
func (a auditor) export(ctx context.Context, w io.Writer) (audit.Result, error) {
	var file fileWriter
	result, err := a.run(ctx, func(verifierKey string) (sinks []sink, err error) {
		file, err = ledger.NewExport(w, verifierKey)
		return []sink{file}, err
	})
	if err != nil {
		return audit.Result{}, err
	}
	return result, file.Finish(result.Checkpoint)
}

// fileWriter writes an export.
type fileWriter interface {
	sink
	Finish(note string) error
}
