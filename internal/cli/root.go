package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes of every verb.
const (
	exitHolds    = 0
	exitHoldsNot = 1
	exitUsage    = 2
)

// Run executes one command line and answers its exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitHolds
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "ensign: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "ensign: %v\n", err)
		return exitHoldsNot
	}
}

// usageError is a command line that means nothing.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// globals are the flags that every verb has.
type globals struct {
	target target
	output string
}

func newRoot() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:   "ensign",
		Short: "Ask and steer Ensign, the identity plane of the mesh",
		Long: "ensign talks to ensignd through its admin socket (--data or ENSIGN_DATA), or over\n" +
			"the network with an SVID that ensignd lists by --admin (--server).\n" +
			"Exit codes: 0 it holds, 1 it does not, 2 wrong use.",
		Example:       "  ensign proxy status --data /var/lib/ensign\n  ENSIGN_DATA=/var/lib/ensign ensign audit verify",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSuchVerb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	g.target.register(flags)
	flags.StringVarP(&g.output, "output", "o", "table", "how to print: table, json or yaml")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see `%s --help`", err, cmd.CommandPath())
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newRevoke(g), newQuarantine(g), newRelease(g),
		group("revocation", "See who is cut off", newRevocationList(g)),
		group("kek", "Make the key that encrypts the data folder", newKEKNew(g)),
		group("token", "Make service-account tokens", newTokenCreate(g)),
		group("proxy", "See what each proxy has", newProxyStatus(g), newProxyConfig(g), newProxyRelease(g), newProxyRenew(g)),
		group("ca", "See and replace the root of the mesh", newCAStatus(g), newCARotate(g), newCAPause(g), newCAResume(g), newCARollback(g)),
		group("identity", "See who exists", newIdentityList(g), newIdentityAudit(g)),
		group("audit", "Read and verify the record of everything issued", newAuditList(g), newAuditShow(g),
			newAuditVerify(g), newAuditWatch(g), newAuditExport(g)),
		group("ledger", "Back the record up, and put it back", newLedgerBackup(g), newLedgerRestore(g)),
	)
	return root
}

// group is a word that others follow; the last does the work.
func group(noun, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:     noun,
		Short:   short,
		Example: "  ensign " + noun + " " + verbs[0].Name() + " --help",
		Args:    noSuchVerb,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(verbs...)
	return cmd
}

func noSuchVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("%s has no verb %q; see `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// exactly wants these arguments, by name.
func exactly(names ...string) cobra.PositionalArgs {
	return between(len(names), names...)
}

// between wants at least the first n of these arguments.
func between(n int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usagef("%s needs %s; see `%s --help`", cmd.CommandPath(), names[len(args)], cmd.CommandPath())
		}
		if len(args) > len(names) {
			return usagef("%s does not take %q; see `%s --help`", cmd.CommandPath(), args[len(names)], cmd.CommandPath())
		}
		return nil
	}
}
