package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// cutOffs is what `revocation list` answers; its keys are stable.
type cutOffs struct {
	Acts         []cutOffAct `json:"acts"`
	Revision     uint64      `json:"revision"`
	Certificates uint32      `json:"certificates"`
	// Identities are in quarantine.
	Identities  []string `json:"quarantined"`
	CRLsInForce bool     `json:"crls_in_force"`
	CRLProblem  string   `json:"crl_problem,omitempty"`
}

func newRevocationList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the revocations and quarantines in force",
		Long: "An act is listed until it has no effect any more: a quarantine until it is released, a\n" +
			"revocation until every certificate that it covers has expired. `ensign audit list --kind\n" +
			"revocation` shows all that there ever were.",
		Example: "  ensign revocation list\n  ensign revocation list -o json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				answer, err := admin.ListCutOffs(ctx, &ensignv1.ListCutOffsRequest{})
				if err != nil {
					return err
				}
				return printCutOffs(p, answer)
			})
		},
	}
}

func printCutOffs(p printer, answer *ensignv1.ListCutOffsResponse) error {
	list := cutOffs{
		Acts: []cutOffAct{}, Revision: answer.Revision, Certificates: answer.Certificates,
		Identities: append([]string{}, answer.Identities...), CRLsInForce: answer.CrlsInForce, CRLProblem: answer.CrlProblem,
	}
	rows := make([]row, 0, len(answer.Acts))
	for _, a := range answer.Acts {
		act := actOf(a)
		list.Acts, rows = append(list.Acts, act), append(rows, act.row())
	}
	if err := p.print(list, actHeader, rows); err != nil || p.format != "table" {
		return err
	}
	crls := "not in force"
	if list.CRLsInForce {
		crls = "in force"
	}
	if list.CRLProblem != "" {
		crls += ": " + printable(list.CRLProblem)
	}
	fmt.Fprintf(p.out, "\ncertificates denied: %d\nin quarantine: %s\nCRLs: %s\n",
		list.Certificates, dash(printable(strings.Join(list.Identities, ", "))), crls)
	return nil
}
