package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// rotating is `ca rotate root` as it was typed.
type rotating struct {
	request  *ensignv1.RotateRootRequest
	window   time.Duration
	laggards laggards
	yes      bool
	wait     wait
}

func newCARotate(g *globals) *cobra.Command {
	cmd := group("rotate", "Replace a key of the CA", newCARotateRoot(g))
	cmd.Example = "  ensign ca rotate root --help"
	return cmd
}

func newCARotateRoot(g *globals) *cobra.Command {
	r := rotating{request: &ensignv1.RotateRootRequest{}}
	cmd := &cobra.Command{
		Use:   "root",
		Short: "Replace the root of the mesh, key included, while nobody notices",
		Long: "Makes a new root beside the old one, has everybody trust both, renews all SVIDs under the new\n" +
			"one within the window, and takes the old one out of the bundle. Each step waits at a gate\n" +
			"until every workload with a live SVID has followed, whether it is connected or not.\n" +
			"--laggards says what is done about those that keep a gate waiting:\n" +
			"  wait                   until they follow, or their SVID ends\n" +
			"  skip-offline=DURATION  go on without those that gave no sign for so long; they are named\n" +
			"  abort[=DURATION]       roll back when a gate has not opened so long after its step began\n" +
			"                         (default: the window and 5m)\n" +
			"The default is wait; with --compromised it is skip-offline=1m.\n" +
			"--compromised is for a root whose key is in other hands: what it signed is refused at once.\n" +
			"It first says what that breaks, and wants --yes, or `yes` on a terminal.\n" +
			"The old root vouches for the new one, so that agents which are away find their way back. With\n" +
			"--without-link, for a root that is lost, they need the new bundle from a person.\n" +
			"It goes on when the command has ended; --wait shows how, and ends when it has.",
		Example: "  ensign ca rotate root --plan\n  ensign ca rotate root --window 10m --laggards abort --reason yearly --wait\n" +
			"  ensign ca rotate root --via vault --wait=1h\n  ensign ca rotate root --compromised --reason 'backup stolen' --wait",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd, g) },
	}
	flags := cmd.Flags()
	flags.StringVar(&r.request.Via, "via", "", "where the new root is to live: builtin or vault (default: where the old one does)")
	flags.DurationVar(&r.window, "window", 0, "over how long renewals are spread (default 10m; 1m with --compromised)")
	flags.Var(&r.laggards, "laggards", "what is done about who keeps a gate waiting")
	flags.BoolVar(&r.request.Compromised, "compromised", false, "the old root is not to be believed any more")
	flags.BoolVar(&r.request.WithoutLink, "without-link", false, "the old root is lost: do not wait for it to vouch for the new one")
	flags.StringVar(&r.request.Reason, "reason", "", "why, for the record")
	flags.BoolVar(&r.request.Plan, "plan", false, "only say what would happen, and to whom")
	flags.BoolVar(&r.yes, "yes", false, "do not ask")
	r.wait.register(flags)
	return cmd
}

func (r *rotating) run(cmd *cobra.Command, g *globals) error {
	p, err := newPrinter(cmd.OutOrStdout(), g.output)
	if err != nil {
		return err
	}
	if err := r.check(cmd); err != nil {
		return err
	}
	return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
		if r.request.Plan {
			return r.plan(ctx, admin, p)
		}
		if r.request.Compromised && !r.yes {
			if err := r.confirm(ctx, admin, cmd.InOrStdin(), cmd.ErrOrStderr()); err != nil {
				return err
			}
		}
		answer, err := admin.RotateRoot(ctx, r.request)
		if err != nil {
			return err
		}
		now := authorityOf(answer.Authority)
		if r.wait.asked {
			return r.wait.run(ctx, admin, now, p, cmd.ErrOrStderr())
		}
		if now.Rotation != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "rotation %s has begun and goes on by itself. %s\n", printable(now.Rotation.ID), howTo)
		}
		return printRotation(p, now)
	})
}

func (r *rotating) check(cmd *cobra.Command) error {
	if err := r.wait.check(cmd.Flags()); err != nil {
		return err
	}
	if r.request.Plan && r.wait.asked {
		return usagef("%s takes --plan or --wait, not both: a plan changes nothing; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
	}
	if cmd.Flags().Changed("window") {
		if r.window <= 0 {
			return usagef("--window %s: it must be above 0, such as 10m", r.window)
		}
		r.request.Window = durationpb.New(r.window)
	}
	r.request.Laggards = r.laggards.message()
	return nil
}

// plan prints what would happen; it does not hold if that cannot be begun.
func (r *rotating) plan(ctx context.Context, admin ensignv1.AdminServiceClient, p printer) error {
	plan, err := askPlan(ctx, admin, r.request)
	if err != nil {
		return err
	}
	if err := printRotationPlan(p, plan); err != nil {
		return err
	}
	return plan.refused()
}

// confirm shows what a compromised root breaks, and has a person say yes to it.
func (r *rotating) confirm(ctx context.Context, admin ensignv1.AdminServiceClient, in io.Reader, told io.Writer) error {
	plan, err := askPlan(ctx, admin, r.request)
	if err != nil {
		return err
	}
	if err := printRotationPlan(printer{out: told, format: "table"}, plan); err != nil {
		return err
	}
	if err := plan.refused(); err != nil {
		return err
	}
	if !isTerminal(in) {
		return usagef("--compromised breaks what is said above: add --yes if that is meant")
	}
	fmt.Fprint(told, "\nType yes to do this now: ")
	answer, err := bufio.NewReader(io.LimitReader(in, 100)).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
