package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/yaml"

	"github.com/ensign-mesh/ensign/ca/ledger/audit"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// watchRetry is how long a watch waits for an ensignd that is away.
const watchRetry = time.Second

func newAuditWatch(g *globals) *cobra.Command {
	var (
		knows known
		save  string
	)
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Verify the record as it grows, and print each new entry once it is proven",
		Long: "Reads and verifies the whole record, then follows it: each new entry is printed when a\n" +
			"signed checkpoint covers it and the root that was recomputed from every entry is the\n" +
			"signed one. It ends with exit code 1 when the record is not what it was: a changed, dropped\n" +
			"or moved entry, a record that was rolled back, or another key. An ensignd that is away is\n" +
			"waited for. Ctrl-C ends it with 0. -o json prints one object a line.",
		Example: "  ensign audit watch --save checkpoint-newest\n  ensign audit watch --checkpoint checkpoint-monday -o json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			options, err := knows.options()
			if err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				w := &watch{admin: admin, printer: p, stderr: cmd.ErrOrStderr(), save: save, progress: newProgress(cmd.ErrOrStderr())}
				return w.run(ctx, options)
			})
		},
	}
	knows.register(cmd.Flags())
	cmd.Flags().StringVar(&save, "save", "", "keep the newest verified checkpoint in this file")
	return cmd
}

// watch follows a record. What it has read is in its verifier, so that it goes on
// from there whatever becomes of the connection.
type watch struct {
	admin    ensignv1.AdminServiceClient
	printer  printer
	stderr   io.Writer
	save     string
	progress *progress
	verifier *audit.Verifier
	// next is the index to read next; proven is the size of the newest checkpoint that held.
	next, proven uint64
	// total is the size of the record when the watch began.
	total uint64
	// begun: the record as it was then has been verified. fresh are later entries
	// that no checkpoint covers yet.
	begun bool
	fresh []logged
}

func (w *watch) run(ctx context.Context, options audit.Options) error {
	newest, err := head(ctx, w.admin)
	if err != nil {
		return err
	}
	if options.Key == "" {
		options.Key = newest.VerifierKey
	}
	w.total = noteSize(newest.Note)
	if w.verifier, err = newVerifier(options); err != nil {
		return err
	}
	for away := false; ; {
		held := w.proven
		err := w.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case status.Code(err) != codes.Unavailable || !w.begun:
			return err
		case !away || w.proven > held:
			fmt.Fprintf(w.stderr, "ensignd is away, waiting for it: %v\n", plain(err))
			away = true
		}
		select {
		case <-time.After(watchRetry):
		case <-ctx.Done():
			return nil
		}
	}
}

// follow reads one stream to its end.
func (w *watch) follow(ctx context.Context) error {
	stream, err := w.admin.ReadLedger(ctx, &ensignv1.ReadLedgerRequest{From: w.next, Follow: true})
	if err != nil {
		return err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Unavailable, "the record ended")
		}
		if err != nil {
			return err
		}
		if c := part.GetCheckpoint(); c != nil {
			err = w.hold(c.Note)
		} else {
			err = w.add(part.GetEntry())
		}
		if err != nil {
			return err
		}
	}
}

func (w *watch) add(e *ensignv1.LedgerEntry) error {
	if err := w.verifier.Add(e.GetIndex(), e.GetData()); err != nil {
		return err
	}
	w.next++
	if !w.begun {
		w.progress.at(w.next, share(w.next, w.total))
		return nil
	}
	entry, err := decodeEntry(e.GetIndex(), e.GetData())
	w.fresh = append(w.fresh, entry)
	return err
}

// hold holds what was read against a checkpoint, and shows what that proves.
func (w *watch) hold(note string) error {
	if size := noteSize(note); size < w.proven {
		return &audit.Problem{Index: -1, What: fmt.Sprintf("the record was rolled back: it has %d entries now, and had %d", size, w.proven)}
	}
	summary, err := w.verifier.Finish(note)
	if err != nil {
		return err
	}
	w.proven = summary.Entries
	if !w.begun && w.proven < w.total {
		return nil
	}
	if note != "" {
		if err := keep(w.save, "checkpoint", note); err != nil {
			return err
		}
	}
	if !w.begun {
		w.begun = true
		w.progress.end()
		fmt.Fprintf(w.stderr, "%d entries verified; watching\n", summary.Entries)
	}
	fresh := w.fresh
	w.fresh = nil
	return w.printer.stream(fresh)
}

// stream prints entries that come one by one: an object a line, a YAML document
// each, or a line of columns.
func (p printer) stream(entries []logged) error {
	for _, e := range entries {
		var line string
		switch p.format {
		case "json":
			text, err := json.Marshal(e)
			if err != nil {
				return err
			}
			line = string(text) + "\n"
		case "yaml":
			text, err := yaml.Marshal(e)
			if err != nil {
				return fmt.Errorf("writing yaml: %w", err)
			}
			line = "---\n" + string(text)
		default:
			line = fmt.Sprintf("%-8d %s  %-10s  %s  %s\n", e.Index, stamp(e.Time), printable(string(e.Kind)), printable(e.who()), dash(printable(e.Serial)))
		}
		if _, err := io.WriteString(p.out, line); err != nil {
			return err
		}
	}
	return nil
}
