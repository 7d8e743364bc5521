package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

type tokenCreated struct {
	TokenID   string `json:"token_id"`
	ExpiresAt string `json:"expires_at"`
	File      string `json:"file"`
}

func newTokenCreate(g *globals) *cobra.Command {
	var (
		ask ensignv1.CreateTokenRequest
		ttl time.Duration
		out string
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a token that proves a service account to ensignd",
		Long: "Makes a token of the form that Kubernetes projects into pods, bound to the account, an\n" +
			"audience, the trust domain and (with --pod) one pod. The account must exist in the mesh.\n" +
			"The agent reads the file anew whenever it needs a proof, so replace it to renew it.",
		Example: "  ensign token create --namespace shop --serviceaccount reviews --pod reviews-v1 --ttl 1h --out token",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			if out == "" || ask.Namespace == "" || ask.ServiceAccount == "" {
				return usagef("%s needs --namespace, --serviceaccount and --out; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
			}
			ask.Ttl = durationpb.New(ttl)
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				made, err := admin.CreateToken(ctx, &ask)
				if err != nil {
					return err
				}
				if err := replaceFile(out, made.Token); err != nil {
					return fmt.Errorf("writing the token: %w", err)
				}
				answer := tokenCreated{TokenID: made.TokenId, ExpiresAt: stamp(made.ExpiresAt.AsTime()), File: out}
				return p.print(answer, row{"TOKEN ID", "EXPIRES", "FILE"}, []row{{answer.TokenID, answer.ExpiresAt, answer.File}})
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&ask.Namespace, "namespace", "", "namespace of the service account")
	flags.StringVar(&ask.ServiceAccount, "serviceaccount", "", "name of the service account")
	flags.StringVar(&ask.Pod, "pod", "", "bind the token to this pod")
	flags.StringVar(&ask.Audience, "audience", "istio-ca", "who the token is for")
	flags.DurationVar(&ttl, "ttl", time.Hour, "how long the token is valid, at most 24h")
	flags.StringVar(&out, "out", "", "file to write, of mode 0600; replaced atomically if it exists")
	return cmd
}
