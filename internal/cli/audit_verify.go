package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ensign-mesh/ensign/ca/ledger/audit"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// verified is the answer of `audit verify`.
type verified struct {
	Holds bool `json:"holds"`
	audit.Summary
	// Claim says in words what was proven.
	Claim       string `json:"claim"`
	Checkpoint  string `json:"checkpoint"`
	VerifierKey string `json:"verifier_key"`
	// Certificate is the entry of the certificate that was asked for.
	Certificate *logged `json:"certificate,omitempty"`
}

// refuted is the answer when the record does not hold.
type refuted struct {
	Holds bool `json:"holds"`
	// Entry is where it shows; nil if it is about the record as a whole.
	Entry *int64 `json:"entry,omitempty"`
	// Claim says in words what is wrong.
	Claim string `json:"claim"`
}

// verify is one run of `audit verify`.
type verify struct {
	known
	certificate, save, proof string
	progress                 *progress
}

func newAuditVerify(g *globals) *cobra.Command {
	v := &verify{}
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Recompute the record's Merkle root from every entry and check its signature",
		Long: "Reads every entry, recomputes the root, and holds it against the signed checkpoint. Without\n" +
			"FILE it reads from ensignd; with FILE (`audit export`, `ledger backup`) it works offline.\n" +
			"Without an older checkpoint this proves only that the record is consistent in itself; keep\n" +
			"one (--save) somewhere else, and give it next time (--checkpoint) to prove that nothing that\n" +
			"was recorded then has been changed, dropped or moved. --key pins the ledger's key.\n" +
			"--certificate proves that one certificate is in the record; --proof keeps that proof in a\n" +
			"small file that stands for itself: give it as FILE, with --key, to check it offline.",
		Example: "  ensign audit verify --save checkpoint-monday\n" +
			"  ensign audit verify record.jsonl --checkpoint checkpoint-monday --checkpoint checkpoint-friday\n" +
			"  ensign audit verify --certificate 5f0c3a9be1d24f7786a1c3d2e4f50617 --proof cert.proof\n" +
			"  ensign audit verify cert.proof --key ensign/cluster.local/ledger+e3cd9c8b+AZ…",
		Args: between(0, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			v.progress = newProgress(cmd.ErrOrStderr())
			answer, err := v.run(cmd.Context(), g, args)
			if err != nil {
				return errors.Join(printRefuted(p, err), err)
			}
			return p.print(answer, row{"HOLDS", "ENTRIES", "ROOT", "WHAT IS PROVEN"}, []row{{
				"yes", strconv.FormatUint(answer.Entries, 10), dash(answer.Root), answer.Claim,
			}})
		},
	}
	flags := cmd.Flags()
	v.known.register(flags)
	flags.StringVar(&v.certificate, "certificate", "", "prove that this certificate is in the record: its serial, its SHA-256, or its PEM file")
	flags.StringVar(&v.save, "save", "", "write the newest checkpoint to this file")
	flags.StringVar(&v.proof, "proof", "", "write the proof of --certificate to this file (C2SP tlog-proof)")
	return cmd
}

// printRefuted prints what is wrong with the record; other errors print nothing.
func printRefuted(p printer, err error) error {
	var wrong *audit.Problem
	if !errors.As(err, &wrong) {
		return nil
	}
	answer, at := refuted{Claim: wrong.What}, ""
	if wrong.Index >= 0 {
		answer.Entry, at = &wrong.Index, strconv.FormatInt(wrong.Index, 10)
	}
	return p.print(answer, row{"HOLDS", "ENTRY", "WHAT IS WRONG"}, []row{{"no", dash(at), wrong.What}})
}

func (v *verify) run(ctx context.Context, g *globals, args []string) (verified, error) {
	options, err := v.options()
	if err != nil {
		return verified{}, err
	}
	if v.certificate == "" && v.proof != "" {
		return verified{}, usagef("--proof needs --certificate: a proof is of one certificate")
	}
	if v.certificate != "" {
		if options.Certificate, err = certificateName(v.certificate); err != nil {
			return verified{}, err
		}
	}
	defer v.progress.end()
	if len(args) > 0 {
		return v.offline(ctx, args[0], options)
	}
	return v.online(ctx, g, options)
}

// online reads from ensignd.
func (v *verify) online(ctx context.Context, g *globals, options audit.Options) (answer verified, err error) {
	err = g.with(ctx, func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
		result, err := auditor{admin, options, v.progress}.run(ctx, nothingMore)
		if err != nil {
			return err
		}
		answer, err = v.answer(result)
		return err
	})
	return answer, err
}

func nothingMore(string) ([]sink, error) { return nil, nil }

// offline reads an export, or the proof of one certificate.
func (v *verify) offline(ctx context.Context, name string, options audit.Options) (verified, error) {
	file, err := os.Open(name)
	if err != nil {
		return verified{}, usagef("opening the record: %v", err)
	}
	defer file.Close()
	in := bufio.NewReader(file)
	if start, _ := in.Peek(len(proofHeader)); string(start) == proofHeader {
		return v.checkProof(in, options)
	}
	if options.Progress, err = v.progress.ofFile(file); err != nil {
		return verified{}, err
	}
	result, err := audit.VerifyFile(ctx, in, options)
	if err != nil {
		return verified{}, err
	}
	return v.answer(result)
}

// answer says what was proven, and keeps what was asked to be kept.
func (v *verify) answer(result audit.Result) (verified, error) {
	answer := verified{Holds: true, Summary: result.Summary, Claim: v.claim(result.Summary), Checkpoint: result.Checkpoint, VerifierKey: result.Header.VerifierKey}
	if v.certificate != "" {
		proven, err := audit.CheckProof(answer.VerifierKey, result.Proof)
		if err != nil {
			return verified{}, err
		}
		answer.Certificate = &logged{Index: proven.Index, Entry: proven.Entry}
		answer.Claim += "; " + inRecord(proven)
	}
	return answer, errors.Join(keep(v.proof, "proof", string(result.Proof)), keep(v.save, "checkpoint", answer.Checkpoint))
}

// keep writes text to a file, if one was named.
func keep(path, what, text string) error {
	if path == "" {
		return nil
	}
	if err := replaceFile(path, text); err != nil {
		return fmt.Errorf("saving the %s: %w", what, err)
	}
	return nil
}
