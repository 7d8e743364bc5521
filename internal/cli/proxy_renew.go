package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// renewalLimit is how long an Envoy may take to acknowledge an SVID that was asked for.
const renewalLimit = time.Minute

// renewed is what `proxy renew` answers; its keys are stable.
type renewed struct {
	Name         string `json:"name"`
	Before       string `json:"before,omitempty"`
	Serial       string `json:"serial"`
	Acknowledged string `json:"acknowledged_at"`
}

func newProxyRenew(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "renew NAME",
		Short: "Have a proxy's agent get another SVID now",
		Long: "Asks the agent beside the proxy for another SVID, with a new key, and waits until its Envoy\n" +
			"has acknowledged that one. The old SVID stays good until it ends: to end it, use\n" +
			"`ensign revoke`. No connection is dropped by it.",
		Example: "  ensign proxy renew shop/reviews-v1",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				limited, cancel := context.WithTimeout(ctx, renewalLimit)
				defer cancel()
				answer, err := admin.RenewProxy(limited, &ensignv1.RenewProxyRequest{Name: args[0]})
				if status.Code(err) == codes.DeadlineExceeded {
					return fmt.Errorf("%s has acknowledged no other SVID within %s: `ensign proxy status %s` says what it has, its agent's log why",
						args[0], renewalLimit, args[0])
				}
				if err != nil {
					return err
				}
				done := renewed{Name: args[0], Before: answer.Before, Serial: answer.Serial, Acknowledged: moment(when(answer.AcknowledgedAt))}
				return p.print(done, row{"NAME", "BEFORE", "SERIAL", "ACKNOWLEDGED"}, []row{{done.Name, dash(done.Before), done.Serial, dash(done.Acknowledged)}})
			})
		},
	}
}
