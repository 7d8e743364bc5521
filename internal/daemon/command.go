package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/ensign-mesh/ensign/internal/secrecy"
)

// Exit codes of ensignd.
const (
	exitStopped = 0
	exitFailed  = 1
	exitUsage   = 2
)

// errUsage marks a command line that means nothing.
var errUsage = errors.New("wrong use")

// Main runs ensignd until ctx ends, and answers its exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newCommand(stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitStopped
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "ensignd: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "ensignd: %v\n", err)
		return exitFailed
	}
}

func newCommand(stderr io.Writer) *cobra.Command {
	var flags Flags
	cmd := &cobra.Command{
		Use:   "ensignd --manifests DIR --data DIR --kek FILE",
		Short: "Run Ensign's control plane: the CA, and the xDS server for Envoys",
		Long: "ensignd reads the mesh from a folder of YAML, issues SVIDs to agents that prove their\n" +
			"service account, and configures the Envoys beside them. All state is in the data folder.",
		Example: "  ensign kek new --out /etc/ensign/kek\n" +
			"  ensignd --manifests mesh --data /var/lib/ensign --kek /etc/ensign/kek --listen 0.0.0.0:15012 --server-name ensign.example.org",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("ensignd takes no argument %q; see `ensignd --help`: %w", args[0], errUsage)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := secrecy.Keep(); err != nil {
				return err
			}
			config, err := flags.validate()
			if err != nil {
				return fmt.Errorf("%w: %w; see `ensignd --help`", errUsage, err)
			}
			log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: config.logLevel}))
			return run(cmd.Context(), config, log)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; see `ensignd --help`", errUsage, err)
	})
	flags.register(cmd.Flags())
	return cmd
}
